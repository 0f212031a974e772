"""Sequence gaps: wrap, loss, duplicates and reordering."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ground.server.gaps import ApidGaps, GapCounter


def seen(*numbers: int) -> GapCounter:
    counter = GapCounter()
    for number in numbers:
        counter.see(number)
    return counter


def test_a_sequence_that_wraps_has_no_gap() -> None:
    counter = seen(16382, 16383, 0, 1)
    assert (counter.gaps, counter.missing, counter.duplicates) == (0, 0, 0)


def test_a_jump_counts_each_number_left_out() -> None:
    assert (seen(5, 9).gaps, seen(5, 9).missing) == (1, 3)


def test_a_jump_over_the_wrap_counts_each_number_left_out() -> None:
    assert seen(16380, 2).missing == 5


def test_a_late_number_is_reordered_and_not_missing_any_more() -> None:
    counter = seen(1, 4, 2)
    assert (counter.missing, counter.reordered, counter.duplicates) == (1, 1, 0)


def test_a_number_seen_twice_is_a_duplicate() -> None:
    counter = seen(1, 2, 3, 2)
    assert (counter.missing, counter.reordered, counter.duplicates) == (0, 0, 1)


def test_a_restarted_sender_makes_no_gap() -> None:
    gaps = ApidGaps()
    gaps.see(4, 1000)
    gaps.restart()
    gaps.see(4, 0)
    assert gaps.missing == 0


@given(st.lists(st.integers(0, 199), max_size=60))
def test_what_is_missing_is_what_was_not_delivered(dropped: list[int]) -> None:
    counter = seen(*(n for n in range(201) if n == 0 or n not in set(dropped)))
    assert counter.missing == len({n for n in dropped if n > 0})
