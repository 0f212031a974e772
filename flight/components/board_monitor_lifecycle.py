"""Decides what is told of one GPU: what changed, once, and when it is over."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from flight.board_readings import THROTTLING, Row, throttle_labels
from flight.board_signals import Condition, DevicePicture
from hal.reading import Validity

Telling = tuple[str, tuple[Any, ...]]
"""The name of an event and its arguments."""

COLDEST_C = -273.15


@dataclass(frozen=True)
class Bounds:
    """When a temperature warns, and when throttling is over."""

    warning_c: float
    hysteresis_c: float
    calm_ns: int


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
    throttled  throttled            without a reason for `calm_ns`: throttle_cleared
    """

    device: int
    rows: dict[str, Row] = field(default_factory=dict)
    is_lost: bool = False
    is_hot: bool = False
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
        action = self.value("recovery_action")
        if Validity.LOST in found:
            condition = Condition.LOST
        elif Validity.VALID in found and not is_stale:
            condition = Condition.WELL
        else:
            condition = Condition.UNWELL
        return DevicePicture(
            self.device, received, condition, None if action is None else int(action)
        )

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
