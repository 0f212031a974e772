"""The only file of ground that reads the computer's clock."""

from __future__ import annotations

import time


def wall_ns() -> int:
    """Nanoseconds since 1970, UTC as this computer believes it."""
    return time.time_ns()


def monotonic() -> float:
    """Seconds that never go back; for deadlines."""
    return time.monotonic()
