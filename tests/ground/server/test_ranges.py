"""Which parts of a file have arrived."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ground.server.ranges import Ranges

SIZE = 60


@given(st.lists(st.tuples(st.integers(0, SIZE), st.integers(0, 12))))
def test_ranges_cover_what_a_set_of_octets_covers(added: list[tuple[int, int]]) -> None:
    ranges, octets = Ranges(), set()
    for first, length in added:
        before = len(octets)
        octets |= set(range(first, first + length))
        assert ranges.add(first, first + length) == len(octets) - before
    assert ranges.total == len(octets)
    holes = {n for first, end in ranges.holes(SIZE) for n in range(first, end)}
    assert holes == set(range(SIZE)) - octets
    assert ranges.contiguous == next((n for n in range(SIZE + 20) if n not in octets), SIZE + 20)
