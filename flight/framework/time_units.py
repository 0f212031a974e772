"""Units of on-board time, which is an int of nanoseconds."""

from __future__ import annotations

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
