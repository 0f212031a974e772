"""How the companion of an emulated board shows that it runs, where no library speaks for it.

A file of eight octets: CLOCK_MONOTONIC in ns, little-endian, when the companion last turned. That
clock is one for the whole computer, and nobody sets it.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

ENVIRONMENT = "VANALLEN_BOARD_BEAT"
"""Environment variable: the file."""
SILENCE_S = 10.0
"""A companion that has not beaten for so long has stopped."""
_FORMAT = struct.Struct("<Q")


def write_beat(path: Path, now_ns: int) -> None:
    """Leave a beat; raises OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.pwrite(descriptor, _FORMAT.pack(now_ns), 0)
    finally:
        os.close(descriptor)


def silent_for_s(path: Path, now_ns: int) -> float | None:
    """How long there was no beat, in s, when that is too long; None: all is well, or none is."""
    try:
        octets = path.read_bytes()
    except OSError:
        return None
    if len(octets) != _FORMAT.size:
        return None
    silent_s = (now_ns - int(_FORMAT.unpack(octets)[0])) / 1e9
    return silent_s if silent_s > SILENCE_S else None
