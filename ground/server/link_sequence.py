"""The outgoing link sequence: it rises for ever, across restarts and crashes."""

from __future__ import annotations

import os
from pathlib import Path

from icd.written import whole

AHEAD = 4096
"""How far the persisted ceiling runs ahead of the numbers in use."""


class LinkSequence:
    """Effects out strictly rising numbers; a restart goes on from the persisted ceiling."""

    def __init__(self, path: Path, first: int) -> None:
        """`first` is used when there is no file yet: microseconds since 1970 keep a station whose
        state was lost above everything it ever sent."""
        self._path = path
        try:
            self._next = whole(path.read_text())
        except (OSError, ValueError):
            self._next = first
        self._ceiling = self._next

    @property
    def next_value(self) -> int:
        return self._next

    def take(self) -> int:
        """The next number; raises OSError when its ceiling cannot be made durable."""
        if self._next >= self._ceiling:
            self._persist(self._next + AHEAD)
        value = self._next
        self._next += 1
        return value

    def advance(self, steps: int) -> None:
        """Leave numbers out: the other end may have taken them before it restarted."""
        self._next += steps

    def _persist(self, ceiling: int) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        replace_durably(self._path, f"{ceiling}\n".encode())
        self._ceiling = ceiling


def replace_durably(path: Path, content: bytes) -> None:
    """Replace a small file so that a crash leaves either the old or the new one."""
    temporary = path.with_name(path.name + ".new")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
