"""Ranges behave as the plain set of positions that they stand for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from flight.components.file_store.ranges import Ranges

SIZE = 40
pairs = st.lists(st.tuples(st.integers(0, SIZE), st.integers(0, SIZE)))


def positions(ranges: Ranges) -> set[int]:
    return {position for start, end in ranges for position in range(start, end)}


@given(pairs, st.integers(0, SIZE), st.integers(0, SIZE))
def test_ranges_agree_with_a_set_of_positions(
    added: list[tuple[int, int]], start: int, end: int
) -> None:
    ranges = Ranges(added)
    plain = {position for a, b in added for position in range(a, b)}
    assert positions(ranges) == plain
    assert ranges.total == len(plain)
    assert ranges.covers(start, end) == plain.issuperset(range(start, end))
    missing = [position for position in range(SIZE) if position not in plain]
    gap = ranges.first_gap(SIZE)
    assert (gap[0] if gap else None) == (missing[0] if missing else None)
    assert gap is None or not plain & set(range(*gap))
    assert ranges.contiguous == (missing[0] if missing else SIZE)


@given(pairs, st.integers(1, SIZE))
def test_taking_from_the_front_gives_everything_once_and_in_order(
    added: list[tuple[int, int]], most: int
) -> None:
    ranges = Ranges(added)
    whole = positions(ranges)
    taken: list[int] = []
    while (span := ranges.take(most)) is not None:
        assert 0 < span[1] - span[0] <= most
        taken += range(*span)
    assert taken == sorted(whole)


def test_ranges_that_touch_become_one() -> None:
    assert list(Ranges([(0, 3), (5, 8), (3, 5)])) == [(0, 8)]


def test_cutting_forgets_what_lies_beyond() -> None:
    ranges = Ranges([(0, 3), (5, 8)])
    ranges.cut(6)
    assert list(ranges) == [(0, 3), (5, 6)]
    ranges.clear()
    assert len(ranges) == 0
