"""All memory of the payload: regions, owners, what nobody checks, and what hardware counted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from flight.components.scrubber.dictionary import ScrubberHousekeeping
from flight.components.scrubber.ports import Board, Jobs, MemoryErrors
from flight.components.scrubber.regions import Kind, Row, State
from flight.components.scrubber.worker_messages import Status
from flight.framework.time_units import SECOND

MIB = 1 << 20


class Shown(NamedTuple):
    """One row of the region table."""

    name: str
    kind: Kind
    state: State
    job: int
    octets: int
    passes: int
    age_s: float
    corrected: int
    lost: int


class MemoryMap:
    """What is known of all memory; made of what others tell when somebody looks."""

    def __init__(self, jobs: Jobs, board: Board) -> None:
        self._jobs = jobs
        self._board = board
        self.rows: dict[str, Row] = {}
        self.status = Status(0.0, 0, 0, 0, False, ())
        self._taken_at = 0

    def take_regions(self, rows: Sequence[Row], now: int) -> None:
        """The worker's table."""
        self.rows, self._taken_at = {row.name: row for row in rows}, now

    def regions(self) -> list[Shown]:
        """Every row of the region table."""
        return [*map(_shown, self.rows.values()), *self._owners(), *self._left()]

    def _owners(self) -> Iterator[Shown]:
        for own in self._jobs.owner_checked():
            if own.blocks:
                counts = (own.blocks, -1.0, own.corrected, own.lost)
                name = f"job-{own.job}"
                yield Shown(name, Kind.OWNER_CHECKED, State.CHECKED, own.job, 0, *counts)

    def _left(self) -> Iterator[Shown]:
        for name, octets in self.status.unscrubbed:
            yield Shown(name, Kind.UNSCRUBBED, State.LEFT, 0, octets, 0, -1.0, 0, 0)

    def memory_errors(self, hk: ScrubberHousekeeping) -> list[MemoryErrors]:
        """What every part of the payload counted."""
        found = list(self._board.memory_errors())
        for what, count in _counted(hk).items():
            found.append(MemoryErrors("scrubber", what, float(count), True))
        for own in self._jobs.owner_checked():
            where = f"job-{own.job}"
            found.append(MemoryErrors(where, "blocks_checked", float(own.blocks), True))
            found.append(MemoryErrors(where, "corrected", float(own.corrected), True))
            found.append(MemoryErrors(where, "lost", float(own.lost), True))
        return found

    def show(self, hk: ScrubberHousekeeping, now: int) -> None:
        """Fill in the fields about regions, owners and the worker, at on-board time `now` (ns)."""
        walked = [row for row in self.rows.values() if row.state is State.WALKED]
        hk.regions, hk.octets = len(walked), sum(row.octets for row in walked)
        states = [row.state for row in self.rows.values()]
        hk.open_regions = states.count(State.OPEN)
        hk.unusable_regions = states.count(State.UNUSABLE)
        hk.passes = sum(row.passes for row in walked)
        ages = [row.age_ms / 1000 for row in walked if row.age_ms >= 0]
        since = (now - self._taken_at) / SECOND
        hk.oldest_walk = max(ages) + since if ages else 0.0
        status = self.status
        hk.measured, hk.is_crowded = status.rate / MIB, status.is_crowded
        hk.longest_stripe = status.longest_us / 1000
        hk.unscrubbed = sum(octets for _, octets in status.unscrubbed)
        owners = self._jobs.owner_checked()
        hk.owner_blocks = sum(own.blocks for own in owners)
        hk.owner_corrected = sum(own.corrected for own in owners)
        hk.owner_lost = sum(own.lost for own in owners)


def _counted(hk: ScrubberHousekeeping) -> dict[str, int]:
    return {
        "corrected": hk.corrected,
        "checks_corrected": hk.checks_corrected,
        "lost": hk.lost,
        "reloaded": hk.reloaded,
        "program_changed": hk.program_changed,
    }


def _shown(row: Row) -> Shown:
    age_s = row.age_ms / 1000 if row.age_ms >= 0 else -1.0
    head = (row.name, row.kind, row.state, row.job, row.octets, row.passes)
    return Shown(*head, age_s, row.corrected, row.lost)
