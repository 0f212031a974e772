"""What the board monitor tells others on board: faults as they come, silence, and a picture."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Protocol

from flight.components.board.readings import Fault


@enum.unique
class Condition(enum.Enum):
    """How the readings of a device are."""

    WELL = "valid"
    UNWELL = "not valid"
    LOST = "lost"


@dataclass(frozen=True)
class DevicePicture:
    """A device as the newest readings show it.

    `received` is the on-board time at which they came; `recovery_action` is NVML's field 230
    and `boot_slot` the slot that runs, None where the board does not tell; `corrected` counts
    the memory errors that were corrected since the driver began.
    """

    device: int
    received: int
    condition: Condition
    recovery_action: int | None
    boot_slot: int | None = None
    corrected: int | None = None


class BoardListener(Protocol):
    """Whoever acts on what happens to the board."""

    def fault(self, fault: Fault) -> None:
        """The driver reported a fault, or a device turned out to be lost."""
        ...

    def back(self, device: int) -> None:
        """A device that was lost answers again."""
        ...

    def silent(self, is_silent: bool) -> None:
        """Readings stay away, or come again."""
        ...


class BoardNotifications:
    """Passes what the board monitor finds on to its listeners; outlives the monitor's restarts."""

    def __init__(self) -> None:
        self._listeners: list[BoardListener] = []

    def listen(self, listener: BoardListener) -> None:
        """Be told from now on."""
        self._listeners.append(listener)

    def fault(self, fault: Fault) -> None:
        """Tell of a fault."""
        for listener in self._listeners:
            listener.fault(fault)

    def back(self, device: int) -> None:
        """Tell that a device answers again."""
        for listener in self._listeners:
            listener.back(device)

    def silent(self, is_silent: bool) -> None:
        """Tell that readings stay away, or are back."""
        for listener in self._listeners:
            listener.silent(is_silent)
