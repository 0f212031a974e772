"""What the board monitor tells others on board: faults as they come, silence, and a picture."""

from __future__ import annotations

import enum
from collections.abc import Callable
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

    def fault(self, fault: Fault, taken: Callable[[], None]) -> bool:
        """The driver reported a fault, or a device turned out to be lost.

        `taken` is called once it is acted upon, or about to be. False: nothing is taken now, and
        the fault is to be told again.
        """
        ...

    def back(self, device: int) -> None:
        """A device that was lost answers again."""
        ...

    def silent(self, is_silent: bool) -> None:
        """Readings stay away, or come again."""
        ...


class BoardNotifications:
    """Passes what the board monitor finds on to one listener; outlives the monitor's restarts."""

    def __init__(self) -> None:
        self._listener: BoardListener | None = None

    def listen(self, listener: BoardListener) -> None:
        """Be told from now on, instead of whoever was before."""
        self._listener = listener

    def fault(self, fault: Fault, taken: Callable[[], None]) -> bool:
        """Tell of a fault; False when it is to be told again."""
        if self._listener is not None:
            return self._listener.fault(fault, taken)
        taken()
        return True

    def back(self, device: int) -> None:
        """Tell that a device answers again."""
        if self._listener is not None:
            self._listener.back(device)

    def silent(self, is_silent: bool) -> None:
        """Tell that readings stay away, or are back."""
        if self._listener is not None:
            self._listener.silent(is_silent)
