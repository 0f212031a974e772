"""The message of a flip, the addresses that it means, and the log of what was flipped."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from icd import flips
from icd.flips import Applied, FlipDraw, FlipKind, FlipLogError, Letter, Target
from sim_hw.world.flips import draw as drawn

pytestmark = pytest.mark.portable

KINDS = st.sampled_from(list(FlipKind))


def many(kind: FlipKind, count: int) -> list[FlipDraw]:
    random = np.random.default_rng(5)
    return [drawn(number, kind, random) for number in range(count)]


@given(KINDS, st.integers(0, 2**32))
def test_a_draw_comes_back_from_its_message(kind: FlipKind, seed: int) -> None:
    draw = drawn(1, kind, np.random.default_rng(seed))
    assert FlipDraw.from_message(json.loads(json.dumps(draw.message()))) == draw


@given(
    KINDS, st.integers(0, 2**32), st.integers(0, 100_000), st.integers(1, 600), st.integers(1, 50)
)
def test_every_flip_lies_in_the_memory_and_the_step_that_it_is_for(
    kind: FlipKind, seed: int, size: int, width: int, calls: int
) -> None:
    draw = drawn(1, kind, np.random.default_rng(seed))
    target = Target(job=3, step=7, calls=calls, size=size, row_elements=width)
    found = flips.resolve(draw, target)
    for flip in found:
        assert (flip.job, flip.step) == (3, 7)
        assert 0 <= flip.call < calls
        assert flip.offset >= 0
        assert flip.offset + len(flip.mask) <= size
        assert any(flip.mask)
    offsets = [flip.offset for flip in found]
    assert len(set(offsets)) == len(offsets)
    if size >= 4:
        assert found
    assert found == flips.resolve(draw, target)


def test_a_column_keeps_its_column_and_a_row_does_not_wrap() -> None:
    column = FlipDraw(1, FlipKind.LOGIC, "column", 0, 0, 3, 1, ("01000000",))
    target = Target(job=1, step=1, calls=1, size=4000, row_elements=10)
    assert [flip.offset for flip in flips.resolve(column, target)] == [0, 40, 80]
    row = FlipDraw(1, FlipKind.LOGIC, "row", (8 << 64) // 1000 + 1, 0, 1, 5, ("01000000",))
    assert [flip.offset for flip in flips.resolve(row, target)] == [32, 36]


def test_a_not_a_number_is_one_in_a_32_bit_float() -> None:
    draw = next(draw for draw in many(FlipKind.LOGIC, 8000) if draw.pattern == "not a number")
    (flip,) = flips.resolve(draw, Target(1, 1, 1, 4))
    assert flip.operation == "or"
    for number in (0.0, 1.5, -3e7):
        octets = np.frombuffer(np.float32(number).tobytes(), np.uint8)
        wrong = (octets | np.frombuffer(flip.mask, np.uint8)).view(np.float32)[0]
        assert np.isnan(wrong)


def test_empty_memory_takes_no_flip() -> None:
    for draw in many(FlipKind.MEMORY, 50) + many(FlipKind.LOGIC, 50):
        assert flips.resolve(draw, Target(1, 1, 1, 0)) == ()


@given(st.integers(0, 2**64 - 1), st.lists(st.integers(0, 10**12), max_size=6))
def test_a_place_in_several_memories_is_the_same_octet_of_one(where: int, sizes: list[int]) -> None:
    found = flips.share_out(where, sizes)
    if not sum(sizes):
        assert found is None
        return
    assert found is not None
    index, inside = found
    offset = where * sum(sizes) >> 64
    assert sum(sizes[:index]) + (inside * sizes[index] >> 64) == offset


@given(KINDS, st.integers(0, 2**32))
def test_a_letter_is_a_line_and_comes_back(kind: FlipKind, seed: int) -> None:
    letter = Letter(drawn(1, kind, np.random.default_rng(seed)), 17, 2, 12.5, 1e4)
    assert letter.line().count("\n") == 1
    assert Letter.from_line(letter.line()) == letter


def applied(number: int, step: int, pid: int = 1, job: int = 4) -> Applied:
    place = {"array": "result 0", "offset": 8, "mask": "01", "operation": "xor"}
    return Applied(
        number,
        "logic",
        "row",
        job,
        step,
        0,
        "after",
        t=1.0,
        pid=pid,
        unix_ns=1,
        acceleration=2.0,
        **place,
    )


def test_flips_that_a_restart_from_a_commit_forgot_do_not_count(tmp_path: Path) -> None:
    log = tmp_path / flips.LOG
    flips.append(log, flips.begun_line(4, 0, 1))
    flips.append(log, *(applied(step, step).line() for step in range(6)))
    flips.append(log, applied(50, 0, job=5).line(), flips.begun_line(4, 3, 2))
    flips.append(log, applied(9, 4, pid=2).line())
    kept = flips.effective(flips.read_log(log), 4)
    assert [flip.id for flip in kept] == [0, 1, 2, 9]
    assert kept[0] == applied(0, 0)


@pytest.mark.parametrize("text", ["nonsense\n", "[1]\n", '{"id": 1}\n'])
def test_a_file_that_is_no_log_of_flips_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / flips.LOG).write_text(text)
    with pytest.raises(FlipLogError, match="not a log of flips"):
        flips.read_log(tmp_path / flips.LOG)


def test_a_log_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FlipLogError, match="No such file"):
        flips.read_log(tmp_path / flips.LOG)


def test_a_flip_with_other_fields_is_refused() -> None:
    with pytest.raises(FlipLogError, match="not a log of flips"):
        flips.effective([{"type": "flip", "job": 1, "colour": "red"}], 1)


def test_a_missed_draw_says_why() -> None:
    (draw,) = many(FlipKind.MEMORY, 1)
    assert json.loads(flips.missed_line(draw, 3.0, "nobody computes")) == {
        "type": "missed",
        "id": 0,
        "t": 3.0,
        "reason": "nobody computes",
    }
