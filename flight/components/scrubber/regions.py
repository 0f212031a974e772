"""Regions of memory as the scrubber tells them apart, and what follows when a block of one is lost.

    kind      what it is                                   a lost block
    JOB       sealed by a job, nowhere else                the job goes back to its last commit
    GOLDEN    sealed by a job, a copy of a file            is read from the file again
    FILE      registered by ground, a copy of a file       is read from the file again
    TEST      made by the scrubber, to inject errors into  is made anew
    PROGRAM   code and tables of the executive             the executive is started anew

Where that does not help, the next step of the kind's row in `STEPS` follows.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from typing import NamedTuple

TEST_REGION = "test"
"""Name of the one region in which errors may be injected."""
MOST_REGIONS = 256
MOST_FOUND = 64
"""Rows of one message."""
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,47}")


@enum.unique
class Kind(enum.IntEnum):
    """What a region is; numbers are for ever."""

    JOB = 1
    GOLDEN = 2
    FILE = 3
    TEST = 4
    PROGRAM = 5
    OWNER_CHECKED = 6
    """Arrays that a job checks itself, at its safe points."""
    UNSCRUBBED = 7
    """Memory that changes without safe points: nobody checks it."""


@enum.unique
class State(enum.IntEnum):
    """What is done with a region."""

    WALKED = 1
    OPEN = 2
    """Its owner writes it; it is walked once it is sealed."""
    UNUSABLE = 3
    """It cannot be walked: see the event that said so."""
    RETIRED = 4
    CHECKED = 5
    """By its owner."""
    LEFT = 6
    """To itself: unscrubbed."""


@enum.unique
class Step(enum.IntEnum):
    """What may be done about a lost block."""

    LOG = 0
    ROLL_BACK = 1
    RELOAD = 2
    REMAKE = 3
    RETIRE = 4
    RESTART_EXECUTIVE = 5

    @property
    def words(self) -> str:
        """What is done, for events and documents."""
        return _WORDS[self]


_WORDS = {
    Step.LOG: "told, nothing more",
    Step.ROLL_BACK: "the job goes back to its last commit",
    Step.RELOAD: "reload from the golden copy",
    Step.REMAKE: "make the region anew",
    Step.RETIRE: "retire the region",
    Step.RESTART_EXECUTIVE: "restart the executive",
}

STEPS: Mapping[Kind, tuple[Step, ...]] = {
    Kind.JOB: (Step.ROLL_BACK, Step.RETIRE),
    Kind.GOLDEN: (Step.RELOAD, Step.ROLL_BACK, Step.RETIRE),
    Kind.FILE: (Step.RELOAD, Step.RETIRE),
    Kind.TEST: (Step.REMAKE, Step.RETIRE),
    Kind.PROGRAM: (Step.RESTART_EXECUTIVE,),
    Kind.OWNER_CHECKED: (Step.LOG,),  # the owner has gone back to its commit by itself
    Kind.UNSCRUBBED: (Step.LOG,),
}


class Row(NamedTuple):
    """One region as the worker tells of it."""

    name: str
    kind: Kind
    job: int
    """The job that made it; 0: none."""
    made: int
    """Tells it from an earlier region of that name, or from itself with other content."""
    octets: int
    state: State
    passes: int
    """Times that it was walked from its first block to its last."""
    age_ms: int
    """Since the end of the last such walk; -1: there was none."""
    corrected: int
    lost: int
    """Blocks found lost at the last walk."""


@enum.unique
class Verdict(enum.IntEnum):
    """What became of a block that was found wrong; as `flight.edac.blocks.Verdict`."""

    CORRECTED = 1
    RECHECKED = 2
    LOST = 3


class Found(NamedTuple):
    """One block that was found wrong."""

    name: str
    kind: Kind
    job: int
    made: int
    block: int
    verdict: Verdict
    data_bits: int
    check_bits: int
    offset: int
    """Of the block in the region, in octets."""


class Unusable(NamedTuple):
    """A region that cannot be walked any more."""

    name: str
    kind: Kind
    job: int
    made: int
    reason: str


def is_name(text: str) -> bool:
    """Whether a region may be called so: a file name without a path."""
    return _NAME.fullmatch(text) is not None
