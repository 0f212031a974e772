"""The payload's mode: one value, changed in one place, told to whoever must act on it."""

from __future__ import annotations

from collections.abc import Callable

from icd.dictionary import Mode

Listener = Callable[[Mode, str], None]


class Modes:
    """Holds the mode and tells listeners of a change, with its reason."""

    def __init__(self, mode: Mode = Mode.NOMINAL) -> None:
        self.now = mode
        self._listeners: list[Listener] = []

    def listen(self, listener: Listener) -> None:
        """Be told of every change from now on."""
        self._listeners.append(listener)

    def change(self, mode: Mode, reason: str) -> None:
        """Enter a mode; entering the present one again is no change."""
        if mode is self.now:
            return
        self.now = mode
        for listener in self._listeners:
            listener(mode, reason)
