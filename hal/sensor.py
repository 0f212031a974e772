"""What a driver reads: quantities with a plausible range, and how one call becomes readings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hal.errors import BoardError, BoardLost, Unsupported
from hal.reading import Reading, Validity, invalid


@dataclass(frozen=True)
class Quantity:
    """One number that a measurement answers; outside low … high it is not believed."""

    name: str
    unit: str
    low: float = 0.0
    high: float = 2**64 - 1
    """Counters and sets of bits are compared as whole numbers, which no float is at this size."""


@dataclass(frozen=True)
class Sensor:
    """One measurement and the quantities it answers, in order. `measure` raises BoardError."""

    quantities: tuple[Quantity, ...]
    measure: Callable[[], tuple[float | int, ...]]

    def read(self, prefix: str, time_ns: int) -> list[Reading]:
        """Measure; trouble with the hardware is in the readings."""
        try:
            values = self.measure()
        except BoardError as error:
            return self.failed(prefix, time_ns, error)
        pairs = zip(self.quantities, values, strict=True)
        return [_reading(prefix, time_ns, quantity, value) for quantity, value in pairs]

    def failed(self, prefix: str, time_ns: int, error: BoardError) -> list[Reading]:
        """Its readings when a measurement ends in `error`."""
        validity = Validity.ERROR
        if isinstance(error, BoardLost):
            validity = Validity.LOST
        elif isinstance(error, Unsupported):
            validity = Validity.UNSUPPORTED
        return [
            invalid(prefix + quantity.name, quantity.unit, time_ns, validity, str(error))
            for quantity in self.quantities
        ]


def single(quantity: Quantity, measure: Callable[[], float | int]) -> Sensor:
    """A sensor of one quantity."""
    return Sensor((quantity,), lambda: (measure(),))


def _reading(prefix: str, time_ns: int, quantity: Quantity, value: float | int) -> Reading:
    validity, reason = Validity.VALID, ""
    if not quantity.low <= value <= quantity.high:
        validity = Validity.OUT_OF_RANGE
        reason = f"outside {quantity.low:g} … {quantity.high:g} {quantity.unit}"
    return Reading(prefix + quantity.name, value, quantity.unit, time_ns, validity, reason)
