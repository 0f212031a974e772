"""How fast memory is walked: stripes bounded in time, a rate, and what a busy computer changes."""

from __future__ import annotations

import pytest

from flight.components.scrubber.worker.pace import (
    FIRST_STRIPE,
    LARGEST_STRIPE,
    MILLISECOND,
    Pace,
    Stripe,
)
from flight.framework.time_units import SECOND


def test_the_first_stripe_is_small_because_nothing_is_known_yet() -> None:
    assert Stripe().octets == FIRST_STRIPE


@pytest.mark.verifies("VA-SCR-01")
def test_stripes_grow_until_they_take_a_millisecond() -> None:
    stripe = Stripe()
    for _ in range(50):
        octets = stripe.octets
        stripe.took(octets, octets // 10, octets // 10)  # ten octets a nanosecond
    assert stripe.octets == pytest.approx(10 * MILLISECOND, rel=0.01)


@pytest.mark.verifies("VA-SCR-01")
def test_one_slow_stripe_makes_the_next_one_short_at_once() -> None:
    stripe = Stripe()
    stripe.took(1 << 20, 100_000, 100_000)
    stripe.took(1 << 20, 10_000_000, 10_000_000)
    assert stripe.octets == pytest.approx((1 << 20) / 10, rel=0.01)
    assert stripe.longest_ns == 10_000_000


def test_a_stripe_is_never_larger_than_its_limit_nor_empty() -> None:
    stripe = Stripe()
    stripe.took(1 << 40, 0, 0)
    assert stripe.octets == LARGEST_STRIPE
    stripe.took(1, 10 * SECOND, SECOND)
    assert stripe.octets == 1


def test_stripes_that_wait_for_a_processor_show_that_the_computer_is_crowded() -> None:
    stripe = Stripe()
    for _ in range(20):
        stripe.took(1000, 1000, 1000)
    assert not stripe.is_crowded
    for _ in range(20):
        stripe.took(1000, 1000, 100)
    assert stripe.is_crowded


@pytest.mark.verifies("VA-SCR-01")
@pytest.mark.parametrize("stripe", [1000, 65536, 10_000_000])
def test_the_rate_is_kept_whatever_the_stripes(stripe: int) -> None:
    pace, now, octets = Pace(100e6), 0, 0
    while now < 5 * SECOND:
        pace.walked(stripe, now, False)
        octets += stripe
        now = max(now + 1000, pace.due())
    assert octets / (now / SECOND) == pytest.approx(100e6, rel=0.1)


def test_a_long_wait_is_not_made_up_for_by_a_burst() -> None:
    pace = Pace(1000.0)
    pace.walked(1, 60 * SECOND, False)
    now, octets = 60 * SECOND, 0
    while pace.due() <= now:
        pace.walked(1, now, False)
        octets += 1
    assert octets <= 0.25 * 1000


@pytest.mark.verifies("VA-SCR-08")
def test_on_a_crowded_computer_a_raised_rate_falls_to_what_each_period_needs() -> None:
    pace = Pace(100.0)
    pace.factor, pace.needed = 8.0, 30.0
    assert pace.in_force(False) == 800.0
    assert pace.in_force(True) == 30.0
    pace.needed = 500.0
    assert pace.in_force(True) == 100.0
