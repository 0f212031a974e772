"""One GPU as its readings show it, and what was told of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from flight.components.board.notifications import Condition, DevicePicture
from flight.components.board.readings import Row
from hal.reading import Validity

COLDEST_C = -273.15


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
