"""Which octets of a file have arrived: disjoint ranges, merged as they come."""

from __future__ import annotations

from bisect import bisect_left


class Ranges:
    """Half-open ranges [first, end), kept sorted and merged."""

    def __init__(self) -> None:
        self._ranges: list[tuple[int, int]] = []

    @property
    def total(self) -> int:
        """How many octets are covered."""
        return sum(end - first for first, end in self._ranges)

    @property
    def contiguous(self) -> int:
        """How many octets are covered from 0 on without a hole."""
        return self._ranges[0][1] if self._ranges and self._ranges[0][0] == 0 else 0

    def add(self, first: int, end: int) -> int:
        """Cover a range; returns how many of its octets are new."""
        if end <= first:
            return 0
        before = self.total
        low = bisect_left(self._ranges, (first, first))
        if low and self._ranges[low - 1][1] >= first:
            low -= 1
        high = low
        while high < len(self._ranges) and self._ranges[high][0] <= end:
            first = min(first, self._ranges[high][0])
            end = max(end, self._ranges[high][1])
            high += 1
        self._ranges[low:high] = [(first, end)]
        return self.total - before

    def holes(self, size: int) -> list[tuple[int, int]]:
        """The ranges of [0, size) that are not covered."""
        found = []
        position = 0
        for first, end in self._ranges:
            if first > position:
                found.append((position, min(first, size)))
            position = max(position, end)
        if position < size:
            found.append((position, size))
        return found
