"""How results are protected, and the count of what that found."""

from __future__ import annotations

import enum
from dataclasses import astuple, dataclass, fields


@enum.unique
class Level(enum.IntEnum):
    """How a job's results are protected now; a higher level finds what a lower one does."""

    NONE = 0
    ABFT = 1
    """Checksums that the mathematics of a call keeps; without such an invariant, as `DMR`."""
    DMR = 2
    """Each call twice; where the two differ, again until two agree."""
    TMR = 3
    """Each call three times, and a vote."""


@enum.unique
class Protection(enum.IntEnum):
    """What ground asks for: one level throughout, or the level that the orbit calls for."""

    NONE = 0
    ABFT = 1
    DMR = 2
    TMR = 3
    ADAPTIVE = 4


@dataclass
class Tally:
    """What protection did in one process, counted from its start."""

    checks: int = 0
    """Results checked."""
    wrong: int = 0
    """Of those, results found wrong."""
    corrected: int = 0
    """Wrong results set right in place."""
    recomputed: int = 0
    """Wrong results computed again."""
    outvoted: int = 0
    """Copies that a majority overruled."""
    known_answers: int = 0
    """Problems with a known answer that were put in between."""
    known_wrong: int = 0
    """Of those, answers that were not the known one."""
    blocks_checked: int = 0
    """Blocks of the job's own memory checked at safe points."""
    blocks_corrected: int = 0
    blocks_lost: int = 0
    """Blocks with more errors than the code corrects; the job went back to a commit."""
    spent_ns: int = 0
    """Time spent on all of this."""

    def counts(self) -> tuple[int, ...]:
        """The counts in order of declaration."""
        return astuple(self)


TALLIES = len(fields(Tally))
