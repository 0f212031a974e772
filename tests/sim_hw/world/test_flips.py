"""Bits that flip, as drawn: the sizes and patterns of the design."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from icd.flips import FlipDraw, FlipKind
from sim_hw.world import flips
from sim_hw.world.flips import CLUSTERS, PATTERNS


def many(kind: FlipKind, count: int = 8000) -> list[FlipDraw]:
    random = np.random.default_rng(5)
    return [flips.draw(number, kind, random) for number in range(count)]


@pytest.mark.parametrize(
    ("kind", "table"),
    [(FlipKind.MEMORY, CLUSTERS), (FlipKind.LOGIC, PATTERNS)],
    ids=["memory", "logic"],
)
def test_patterns_come_with_their_shares(kind: FlipKind, table: tuple) -> None:
    assert sum(share for _, share in table) == pytest.approx(1.0)
    counts = Counter(draw.pattern for draw in many(kind))
    for name, share in table:
        error = 4.0 * np.sqrt(share * (1.0 - share) / 8000)
        assert counts[name] / 8000 == pytest.approx(share, abs=error)


def test_clusters_have_the_size_that_they_are_named_for() -> None:
    for draw in many(FlipKind.MEMORY, 2000):
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
    for draw in many(FlipKind.LOGIC, 2000):
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
