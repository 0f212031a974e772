"""Sets of octet positions, kept as sorted ranges that never touch."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from operator import itemgetter

Range = tuple[int, int]
"""First position, and the one after the last."""

_start = itemgetter(0)
_end = itemgetter(1)


class Ranges:
    """Which octets of a file are known to be there, or are still to be sent."""

    def __init__(self, ranges: Iterable[Range] = ()) -> None:
        self._ranges: list[Range] = []
        for start, end in ranges:
            self.add(start, end)

    def __iter__(self) -> Iterator[Range]:
        return iter(self._ranges)

    def __len__(self) -> int:
        """How many separate ranges there are."""
        return len(self._ranges)

    @property
    def total(self) -> int:
        """How many octets they hold together."""
        return sum(end - start for start, end in self._ranges)

    @property
    def contiguous(self) -> int:
        """How many octets are there from position 0 on without a gap."""
        first = self._ranges[0] if self._ranges else (0, 0)
        return first[1] if first[0] == 0 else 0

    def add(self, start: int, end: int) -> None:
        """Add the octets from `start` up to, not including, `end`."""
        if start >= end:
            return
        if self._ranges and self._ranges[-1][1] == start:  # in order, as most come
            self._ranges[-1] = self._ranges[-1][0], end
            return
        first, last = self._touching(start, end)
        if first < last:
            start = min(start, self._ranges[first][0])
            end = max(end, self._ranges[last - 1][1])
        self._ranges[first:last] = [(start, end)]

    def covers(self, start: int, end: int) -> bool:
        """Whether every octet from `start` up to, not including, `end` is there."""
        if start >= end:
            return True
        holding = bisect_right(self._ranges, start, key=_start) - 1
        return holding >= 0 and end <= self._ranges[holding][1]

    def touches(self, start: int, end: int) -> bool:
        """Whether adding this range would lengthen one rather than begin another."""
        first, last = self._touching(start, end)
        return first < last

    def first_gap(self, size: int) -> Range | None:
        """The first range below `size` that is not there; None when all of it is."""
        position = self.contiguous
        if position >= size:
            return None
        after = next((start for start, _ in self._ranges if start > position), size)
        return position, min(after, size)

    def take(self, most: int) -> Range | None:
        """Remove and return up to `most` octets from the front; None when empty."""
        if not self._ranges:
            return None
        start, end = self._ranges[0]
        if end - start <= most:
            return self._ranges.pop(0)
        self._ranges[0] = (start + most, end)
        return start, start + most

    def cut(self, size: int) -> None:
        """Forget what lies at `size` or beyond."""
        self._ranges = [(start, min(end, size)) for start, end in self._ranges if start < size]

    def clear(self) -> None:
        """Forget everything."""
        self._ranges.clear()

    def _touching(self, start: int, end: int) -> tuple[int, int]:
        """The slice of ranges that overlap or adjoin this one."""
        first = bisect_left(self._ranges, start, key=_end)
        return first, bisect_right(self._ranges, end, lo=first, key=_start)
