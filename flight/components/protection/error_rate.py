"""How many errors an hour there are: counters that only rise in, a rate with hysteresis out."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from flight.components.protection.notifications import Radiation
from flight.framework.time_units import SECOND

HOUR = 3600 * SECOND
BUCKETS = 60
"""In as many parts a window is counted."""
MOST_AT_ONCE = 1000
"""Of one source at one look no more than this counts: a counter that jumps is no measurement."""


@dataclass(frozen=True)
class Bounds:
    """From how many errors an hour there is how much radiation."""

    window: int = HOUR // 2
    """Over which errors are counted, in ns."""
    raised: float = 6.0
    storm: float = 60.0
    release: float = 0.5
    """It is over below this share of the rate at which it began."""

    def judge(self, rate: float, before: Radiation) -> Radiation:
        """How much radiation a rate of errors an hour tells of, after `before`."""
        if rate >= self.storm or (before is Radiation.STORM and rate >= self.storm * self.release):
            return Radiation.STORM
        if rate >= self.raised or (before > Radiation.QUIET and rate >= self.raised * self.release):
            return Radiation.RAISED
        return Radiation.QUIET


class RateMeter:
    """Counts the errors of one window, by the time at which they were seen."""

    def __init__(self) -> None:
        self._buckets: deque[tuple[int, int]] = deque(maxlen=2 * BUCKETS)
        self._last: dict[str, int] = {}
        self._fallen_from: dict[str, int] = {}
        """Where a counter stood before it fell, until it rises again."""
        self.seen: dict[str, int] = {}
        """Errors by source, since the start."""

    def look(self, now: int, totals: Mapping[str, int], window: int) -> None:
        """Take each source's counter; one that fell began anew, and one is first of all known.

        One that jumps back to where it had fallen from lied in between: what it counts beyond that
        has risen.
        """
        for source, total in totals.items():
            before = self._last.get(source, total)
            fallen_from = self._fallen_from.pop(source, None)
            if total < before:
                self._fallen_from[source] = max(before, fallen_from or 0)
            elif fallen_from is not None:
                if total >= fallen_from:
                    before = fallen_from
                elif total == before:
                    self._fallen_from[source] = fallen_from
            self._last[source] = total
            risen = min(max(0, total - before), MOST_AT_ONCE)
            if risen:
                self.seen[source] = self.seen.get(source, 0) + risen
                self.add(now, risen, window)

    def add(self, now: int, errors: int, window: int) -> None:
        """Count errors at a time."""
        if self._buckets and 0 <= now - self._buckets[-1][0] < window // BUCKETS:
            at, count = self._buckets.pop()
            self._buckets.append((at, count + errors))
        else:
            self._buckets.append((now, errors))

    def per_hour(self, now: int, window: int) -> float:
        """Errors an hour, over the window before `now`. When time went back nothing is forgotten:
        what lies ahead counts as of now."""
        if self._buckets and self._buckets[-1][0] > now:
            clamped = [(min(at, now), count) for at, count in self._buckets]
            self._buckets.clear()
            self._buckets.extend(clamped)
        while self._buckets and self._buckets[0][0] <= now - window:
            self._buckets.popleft()
        return sum(count for _, count in self._buckets) * HOUR / window
