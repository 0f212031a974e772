"""Every outcome class, provoked by a kernel made up for it."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest

from flight.campaign.address import Address
from flight.campaign.fault_models import Model, Outcome, Shield, Site
from flight.campaign.outcomes import Ended, classify, deviation
from flight.campaign.patterns import Pattern
from flight.fault_tolerance.levels import Tally
from tests.flight.campaign.made_up import Doubler, SumSettings


def attempt(
    habit: str, shield: Shield, pattern: Pattern | None, site: Site = Site.HOST, array: str = "x"
) -> Ended:
    kernel = Doubler(SumSettings(habit=habit), 1)
    faults = [Address(site, Model.SINGLE, 0, 0, array, 0, pattern)] if pattern else []
    return kernel.attempt(shield, 0, faults)


LOW, HIGH = Pattern(0, b"\1"), Pattern(3, b"\x40")
LOST = Pattern(0, b"\1", count=2, stride=64)


@pytest.mark.verifies("VA-CAM-04")
@pytest.mark.parametrize(
    ("habit", "shield", "pattern", "outcome"),
    [
        ("unused", Shield.NONE, HIGH, Outcome.MASKED),
        ("good", Shield.EDAC, HIGH, Outcome.CORRECTED),
        ("good", Shield.EDAC, LOST, Outcome.RECOVERED),
        ("good", Shield.NONE, LOW, Outcome.TOLERABLE),
        ("good", Shield.NONE, HIGH, Outcome.CRITICAL),
        ("fragile", Shield.NONE, HIGH, Outcome.CRASH),
        ("strict", Shield.NONE, HIGH, Outcome.ABORT),
        ("good", Shield.TMR, None, Outcome.CLEAN),
        ("nervous", Shield.NONE, None, Outcome.FALSE_POSITIVE),
    ],
)
def test_a_fault_ends_as_it_must(
    habit: str, shield: Shield, pattern: Pattern | None, outcome: Outcome
) -> None:
    array = "spare" if habit == "unused" else "x"
    assert attempt(habit, shield, pattern, array=array).outcome is outcome


@pytest.mark.parametrize("shield", [Shield.ABFT, Shield.DMR, Shield.TMR])
def test_a_wrong_result_is_outvoted_and_counts_as_recovered(shield: Shield) -> None:
    ended = attempt("good", shield, HIGH, Site.ACCUMULATOR, "y")
    assert ended.outcome is Outcome.RECOVERED
    assert "outvoted" in ended.found


def test_an_error_is_measured_in_the_size_of_the_output() -> None:
    ended = attempt("good", Shield.NONE, Pattern(2, b"\x40"))  # the second highest of the mantissa
    assert ended.outcome is Outcome.CRITICAL
    assert 0.1 < ended.error < 0.5


@pytest.mark.parametrize(
    ("wrong", "is_infinite"), [(math.inf, True), (math.nan, True), (1.0, False)]
)
def test_what_is_not_finite_is_infinitely_wrong(wrong: float, is_infinite: bool) -> None:
    reference = {"y": np.array([2.0, math.inf])}
    outputs = {"y": np.array([wrong, math.inf])}
    assert math.isinf(deviation(outputs, reference, {"y": 2.0})) is is_infinite


def test_a_wrong_result_is_silent_even_when_something_else_was_corrected() -> None:
    tally = Tally(corrected=1)
    counts = Counter(
        classify(has_fault=True, is_right=False, error=error, tolerance=0.1, tally=tally)
        for error in (0.05, 0.1, 0.2, math.inf)
    )
    assert counts == {Outcome.TOLERABLE: 2, Outcome.CRITICAL: 2}
    assert all(outcome.is_silent for outcome in counts)
