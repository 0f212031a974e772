"""On-board time: TAI nanoseconds since 1958 that never go back; the only reader of the clock."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flight.framework.time_units import SECOND
from icd import cuc

TAI_SINCE_1958 = (378_691_200 + 37) * SECOND
"""From Unix time to TAI since 1958: the days between the epochs, and 37 leap seconds."""
CEILING_AHEAD = 60 * SECOND
"""How far the persisted ceiling is kept ahead of time."""
AT_ONCE = SECOND // 100
"""Two clocks that are read within this are read at one moment."""
LATEST_START = cuc.LAST - 366 * 86_400 * SECOND
"""A saved time beyond this is a mistake: soon after it no time stamp could show it."""


class OnboardClock:
    """Counts with the computer's monotonic clock from a persisted point.

    Within one boot of the computer it continues exactly where it was; after a reboot it continues
    from the persisted ceiling, so that it never shows a time twice, whatever the computer's own
    date says. Only the very first start takes that date.
    """

    def __init__(self, saved: Mapping[str, Any], boot_id: str) -> None:
        self.boot_id = boot_id
        uptime = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        offset, ceiling = saved.get("offset"), saved.get("ceiling")
        same_boot = boot_id and saved.get("boot_id") == boot_id
        if same_boot and isinstance(offset, int) and _is_time(offset + uptime):
            self._offset = offset
        elif isinstance(ceiling, int) and _is_time(ceiling):
            self._offset = ceiling - uptime
        else:
            self._offset = time.time_ns() + TAI_SINCE_1958 - uptime

    def now(self) -> int:
        """On-board nanoseconds."""
        return self._offset + time.clock_gettime_ns(time.CLOCK_BOOTTIME)

    def date_ahead(self) -> int:
        """How far the computer's date is ahead of on-board time, in ns of TAI.

        Changes only when somebody sets or steers the date: both are read at one moment.
        """
        while True:
            before = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
            date = time.time_ns()
            after = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
            if after - before < AT_ONCE:
                return date + TAI_SINCE_1958 - before - self._offset

    def saved(self) -> dict[str, Any]:
        """What to persist, at least once every `CEILING_AHEAD`."""
        return {
            "boot_id": self.boot_id,
            "offset": self._offset,
            "ceiling": self.now() + 2 * CEILING_AHEAD,
        }


def _is_time(nanoseconds: int) -> bool:
    return 0 < nanoseconds < LATEST_START


def computer_boot_id() -> str:
    """The kernel's name for this boot of the computer; empty when there is none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def epoch() -> int:
    """A number that differs at every start of the executive, for its channels."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def milliseconds_until(due: int, now: int, longest_ms: int = 1000) -> int:
    """How long a poll may wait, rounded up so that it does not wake too early."""
    return max(0, min(longest_ms, -((now - due) // 1_000_000)))
