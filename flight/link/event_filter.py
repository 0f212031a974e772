"""Holds back floods of events: a token bucket an event, and what ground disabled."""

from __future__ import annotations

from collections.abc import Callable

from flight.framework.time_units import SECOND
from icd.dictionary import Severity

BURST = 32
REFILL_NS = SECOND // 15
"""One token every 1/15 s, up to a burst of 32: the figures of cFS."""
_FULL = BURST * REFILL_NS

Key = tuple[int, int]
"""(APID, event number)."""


class EventFilter:
    """Admits 15 a second of each event with a burst of 32; HIGH always.

    Buckets are kept as the time at which they will be full again (the generic cell rate
    algorithm), so that an event costs one comparison.
    """

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._full_at: dict[Key, int] = {}
        self._disabled: set[Key] = set()
        self.suppressed: dict[Key, int] = {}
        self.total_suppressed = 0

    def admits(self, apid: int, number: int, severity: Severity) -> bool:
        """Whether to send it now; a held-back one is counted."""
        if severity is Severity.HIGH:
            return True
        key = (apid, number)
        now = self._clock()
        full_at = max(self._full_at.get(key, 0), now) + REFILL_NS
        if key in self._disabled or full_at - now > _FULL:
            self.suppressed[key] = self.suppressed.get(key, 0) + 1
            self.total_suppressed += 1
            return False
        self._full_at[key] = full_at
        return True

    def enable(self, apid: int, number: int, on: bool) -> None:
        """Let an event pass, or hold it back until further notice."""
        (self._disabled.discard if on else self._disabled.add)((apid, number))

    def take_suppressed(self) -> dict[Key, int]:
        """What was held back by rate since the last call; disabled events are not news."""
        taken = {k: n for k, n in self.suppressed.items() if k not in self._disabled}
        self.suppressed.clear()
        return taken
