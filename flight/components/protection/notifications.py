"""What the protection component tells others on board: how much radiation there is now."""

from __future__ import annotations

import enum
from typing import Protocol


@enum.unique
class Radiation(enum.IntEnum):
    """How much radiation there is, by forecast or by what it does."""

    QUIET = 0
    RAISED = 1
    """In a pass through the South Atlantic Anomaly, or as many errors as in one."""
    STORM = 2
    """A solar particle event, or as many errors as in one."""


class RadiationListener(Protocol):
    """Whoever does something else when there is more radiation."""

    def on_radiation(self, level: Radiation) -> None:
        """There is that much from now on."""
        ...


class RadiationNotifications:
    """Passes each change on to its listeners; outlives the component's restarts."""

    def __init__(self) -> None:
        self.now = Radiation.QUIET
        self._listeners: list[RadiationListener] = []

    def listen(self, listener: RadiationListener) -> None:
        """Be told of how it is, at once and at each change."""
        self._listeners.append(listener)
        listener.on_radiation(self.now)

    def tell(self, level: Radiation) -> None:
        """Tell of a change; the same again is none."""
        if level is self.now:
            return
        self.now = level
        for listener in self._listeners:
            listener.on_radiation(level)
