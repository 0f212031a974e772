"""CCSDS unsegmented time code (301.0-B-4), 4 + 3 octets: on-board nanoseconds as seven octets."""

from __future__ import annotations

SIZE = 7
SECOND = 1_000_000_000
LAST = (1 << 32) * SECOND - 1
"""The last representable on-board time, in ns: the year 2094."""


def encode(time_ns: int) -> bytes:
    """Seven octets for `time_ns`, TAI nanoseconds since 1958, rounded down to 2**-24 s.

    Raises ValueError outside 1958 … 2094.
    """
    if not 0 <= time_ns <= LAST:
        raise ValueError(f"time {time_ns} ns is outside CUC 4+3; give 0 … {LAST} ns since 1958")
    seconds, rest = divmod(time_ns, SECOND)
    return ((seconds << 24) | (rest << 24) // SECOND).to_bytes(SIZE, "big")


def decode(octets: bytes) -> int:
    """On-board nanoseconds of seven octets; within 60 ns below what was encoded."""
    value = int.from_bytes(octets, "big")
    return (value >> 24) * SECOND + -(-((value & 0xFFFFFF) * SECOND) >> 24)
