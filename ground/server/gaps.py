"""Finds and counts what is missing, doubled or out of order in a wrapping sequence."""

from __future__ import annotations

from dataclasses import dataclass, field

REMEMBERED = 4096
"""Missing numbers that are remembered, so that a late one is told from a duplicate."""


@dataclass
class GapCounter:
    """One sequence that wraps at `modulus`; `missing` are those not (yet) seen."""

    modulus: int = 1 << 14
    expected: int | None = None
    received: int = 0
    gaps: int = 0
    missing: int = 0
    reordered: int = 0
    duplicates: int = 0
    _absent: dict[int, None] = field(default_factory=dict, repr=False)

    def see(self, number: int) -> int:
        """Count one number; returns how many were skipped just before it."""
        self.received += 1
        if number == self.expected:
            self.expected = (number + 1) % self.modulus
            return 0
        return self._see_odd(number)

    def _see_odd(self, number: int) -> int:
        if self.expected is None:
            self.expected = (number + 1) % self.modulus
            return 0
        ahead = (number - self.expected) % self.modulus
        if ahead < self.modulus // 2:
            self._remember(self.expected, ahead)
            self.expected = (number + 1) % self.modulus
            self.gaps += 1
            self.missing += ahead
            return ahead
        if number in self._absent:
            del self._absent[number]
            self.reordered += 1
            self.missing -= 1
        else:
            self.duplicates += 1
        return 0

    def _remember(self, first: int, count: int) -> None:
        for offset in range(max(0, count - REMEMBERED), count):
            number = (first + offset) % self.modulus
            self._absent.pop(number, None)
            self._absent[number] = None
        while len(self._absent) > REMEMBERED:
            del self._absent[next(iter(self._absent))]

    def restart(self) -> None:
        """The sender began anew; what was counted stays."""
        self.expected = None
        self._absent.clear()

    def summary(self) -> dict[str, int]:
        """The counts, for status replies."""
        return {
            "received": self.received,
            "gaps": self.gaps,
            "missing": self.missing,
            "reordered": self.reordered,
            "duplicates": self.duplicates,
        }


class ApidGaps:
    """One gap counter for each APID of a payload."""

    def __init__(self) -> None:
        self.counters: dict[int, GapCounter] = {}

    def see(self, apid: int, count: int) -> int:
        """Count one packet; returns how many were skipped just before it."""
        counter = self.counters.get(apid)
        if counter is None:
            counter = self.counters[apid] = GapCounter()
        return counter.see(count)

    def restart(self) -> None:
        for counter in self.counters.values():
            counter.restart()

    @property
    def missing(self) -> int:
        return sum(counter.missing for counter in self.counters.values())

    def summary(self) -> dict[int, dict[str, int]]:
        return {apid: counter.summary() for apid, counter in sorted(self.counters.items())}
