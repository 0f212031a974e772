"""What became of a trial: outputs compared bit by bit, and what protection said meanwhile."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from flight.campaign.fault_models import Outcome
from flight.campaign.patterns import Array
from flight.fault_tolerance.levels import Tally


@dataclass(frozen=True)
class Ended:
    """How one trial ended. `error` is the largest deviation, in the reference's largest value."""

    outcome: Outcome
    error: float = 0.0
    found: tuple[str, ...] = ()
    """What protection did, in the words of the tally."""
    note: str = ""


_IN_PLACE = ("corrected", "blocks_corrected")
_AGAIN = ("recomputed", "outvoted", "blocks_lost", "wrong", "known_wrong")


def found_in(tally: Tally) -> tuple[str, ...]:
    """The counts that say something was wrong, as words such as "recomputed"."""
    return tuple(name for name in (*_IN_PLACE, *_AGAIN) if getattr(tally, name))


def classify(
    *, has_fault: bool, is_right: bool, error: float, tolerance: float, tally: Tally
) -> Outcome:
    """The outcome of a trial that gave a result; `is_right`: every bit of every output is."""
    noticed = found_in(tally)
    if not is_right:
        return Outcome.TOLERABLE if error <= tolerance else Outcome.CRITICAL
    if not has_fault:
        return Outcome.FALSE_POSITIVE if noticed else Outcome.CLEAN
    if not noticed:
        return Outcome.MASKED
    was_corrected = any(name in _IN_PLACE for name in noticed)
    was_repeated = any(name in noticed for name in _AGAIN if name != "wrong")
    return Outcome.CORRECTED if was_corrected and not was_repeated else Outcome.RECOVERED


def is_same(outputs: Mapping[str, Array], reference: Mapping[str, Array]) -> bool:
    """Whether every output has the bits of the reference."""
    return all(outputs[name].tobytes() == array.tobytes() for name, array in reference.items())


def deviation(
    outputs: Mapping[str, Array], reference: Mapping[str, Array], scales: Mapping[str, Any]
) -> float:
    """The largest |output - reference| over its scale, over all outputs; infinite if not finite.

    A scale is a number, or an array of one for each element.
    """
    worst = 0.0
    for name, expected in reference.items():
        with np.errstate(all="ignore"):
            difference = np.abs(outputs[name].astype(np.float64) - expected.astype(np.float64))
            difference[outputs[name] == expected] = 0.0  # also where both are infinite
            largest = float(np.max(difference / scales[name], initial=0.0))
        if not math.isfinite(largest):
            return math.inf
        worst = max(worst, largest)
    return worst
