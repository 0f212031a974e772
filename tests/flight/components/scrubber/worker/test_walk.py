"""The order of regions: each once a period, asked-for ones first, none forgotten."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flight.components.scrubber.worker.walk import Walk

PERIOD = 1000


def finish(walk: Walk, now: int, octets: int = 10) -> list[tuple[str, int, int]]:
    """Look at everything that is due at one moment."""
    turns = []
    while turn := walk.next(now, octets):
        walk.done(turn, now)
        turns.append(tuple(turn))
    return turns


def test_without_regions_nothing_is_ever_due() -> None:
    walk = Walk(PERIOD)
    assert walk.next(0, 10) is None
    assert walk.due() is None


@pytest.mark.verifies("VA-SCR-01")
def test_a_region_is_walked_in_stripes_from_its_first_block_to_its_last() -> None:
    walk = Walk(PERIOD)
    walk.add("a", 100, 10)
    assert finish(walk, 5, 30) == [("a", 0, 3), ("a", 3, 6), ("a", 6, 9), ("a", 9, 10)]
    assert walk.regions["a"].passes == 1
    assert walk.regions["a"].ended == 5


@pytest.mark.verifies("VA-SCR-01")
def test_a_walked_region_is_due_again_a_period_after_the_walk_began() -> None:
    walk = Walk(PERIOD)
    walk.add("a", 10, 1)
    finish(walk, 5)
    assert walk.due() == 5 + PERIOD
    assert finish(walk, 4 + PERIOD) == []
    assert len(finish(walk, 5 + PERIOD)) == 1


def test_a_stripe_is_at_least_one_block() -> None:
    walk = Walk(PERIOD)
    walk.add("a", 1 << 20, 2)
    assert walk.next(0, 1) == ("a", 0, 1)


@pytest.mark.verifies("VA-SCR-06")
def test_what_is_asked_for_goes_first_and_from_its_beginning() -> None:
    walk = Walk(PERIOD)
    walk.add("a", 100, 10)
    walk.add("b", 100, 10)
    turn = walk.next(0, 30)
    assert turn is not None
    assert turn.name == "a"
    walk.done(turn, 0)
    walk.want("b")
    assert [turn[0] for turn in finish(walk, 1, 100)] == ["b", "a"]
    walk.want("b")
    assert walk.next(2, 1000) == ("b", 0, 10)


def test_all_can_be_asked_for_and_an_unknown_one_cannot() -> None:
    walk = Walk(PERIOD)
    walk.add("a", 10, 1)
    walk.add("b", 10, 1)
    finish(walk, 0)
    walk.want("")
    assert {turn[0] for turn in finish(walk, 1)} == {"a", "b"}
    with pytest.raises(KeyError):
        walk.want("c")


def test_a_region_that_is_dropped_in_the_middle_of_its_walk_is_forgotten() -> None:
    walk = Walk(PERIOD)
    walk.add("a", 100, 10)
    turn = walk.next(0, 30)
    assert turn is not None
    walk.drop("a")
    assert walk.done(turn, 0) is False
    assert walk.next(0, 30) is None


def test_a_region_that_cannot_be_walked_now_has_its_turn_a_period_later() -> None:
    walk = Walk(PERIOD)
    walk.add("a", 10, 1)
    walk.add("b", 10, 1)
    walk.next(0, 10)
    walk.skip("a", 0)
    assert [turn[0] for turn in finish(walk, 1)] == ["b"]
    assert [turn[0] for turn in finish(walk, PERIOD)] == ["a"]


@pytest.mark.verifies("VA-SCR-01")
@given(
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=8),
    octets=st.integers(1, 200),
    wanted=st.lists(st.integers(0, 7), max_size=5),
)
def test_every_region_is_walked_whole_once_a_period_whatever_is_asked_for(
    sizes: list[int], octets: int, wanted: list[int]
) -> None:
    walk = Walk(PERIOD)
    for i, blocks in enumerate(sizes):
        walk.add(str(i), 10 * blocks, blocks)
    seen: dict[str, set[int]] = {name: set() for name in walk.regions}
    for now in range(3 * len(sizes) * 40 + len(wanted)):
        if now < len(wanted) and wanted[now] < len(sizes):
            walk.want(str(wanted[now]))
        if turn := walk.next(0, octets):
            seen[turn.name] |= set(range(turn.first, turn.last))
            walk.done(turn, 0)
    assert all(len(seen[str(i)]) == blocks for i, blocks in enumerate(sizes))
    assert all(progress.passes >= 1 for progress in walk.regions.values())
    assert walk.next(PERIOD - 1, octets) is None
