"""The order in which regions are walked: asked-for ones first, then whichever is due longest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


@dataclass
class Progress:
    """How far one region is walked. Times in ns; None: not yet."""

    octets: int
    blocks: int
    next_block: int = 0
    began: int | None = None
    """When the walk under way, or else the last one, began."""
    ended: int | None = None
    """When the last whole walk ended."""
    passes: int = 0
    is_wanted: bool = False
    """Asked for: it goes first."""

    @property
    def is_under_way(self) -> bool:
        return self.next_block > 0


class Turn(NamedTuple):
    """The blocks to look at next."""

    name: str
    first: int
    last: int


class Walk:
    """All regions, each walked once in `period` ns; a walk that began goes on to its end."""

    def __init__(self, period: int) -> None:
        self.period = period
        self.regions: dict[str, Progress] = {}
        self._current: str | None = None

    @property
    def octets(self) -> int:
        """Octets of all regions together."""
        return sum(progress.octets for progress in self.regions.values())

    def add(self, name: str, octets: int, blocks: int) -> None:
        """A region to be walked from now on, from its beginning."""
        self.regions[name] = Progress(octets, blocks)

    def drop(self, name: str) -> None:
        """Walk it no more."""
        self.regions.pop(name, None)

    def want(self, name: str) -> None:
        """Walk a region, or "" for all, from its beginning before the others. Raises KeyError."""
        for progress in self.regions.values() if not name else [self.regions[name]]:
            progress.is_wanted, progress.next_block = True, 0
        self._current = None

    def next(self, now: int, octets: int) -> Turn | None:
        """The next blocks of about so many octets; None when nothing is due."""
        name = self._chosen(now)
        if name is None:
            return None
        progress = self.regions[name]
        if not progress.is_under_way:
            progress.began = now
        self._current = name
        size = max(1, -(-progress.octets // progress.blocks))
        count = max(1, octets // size)
        return Turn(name, progress.next_block, min(progress.blocks, progress.next_block + count))

    def done(self, turn: Turn, now: int) -> bool:
        """Those blocks were looked at; True when that ended a whole walk of the region."""
        progress = self.regions.get(turn.name)
        if progress is None or turn.first != progress.next_block:
            return False
        progress.next_block = turn.last
        if turn.last < progress.blocks:
            return False
        progress.next_block, progress.is_wanted = 0, False
        progress.passes += 1
        progress.ended = now
        self._current = None
        return True

    def skip(self, name: str, now: int) -> None:
        """It cannot be walked now; others have their turn, and it has its own next time."""
        progress = self.regions[name]
        progress.next_block, progress.is_wanted, progress.began = 0, False, now
        self._current = None

    def due(self) -> int | None:
        """When there is something to look at; None without regions."""
        if not self.regions:
            return None
        return min(self._due(progress) for progress in self.regions.values())

    def _chosen(self, now: int) -> str | None:
        if self._current in self.regions:
            return self._current
        due = [(self._due(p), name) for name, p in self.regions.items()]
        soonest, name = min(due, default=(now + 1, ""))
        return name if soonest <= now else None

    def _due(self, progress: Progress) -> int:
        if progress.is_wanted:
            return -1
        if progress.began is None or progress.is_under_way:
            return 0
        return progress.began + self.period
