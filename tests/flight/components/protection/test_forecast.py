"""The forecast file: what is taken, and what is refused with which words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flight.components.protection.forecast import LARGEST, MOST_PASSES, ForecastError, parse
from flight.components.protection.notifications import Radiation
from flight.framework.clock import TAI_SINCE_1958
from flight.framework.time_units import SECOND

BEGIN = 1_774_000_000
"""Unix seconds: 2026-03-20T09:46:40Z."""


def utc(second: int) -> str:
    return f"2026-03-20T{(9 * 3600 + 46 * 60 + 40 + second) // 3600:02d}:" + (
        f"{(46 * 60 + 40 + second) // 60 % 60:02d}:{(40 + second) % 60:02d}Z"
    )


def row(begin: int, end: int, **changes: Any) -> dict[str, Any]:
    return {"begin": utc(begin), "end": utc(end), "flux": 900.0, "radiation": "raised"} | changes


def file(*rows: Any, **changes: Any) -> dict[str, Any]:
    return {
        "format": 1,
        "source": "by hand",
        "tai_minus_utc_s": 37,
        "begin": utc(0),
        "end": utc(7200),
        "passes": list(rows),
    } | changes


def octets(plain: Any) -> bytes:
    return json.dumps(plain).encode()


@pytest.mark.verifies("VA-LVL-05")
def test_a_forecast_is_read_in_on_board_time() -> None:
    read = parse(octets(file(row(600, 1200), row(1200, 1300, radiation="storm", flux=1e4))))
    start = BEGIN * SECOND + TAI_SINCE_1958
    assert (read.begin, read.end) == (start, start + 7200 * SECOND)
    first, second = read.passes
    assert (first.begin, first.end) == (start + 600 * SECOND, start + 1200 * SECOND)
    assert (second.radiation, second.flux) == (Radiation.STORM, 1e4)


def test_a_pass_counts_a_little_earlier_and_later_and_the_worse_of_two_goes_first() -> None:
    read = parse(octets(file(row(600, 1200), row(1210, 1300, radiation="storm"))))

    def at(second: int) -> Radiation | None:
        found = read.pass_at(read.begin + second * SECOND, 30 * SECOND, 30 * SECOND)
        return found.radiation if found else None

    assert at(569) is None
    assert at(570) is Radiation.RAISED
    assert at(1185) is Radiation.STORM
    assert at(1329) is Radiation.STORM
    assert at(1330) is None


def test_what_the_forecast_says_next_is_known() -> None:
    read = parse(octets(file(row(600, 1200))))
    edges = []
    now: int | None = read.begin - SECOND
    while (now := read.next_change(now, 30 * SECOND, 60 * SECOND)) is not None:
        edges.append((now - read.begin) // SECOND)
    assert edges == [0, 570, 1260, 7200]
    assert read.next_pass(read.begin) == read.passes[0]
    assert read.next_pass(read.passes[0].begin) is None


@pytest.mark.verifies("VA-LVL-05")
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not whole JSON"),
        (octets(file(row(1, 2)))[:-9], "not whole JSON"),
        (b"\xff\xfe\x00", "not whole JSON"),
        (b"[" * LARGEST, "not whole JSON"),
        (b"[" + b"9" * 20_000 + b"]", "not whole JSON"),
        (b" " * (LARGEST + 1), "at most 30000 octets"),
        (b"[]", '"format": 1'),
        (octets(file(format=2)), '"format": 1'),
        (octets({"format": 1}), "has the keys"),
        (octets(file() | {"extra": 1}), "and no others"),
        (octets(file(tai_minus_utc_s=0)), "from 30 to 60"),
        (octets(file(tai_minus_utc_s="37")), "from 30 to 60"),
        (octets(file(tai_minus_utc_s=True)), "from 30 to 60"),
        (octets(file(begin="yesterday")), "begin is no time in UTC; write 2026"),
        (octets(file(end=5)), "end is no time in UTC"),
        (octets(file(begin="2026-3-2T9:46:40Z")), "begin is no time in UTC"),
        (octets(file(begin="\uff12026-03-20T09:46:40Z")), "begin is no time in UTC"),
        (octets(file(begin="\uff12\uff10\uff12\uff16-03-20T09:46:40Z")), "begin is no time"),
        (octets(file(begin="2026-03-20T09:46:40+01:00")), "no time in UTC"),
        (octets(file(end=utc(0))), "end must come after begin"),
        (octets(file(end="2027-03-20T00:00:00Z")), "at most 14 days"),
        (octets(file(passes={})), "list of at most"),
        (octets(file(source=3)), "source is a text"),
        (octets(file(*[{}] * (MOST_PASSES + 1))), f"at most {MOST_PASSES}"),
        (octets(file(5)), "pass 1 is no object"),
        (octets(file({"begin": utc(1)})), "pass 1 has the keys"),
        (octets(file(row(1, 2, flux="much"))), "pass 1: flux is no number"),
        (octets(file(row(1, 2, flux=-1))), "pass 1: flux is no number"),
        (octets(file(row(1, 2))).replace(b"900.0", b"NaN"), "pass 1: flux is no number"),
        (octets(file(row(1, 2, radiation="quiet"))), "radiation is one of raised, storm"),
        (octets(file(row(1, 2, radiation=[]))), "radiation is one of raised, storm"),
        (octets(file(row(1, 2) | {"begin": "2026-02-30T00:00:00Z"})), "pass 1: begin is no time"),
        (octets(file(row(20, 10))), "pass 1 ends before it begins"),
        (octets(file(row(10, 20), row(15, 30))), "pass 2 begins before pass 1 ends"),
        (octets(file(row(50, 60), row(10, 20))), "pass 2 begins before pass 1 ends"),
        (octets(file(row(10, 20), begin=utc(11))), "pass 1 begins before begin"),
        (octets(file(row(7100, 7300))), "ends after the forecast does"),
    ],
)
def test_what_is_wrong_with_a_forecast_is_said(content: bytes, words: str) -> None:
    with pytest.raises(ForecastError, match=words):
        parse(content)


def test_the_example_of_the_page_is_a_forecast() -> None:
    page = (Path(__file__).parents[4] / "docs" / "adaptive-protection.md").read_text()
    example = page.partition("```json\n")[2].partition("```")[0]
    assert len(parse(example.encode()).passes) == 2
