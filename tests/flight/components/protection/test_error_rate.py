"""The measured rate of errors: counters that jump, clocks that jump, and hysteresis."""

from __future__ import annotations

import pytest

from flight.components.protection.error_rate import BUCKETS, HOUR, MOST_AT_ONCE, Bounds, RateMeter
from flight.components.protection.notifications import Radiation
from flight.framework.time_units import SECOND

NOW = 2_000_000_000 * SECOND
WINDOW = HOUR // 2
Q, R, S = Radiation


def meter(errors: int, at: int = NOW) -> RateMeter:
    made = RateMeter()
    made.add(at, errors, WINDOW)
    return made


def test_the_rate_is_that_of_the_window_and_forgets_what_is_older() -> None:
    made = meter(3)
    assert made.per_hour(NOW, WINDOW) == 6.0
    made.add(NOW + WINDOW // 2, 2, WINDOW)
    assert made.per_hour(NOW + WINDOW // 2, WINDOW) == 10.0
    assert made.per_hour(NOW + WINDOW, WINDOW) == 4.0
    assert made.per_hour(NOW + 2 * WINDOW, WINDOW) == 0.0


def test_a_counter_counts_from_where_it_is_first_seen_and_anew_after_it_fell() -> None:
    made = RateMeter()
    for totals in ({"board": 500}, {"board": 502}, {"board": 1}, {"board": 4, "jobs": 7}):
        made.look(NOW, totals, WINDOW)
    assert made.seen == {"board": 5}


@pytest.mark.verifies("VA-BRD-16")
@pytest.mark.parametrize(
    ("totals", "seen"),
    [
        ((100, 0, 100), 0),  # it lied once
        ((100, 0, 0, 0, 103), 3),
        ((100, 0, 5, 100), 5 + 95),  # a driver was reloaded, and then there were errors
        ((100, 50, 0, 101), 1),
    ],
)
def test_a_counter_that_lies_for_a_while_counts_nothing_twice(
    totals: tuple[int, ...], seen: int
) -> None:
    made = RateMeter()
    for total in totals:
        made.look(NOW, {"board": total}, WINDOW)
    assert made.seen.get("board", 0) == seen


@pytest.mark.verifies("VA-LVL-06")
def test_a_counter_that_jumps_counts_as_no_more_than_a_storm_and_takes_no_room() -> None:
    made = RateMeter()
    made.look(NOW, {"jobs": 0}, WINDOW)
    for step in range(10_000):
        made.look(NOW + step * SECOND, {"jobs": (step + 1) << 50}, WINDOW)
    assert len(made._buckets) <= 2 * BUCKETS
    assert made.seen == {"jobs": 10_000 * MOST_AT_ONCE}


@pytest.mark.verifies("VA-LVL-07")
def test_a_clock_that_goes_back_forgets_no_error_and_one_that_goes_on_forgets_old_ones() -> None:
    made = meter(3)
    back = NOW - 5 * HOUR
    assert made.per_hour(back, WINDOW) == 6.0
    assert made.per_hour(back + WINDOW, WINDOW) == 0.0
    assert meter(3).per_hour(NOW + 400 * HOUR, WINDOW) == 0.0


@pytest.mark.parametrize(
    ("rate", "before", "after"),
    [
        (5.9, Q, Q), (6.0, Q, R), (3.0, R, R), (2.9, R, Q), (59.0, R, R), (60.0, Q, S),
        (60.0, R, S), (30.0, S, S), (29.0, S, R), (2.9, S, Q),
    ],
)  # fmt: skip
def test_a_condition_ends_only_well_below_the_rate_at_which_it_began(
    rate: float, before: Radiation, after: Radiation
) -> None:
    assert Bounds().judge(rate, before) is after
