"""Decides what is told of one GPU: what changed, once, and when it is over."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from flight.components.board.dictionary import BoardParameters
from flight.components.board.notifications import Condition, DevicePicture
from flight.components.board.readings import THROTTLING, Row, throttle_labels
from flight.framework.time_units import SECOND
from hal.reading import Validity

Telling = tuple[str, tuple[Any, ...]]
"""The name of an event and its arguments."""

COLDEST_C = -273.15
WELL_BELOW = 0.95
"""Share of its limit at which power is normal again."""


@dataclass(frozen=True)
class Bounds:
    """When temperature and power warn, and when throttling is over."""

    warning_c: float
    critical_c: float
    warning_w: float
    """0: no power warns."""
    hysteresis_c: float
    calm_ns: int

    @classmethod
    def of(cls, chosen: BoardParameters) -> Bounds:
        """Those that ground chose."""
        return cls(
            chosen.warning_c,
            chosen.critical_c,
            chosen.warning_w,
            chosen.hysteresis_c,
            int(chosen.calm_s * SECOND),
        )


def keep(rows: dict[str, Row], row: Row) -> None:
    """Keep a reading; where nothing was measured the last value stays, and validity tells."""
    before = rows.get(row.quantity)
    if row.value is None and before is not None:
        row = row._replace(value=before.value)
    rows[row.quantity] = row


@dataclass(eq=False)
class Gpu:
    """The readings of one GPU, and what was told of it.

    state      told on entry        left when
    lost       device_lost          no reading is LOST any more: device_back
    hot        temperature_warning  below the limit less the hysteresis: temperature_normal
    critical   temperature_critical below that limit less the hysteresis
    greedy     power_warning        at 95 % of the limit or less: power_normal
    throttled  throttled            without a reason for `calm_ns`: throttle_cleared
    """

    device: int
    rows: dict[str, Row] = field(default_factory=dict)
    is_lost: bool = False
    is_hot: bool = False
    is_critical: bool = False
    is_greedy: bool = False
    throttle: int = 0
    throttled_ns: int = 0

    @property
    def badness(self) -> tuple[bool, float, int]:
        """A lost GPU is worst, then the hottest, then the first."""
        temperature = self.value("temperature_c")
        return self.is_lost, COLDEST_C if temperature is None else temperature, -self.device

    def take(self, row: Row) -> None:
        """Keep a reading of it."""
        keep(self.rows, row)

    def value(self, quantity: str) -> float | None:
        """A value that can be believed."""
        row = self.rows.get(quantity)
        return row.value if row is not None and row.validity is Validity.VALID else None

    def picture(self, received: int, is_stale: bool) -> DevicePicture:
        """How it is, for others on board."""
        found = [row.validity for row in self.rows.values()]
        if Validity.LOST in found:
            condition = Condition.LOST
        elif Validity.VALID in found and not is_stale:
            condition = Condition.WELL
        else:
            condition = Condition.UNWELL
        told = ("recovery_action", "boot_slot", "ecc_corrected_volatile")
        return DevicePicture(self.device, received, condition, *map(self._whole, told))

    def _whole(self, quantity: str) -> int | None:
        value = self.value(quantity)
        return None if value is None else int(value)

    def lose(self, reason: str) -> Iterator[Telling]:
        """The driver says that it is gone."""
        if not self.is_lost:
            self.is_lost = True
            yield "device_lost", (self.device, reason)

    def look(self, now: int, bounds: Bounds) -> Iterator[Telling]:
        """New readings have come."""
        for row in self.rows.values():
            if row.validity is Validity.LOST:
                yield from self.lose(row.reason)
                return
        if self.is_lost:
            self.is_lost = False
            yield "device_back", (self.device,)
        yield from self._look_at_temperature(bounds)
        yield from self._look_at_power(bounds)
        yield from self._look_at_throttle(now, bounds)

    def _look_at_temperature(self, bounds: Bounds) -> Iterator[Telling]:
        temperature = self.value("temperature_c")
        if temperature is None:
            return
        if not self.is_hot and temperature > bounds.warning_c:
            self.is_hot = True
            yield "temperature_warning", (self.device, temperature)
        elif self.is_hot and temperature < bounds.warning_c - bounds.hysteresis_c:
            self.is_hot = False
            yield "temperature_normal", (self.device, temperature)
        if not self.is_critical and temperature > bounds.critical_c:
            self.is_critical = True
            yield "temperature_critical", (self.device, temperature)
        elif temperature < bounds.critical_c - bounds.hysteresis_c:
            self.is_critical = False

    def _look_at_power(self, bounds: Bounds) -> Iterator[Telling]:
        power, limit = self.value("power_w"), bounds.warning_w
        if power is None:
            return
        if not self.is_greedy and 0.0 < limit < power:
            self.is_greedy = True
            yield "power_warning", (self.device, power)
        elif self.is_greedy and power <= limit * WELL_BELOW:
            self.is_greedy = False
            yield "power_normal", (self.device, power)

    def _look_at_throttle(self, now: int, bounds: Bounds) -> Iterator[Telling]:
        reasons = self.value("throttle_reasons")
        if reasons is None:
            return
        throttle = int(reasons) & THROTTLING
        if throttle:
            self.throttled_ns = now
            if throttle & ~self.throttle:
                self.throttle |= throttle
                yield "throttled", (self.device, int(reasons), throttle_labels(throttle))
        elif self.throttle and now - self.throttled_ns >= bounds.calm_ns:
            self.throttle = 0
            yield "throttle_cleared", (self.device,)
