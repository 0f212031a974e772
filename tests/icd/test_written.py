"""Numbers and files are read as strictly as they are meant, and no kinder."""

from __future__ import annotations

from collections.abc import Callable

import click
import pytest
from click.testing import CliRunner

from icd import written
from icd.options import Real, Whole

FULL_WIDTH = "\uff11\uff12"  # 12
ARABIC = "\u0661\u0662"  # 12


@pytest.mark.verifies("VA-SEC-06")
@pytest.mark.parametrize("text", ["1_000", FULL_WIDTH, ARABIC, "", "-", "1.0", "\u00a012", "1 2"])
@pytest.mark.parametrize("read", [written.whole, written.whole_of_any_base])
def test_only_ascii_digits_are_a_whole_number(read: Callable[[str], int], text: str) -> None:
    with pytest.raises(ValueError, match="is not a whole number; write digits only"):
        read(text)


@pytest.mark.parametrize(
    ("text", "number"), [("12", 12), ("-7", -7), (" 5\n", 5), ("+3", 3), ("0", 0)]
)
def test_a_whole_number_is_read(text: str, number: int) -> None:
    assert written.whole(text) == written.whole_of_any_base(text) == number


@pytest.mark.parametrize(
    ("text", "number"), [("0x0C", 12), ("0b101", 5), ("-0o17", -15), ("0X1f", 31)]
)
def test_a_prefix_gives_the_base_only_where_any_base_is_taken(text: str, number: int) -> None:
    assert written.whole_of_any_base(text) == number
    with pytest.raises(ValueError, match="not a whole number"):
        written.whole(text)


@pytest.mark.parametrize("text", ["010", "0x", "0b2", "0x1_0"])
def test_an_unclear_base_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"12 or 0x0C|invalid literal"):
        written.whole_of_any_base(text)


@pytest.mark.parametrize(
    "text", ["1_0.5", FULL_WIDTH, "nan", "inf", "1e", "0x1p3", ".", "\u00a01.5", "1,5"]
)
def test_only_a_finite_decimal_is_a_number(text: str) -> None:
    with pytest.raises(ValueError, match="is not a number; write one such as"):
        written.real(text)


@pytest.mark.parametrize(
    ("text", "number"), [("0.5", 0.5), (".5", 0.5), ("-2.", -2.0), ("1e-3", 1e-3), (" 7 ", 7.0)]
)
def test_a_number_is_read(text: str, number: float) -> None:
    assert written.real(text) == number


def test_a_byte_order_mark_is_no_part_of_a_text() -> None:
    assert written.text("\ufeffsmall".encode()) == "small"
    assert written.json_value('\ufeff{"a": 1}'.encode()) == {"a": 1}
    assert written.toml_tables("\ufeffa = 1".encode()) == {"a": 1}
    with pytest.raises(ValueError, match="octet 0 is not UTF-8; save it as UTF-8"):
        written.json_value("{}".encode("utf-16"))


@pytest.mark.verifies("VA-SEC-06")
@pytest.mark.parametrize("deep", [written.DEEPEST + 1, 200_000])
def test_what_nests_too_deeply_is_refused_with_a_sentence(deep: int) -> None:
    brackets = "[" * deep + "]" * deep
    with pytest.raises(ValueError, match="brackets nest deeper than 64 levels"):
        written.json_value(brackets)
    with pytest.raises(ValueError, match="brackets nest deeper than 64 levels"):
        written.toml_tables(f"a = {brackets}")


def test_what_nests_as_deeply_as_is_permitted_is_read() -> None:
    deep = written.DEEPEST
    assert written.json_value("[" * deep + "]" * deep)[0][0]
    dotted = ".".join("a" * (written.DEEPEST - 1))
    assert written.toml_tables(f"{dotted} = 1")
    with pytest.raises(ValueError, match="nest deeper"):
        written.toml_tables(f"{dotted}.a.a = 1")


@click.command()
@click.option("--count", type=Whole(1, 9), default=3)
@click.option("--any", "unbounded", type=Whole(), default=0)
@click.option("--share", type=Real(0.0, 1.0), default=0.5)
def command(count: int, unbounded: int, share: float) -> None:
    """Nothing."""
    click.echo(f"{count} {unbounded} {share}")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--count", "1_0"], "'1_0' is not a whole number; write digits only"),
        (["--any", FULL_WIDTH], "is not a whole number"),
        (["--share", "nan"], "'nan' is not a number"),
        (["--share", "0_1"], "'0_1' is not a number"),
        (["--count", "10"], "not in the range 1<=x<=9"),
    ],
)
def test_an_option_takes_no_other_numbers(words: list[str], said: str) -> None:
    ended = CliRunner().invoke(command, words)
    assert ended.exit_code == 2
    assert said in ended.output


def test_an_option_takes_numbers_and_shows_its_range_in_the_help() -> None:
    ended = CliRunner().invoke(command, ["--count", "9", "--any", "-12", "--share", "1e-1"])
    assert ended.output == "9 -12 0.1\n"
    shown = CliRunner().invoke(command, ["--help"]).output
    assert "1<=x<=9" in shown
    assert "None" not in shown
