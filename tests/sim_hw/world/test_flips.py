"""Bits that flip: the sizes and patterns of the design, and the addresses they mean."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim_hw.world import flips
from sim_hw.world.effects import Flips
from sim_hw.world.flips import CLUSTERS, PATTERNS, FlipDraw, Target

KINDS = st.sampled_from([Flips.MEMORY, Flips.LOGIC])


def many(kind: Flips, count: int = 8000) -> list[FlipDraw]:
    random = np.random.default_rng(5)
    return [flips.draw(number, kind, random) for number in range(count)]


@pytest.mark.parametrize(
    ("kind", "table"), [(Flips.MEMORY, CLUSTERS), (Flips.LOGIC, PATTERNS)], ids=["memory", "logic"]
)
def test_patterns_come_with_their_shares(kind: Flips, table: tuple) -> None:
    assert sum(share for _, share in table) == pytest.approx(1.0)
    counts = Counter(draw.pattern for draw in many(kind))
    for name, share in table:
        error = 4.0 * np.sqrt(share * (1.0 - share) / 8000)
        assert counts[name] / 8000 == pytest.approx(share, abs=error)


def test_clusters_have_the_size_that_they_are_named_for() -> None:
    for draw in many(Flips.MEMORY, 2000):
        mask = bytes.fromhex(draw.masks[0])
        bits = int.from_bytes(mask, "little")
        if draw.pattern == "single bit":
            assert (len(mask), bits.bit_count()) == (1, 1)
        elif draw.pattern == "two adjacent bits":
            assert bits & -bits == bits // 3
        elif draw.pattern == "byte":
            assert len(mask) == 1
            assert bits
        else:
            assert len(mask) == 32
            assert bits.bit_count() > 8


def test_wrong_results_have_the_extent_that_they_are_named_for() -> None:
    for draw in many(Flips.LOGIC, 2000):
        if draw.pattern == "warp":
            assert (draw.rows, draw.columns) == (1, 32)
        elif draw.pattern == "row":
            assert draw.rows == 1 < draw.columns
        elif draw.pattern == "column":
            assert draw.columns == 1 < draw.rows
        elif draw.pattern == "block":
            assert min(draw.rows, draw.columns) > 1
        else:
            assert (draw.rows, draw.columns) == (1, 1)


@given(KINDS, st.integers(0, 2**32))
def test_a_draw_comes_back_from_its_message(kind: Flips, seed: int) -> None:
    draw = flips.draw(1, kind, np.random.default_rng(seed))
    assert FlipDraw.from_message(json.loads(json.dumps(draw.message()))) == draw


@given(
    KINDS, st.integers(0, 2**32), st.integers(0, 100_000), st.integers(1, 600), st.integers(1, 50)
)
def test_every_flip_lies_in_the_memory_and_the_step_that_it_is_for(
    kind: Flips, seed: int, size: int, width: int, calls: int
) -> None:
    draw = flips.draw(1, kind, np.random.default_rng(seed))
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
    column = FlipDraw(1, Flips.LOGIC, "column", 0, 0, 3, 1, ("01000000",))
    target = Target(job=1, step=1, calls=1, size=4000, row_elements=10)
    assert [flip.offset for flip in flips.resolve(column, target)] == [0, 40, 80]
    row = FlipDraw(1, Flips.LOGIC, "row", (8 << 64) // 1000 + 1, 0, 1, 5, ("01000000",))
    assert [flip.offset for flip in flips.resolve(row, target)] == [32, 36]


def test_a_not_a_number_is_one_in_a_32_bit_float() -> None:
    draw = next(draw for draw in many(Flips.LOGIC) if draw.pattern == "not a number")
    (flip,) = flips.resolve(draw, Target(1, 1, 1, 4))
    assert flip.operation == "or"
    for number in (0.0, 1.5, -3e7):
        octets = np.frombuffer(np.float32(number).tobytes(), np.uint8)
        wrong = (octets | np.frombuffer(flip.mask, np.uint8)).view(np.float32)[0]
        assert np.isnan(wrong)


def test_empty_memory_takes_no_flip() -> None:
    for draw in many(Flips.MEMORY, 50) + many(Flips.LOGIC, 50):
        assert flips.resolve(draw, Target(1, 1, 1, 0)) == ()
