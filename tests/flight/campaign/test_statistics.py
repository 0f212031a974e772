"""Intervals and tests against what was published of them."""

from __future__ import annotations

import pytest

from flight.campaign.statistics import Share, difference, fisher, rule_of_three, wilson


@pytest.mark.verifies("VA-CAM-06")
@pytest.mark.parametrize(
    ("count", "trials", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_intervals_are_those_that_newcombe_printed(
    count: int, trials: int, low: float, high: float
) -> None:
    # R. G. Newcombe, Statistics in Medicine 17 (1998), 857-872, table I, method 3 (score)
    assert wilson(count, trials) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.verifies("VA-CAM-06")
@pytest.mark.parametrize(
    ("one", "other", "low", "high"),
    [((56, 70), (48, 80), 0.0524, 0.3339), ((9, 10), (3, 10), 0.1705, 0.8090)],
)
def test_intervals_of_differences_are_those_that_newcombe_printed(
    one: tuple[int, int], other: tuple[int, int], low: float, high: float
) -> None:
    # R. G. Newcombe, Statistics in Medicine 17 (1998), 873-890, table II, method 10
    assert difference(Share(*one), Share(*other)) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.verifies("VA-CAM-06")
def test_the_lady_tasting_tea_is_judged_as_fisher_did() -> None:
    # R. A. Fisher, The Design of Experiments (1935): 3 of 4 cups right on either side
    assert fisher(Share(3, 4), Share(1, 4)) == pytest.approx(34 / 70)
    assert fisher(Share(4, 4), Share(0, 4)) == pytest.approx(2 / 70)


def test_rates_far_apart_cannot_be_equal_and_equal_ones_are() -> None:
    assert fisher(Share(9000, 10_000), Share(0, 10_000)) < 1e-300
    assert fisher(Share(50, 10_000), Share(50, 10_000)) == pytest.approx(1)


@pytest.mark.verifies("VA-CAM-06")
def test_nothing_seen_in_ten_thousand_bounds_the_rate_at_three_in_ten_thousand() -> None:
    assert rule_of_three(10_000) == pytest.approx(3e-4)
    assert Share(0, 10_000).upper_of_none == pytest.approx(3e-4)
    assert Share(1, 10_000).upper_of_none is None
    assert wilson(0, 10_000)[1] == pytest.approx(3.84e-4, rel=1e-3)


def test_without_trials_nothing_is_known() -> None:
    assert wilson(0, 0) == (0, 1)
    assert Share(0, 0).rate == 0
    assert Share(0, 0).upper_of_none is None
