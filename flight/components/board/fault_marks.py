"""How far the faults of a board server have been heard: told once, and acknowledged once kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class FaultMarks:
    """Which faults were told, and up to which one all of them were taken by who acts on them.

    Faults have the numbers 1, 2, … of one board server, whose identity is `origin`.
    """

    def __init__(self, kept: Mapping[str, Any]) -> None:
        """`kept` is the content of a predecessor's marks; what makes no sense is none."""
        origin, heard = kept.get("server"), kept.get("heard")
        is_sound = type(origin) is int and type(heard) is int and heard >= 0
        self.origin: int | None = origin if is_sound else None
        self.told: int = heard if is_sound and type(heard) is int else 0
        self._open: set[int] = set()

    @property
    def heard(self) -> int:
        """All up to this number are told, and taken by who acts on them."""
        return min(self._open) - 1 if self._open else self.told

    def meet(self, origin: int) -> None:
        """A board server sends faults: another one counts from 1."""
        if origin != self.origin:
            self.origin, self.told = origin, 0
            self._open.clear()

    def begin(self, number: int) -> int | None:
        """A fault came; how many before it never did. None: it was told already."""
        if number <= self.told:
            return None
        missed, self.told = number - self.told - 1, number
        self._open.add(number)
        return missed

    def end(self, origin: int, number: int) -> None:
        """A fault was taken by who acts on it, or concerns nobody."""
        if origin == self.origin:
            self._open.discard(number)

    def content(self) -> dict[str, object]:
        """What a successor begins with."""
        return {"server": self.origin, "heard": self.heard}
