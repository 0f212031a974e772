"""A reading: one value of one sensor, and whether it can be believed."""

from __future__ import annotations

import enum
import time
from dataclasses import dataclass


@enum.unique
class Validity(enum.IntEnum):
    """Whether a value can be used, and if not, why not."""

    VALID = 0
    STALE = 1
    UNSUPPORTED = 2
    ERROR = 3
    OUT_OF_RANGE = 4
    LOST = 5


@dataclass(frozen=True)
class Reading:
    """A value with unit, time and validity.

    `value` is None whenever nothing was measured, and an int, exact to the last bit, where it is a
    number of things or a set of bits.
    """

    name: str
    value: float | int | None
    unit: str
    time_ns: int
    validity: Validity
    reason: str = ""

    @property
    def is_valid(self) -> bool:
        return self.validity is Validity.VALID


def invalid(name: str, unit: str, time_ns: int, validity: Validity, reason: str) -> Reading:
    return Reading(name, None, unit, time_ns, validity, reason)


_TAI_SINCE_1958_NS = (378_691_200 + 37) * 1_000_000_000
"""From Unix time to TAI since 1958: days between the epochs, 37 leap seconds (IERS Bulletin C)."""


_BEGAN_NS = time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME) + _TAI_SINCE_1958_NS
"""When this computer started, by the date that it had when this process began."""


def tai_now() -> int:
    """TAI nanoseconds since 1958, where no other clock is given.

    Right by the date that the computer had when this process began, and counted on from there: it
    goes neither back nor ahead when somebody sets the date, so that times may be subtracted.
    """
    return _BEGAN_NS + time.clock_gettime_ns(time.CLOCK_BOOTTIME)
