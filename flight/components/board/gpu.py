"""One GPU as its readings show it, and what was told of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from flight.components.board.notifications import Condition, DevicePicture
from flight.components.board.readings import Row
from hal.reading import Validity

COLDEST_C = -273.15
NOISY = ("power_w", "energy_j", "temperature_c", "utilization_percent")
"""Quantities of which at least one moves while a GPU computes."""
COUNTERS = (
    "energy_j",
    "ecc_corrected_volatile",
    "ecc_uncorrected_volatile",
    "ecc_corrected_aggregate",
    "ecc_uncorrected_aggregate",
    "remapped_rows_corrected",
    "remapped_rows_uncorrected",
    "pcie_replays",
    "pcie_correctable",
    "pcie_non_fatal",
    "pcie_fatal",
)
"""Quantities that only rise, until something begins them anew."""


def keep(rows: dict[str, Row], row: Row) -> None:
    """Keep a reading; where nothing was measured the last value stays, and validity tells."""
    before = rows.get(row.quantity)
    if row.value is None and before is not None:
        row = row._replace(value=before.value)
    rows[row.quantity] = row


@dataclass(eq=False)
class Gpu:
    """The readings of one GPU by quantity, and the states that `lifecycle` has told of."""

    device: int
    rows: dict[str, Row] = field(default_factory=dict)
    is_lost: bool = False
    is_hot: bool = False
    is_critical: bool = False
    is_greedy: bool = False
    throttle: int = 0
    """The reasons to throttle that were told, as NVML's bits."""
    throttled_ns: int = 0
    """When there was a reason last."""
    mute_reason: str | None = None
    """The first error, where readings fail and none can be believed."""
    is_mute: bool = False
    mute_since: int | None = None
    is_still: bool = False
    moved: int = 0
    """When a noisy quantity changed last, or when it had no need to."""
    noise: tuple[float | None, ...] = ()
    is_busy: bool = False
    """Whether it computes, as far as it tells, and tells of power or energy besides."""
    counts: dict[str, float] = field(default_factory=dict)
    """Counters as they were believed last."""

    @property
    def badness(self) -> tuple[bool, float, int]:
        """A lost GPU is worst, then the hottest, then the first."""
        temperature = self.value("temperature_c")
        return self.is_lost, COLDEST_C if temperature is None else temperature, -self.device

    def value(self, quantity: str) -> float | None:
        """A value that can be believed."""
        row = self.rows.get(quantity)
        return row.value if row is not None and row.validity is Validity.VALID else None

    def why_lost(self) -> str | None:
        """The reason of the first reading that is lost; None: none is."""
        lost = (row.reason for row in self.rows.values() if row.validity is Validity.LOST)
        return next(lost, None)

    def _why_mute(self) -> str | None:
        found = self.rows.values()
        if any(row.validity is Validity.VALID for row in found):
            return None
        return next((row.reason for row in found if row.validity is Validity.ERROR), None)

    def look(self, now: int) -> None:
        """Its readings have changed: see whether it computes, moves, and answers at all."""
        self.mute_reason = self._why_mute()
        power_w, energy_j, _, use = noise = tuple(map(self.value, NOISY))
        processes = self.value("processes")
        has_noise = power_w is not None or energy_j is not None
        self.is_busy = has_noise and bool(use if processes is None else processes)
        if noise != self.noise:
            self.noise, self.moved = noise, now

    def fallen(self) -> list[str]:
        """The counters that went back since the last call."""
        found = []
        for quantity in COUNTERS:
            value = self.value(quantity)
            if value is None:
                continue
            if value < self.counts.get(quantity, value):
                found.append(quantity)
            self.counts[quantity] = value
        return found

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
