"""What protection did for each job, from pages that are not trusted: counted once, told seldom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

from flight.components.job_runner.dictionary import JobEvents
from flight.fault_tolerance.levels import TALLIES, Tally
from flight.framework.lifecycle import Event
from flight.framework.time_units import SECOND

Counts = tuple[int, ...]
"""The counts of a `Tally`, in order of declaration."""
NO_COUNTS: Counts = (0,) * TALLIES
LARGEST = (1 << 64) - 1
NAMES = tuple(field.name for field in fields(Tally))

REPAIRED = ("wrong", "corrected", "recomputed", "outvoted", "blocks_corrected")
FAILED = ("known_wrong", "blocks_lost")
GROUPS: tuple[tuple[Event, tuple[str, ...], int], ...] = (
    (JobEvents.results_repaired, REPAIRED, 60 * SECOND),
    (JobEvents.protection_failed, FAILED, 1 * SECOND),
)
"""Event, the counts it tells, and the shortest time between two of one job: what comes in between
is told with the next one, so that a job whose page counts without end floods nobody."""


def added(one: Counts, other: Counts) -> Counts:
    """The sum, count by count; beyond 64 bits it stays there."""
    return tuple(min(a + b, LARGEST) for a, b in zip(one, other, strict=True))


def counts_of(plain: Sequence[object]) -> Counts:
    """Counts as a saved table has them; raises ValueError. A count it does not have is 0."""
    counts = [count for count in plain if type(count) is int and 0 <= count <= LARGEST]
    if len(counts) != len(plain):
        raise ValueError("a count is a whole number of at most 64 bits")
    return tuple((*counts, *NO_COUNTS)[:TALLIES])


def chosen(counts: Counts, names: Sequence[str]) -> Counts:
    """Some of the counts, by name."""
    return tuple(counts[NAMES.index(name)] for name in names)


@dataclass
class Ledger:
    """The counts of one job over all its processes, and how much of them was told."""

    gone: Counts = NO_COUNTS
    """Of processes that are gone."""
    told: Counts = NO_COUNTS
    """Of the total, what events have said."""
    counted: Counts = NO_COUNTS
    """Of the total, what is in the sums of this executive."""
    present: Counts = NO_COUNTS
    """Of the present process."""
    is_refused: bool = False
    """The present process said what cannot be; its counts are not believed any more."""
    told_at: tuple[int | None, ...] = (None,) * len(GROUPS)

    @property
    def total(self) -> Counts:
        """Of all its processes."""
        return added(self.gone, self.present)

    def take(self, counts: Counts) -> bool:
        """Take what the page of the present process says; False when a count went back."""
        is_sound = len(counts) == TALLIES and all(
            now >= before for now, before in zip(counts, self.present, strict=True)
        )
        if is_sound and not self.is_refused:
            self.present = counts
        return is_sound

    def settle(self) -> None:
        """The present process is gone."""
        self.gone, self.present, self.is_refused = self.total, NO_COUNTS, False

    def rise(self) -> Counts:
        """What came since this was last asked."""
        total, before = self.total, self.counted
        self.counted = total
        return tuple(max(0, now - old) for now, old in zip(total, before, strict=True))

    def news(self, now: int, is_last: bool = False) -> list[tuple[Event, Counts]]:
        """The events that are due at `now` (on-board ns), each with what is new in its counts."""
        found = []
        total = self.total
        for place, (event, names, interval) in enumerate(GROUPS):
            new = tuple(
                a - b for a, b in zip(chosen(total, names), chosen(self.told, names), strict=True)
            )
            if max(new) <= 0 or not (is_last or self._is_due(place, now, interval)):
                continue
            self.told_at = (*self.told_at[:place], now, *self.told_at[place + 1 :])
            self.told = tuple(
                total[i] if name in names else self.told[i] for i, name in enumerate(NAMES)
            )
            found.append((event, new))
        return found

    def _is_due(self, place: int, now: int, interval: int) -> bool:
        at = self.told_at[place]
        return at is None or not at <= now < at + interval
