"""One job in the job table: what is saved of it, and what is known while this executive lives."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from flight.components.job_runner.ports import Control, JobStatus
from flight.fault_tolerance.levels import TALLIES, Protection
from flight.framework.time_units import SECOND


@enum.unique
class JobPhase(enum.IntEnum):
    """Where a job is in its life; numbers are for ever."""

    SUBMITTED = 0
    """Not yet durable: ground has no answer."""
    QUEUED = 1
    WAITING = 2
    """It may not start now; the reason says why."""
    STARTING = 3
    RUNNING = 4
    PAUSED = 5
    ENDING = 6
    """Told to end; its process is not gone yet."""
    FINISHING = 7
    """Ended well; its products are being published."""
    DONE = 8
    FAILED = 9
    CANCELLED = 10
    EXPIRED = 11
    """It used up its wall time."""
    INTERRUPTED = 12
    """Its process went with the launcher or the power; it is about to be queued again."""


# Tuples: a few comparisons are quicker than the hash of an enum, and this is asked of every row.
FINISHED = (JobPhase.DONE, JobPhase.FAILED, JobPhase.CANCELLED, JobPhase.EXPIRED)
WITH_PROCESS = (JobPhase.STARTING, JobPhase.RUNNING, JobPhase.PAUSED, JobPhase.ENDING)


@enum.unique
class Ending(enum.IntEnum):
    """Why a process was told to end."""

    NONE = 0
    CANCEL = 1
    EXPIRE = 2
    HANG = 3
    RECALL = 4
    """The board is in trouble: no fault of the job, which goes on from its last commit."""


@dataclass(frozen=True)
class Commit:
    """A commit on disk: state/jobs/<id>/commit.<slot>."""

    slot: str
    step: int
    size: int
    crc32: int


@dataclass(frozen=True)
class Digest:
    """What a file of the file store was when a job first read it."""

    size: int
    crc32: int
    sha256: str


@dataclass
class JobRecord:
    """One row of the job table; all of it survives a power-off."""

    id: int
    kind: int
    priority: int
    wall_s: int
    memory_mb: int
    arguments: bytes
    phase: JobPhase = JobPhase.SUBMITTED
    reason: str = ""
    is_held: bool = False
    """Paused by telecommand."""
    ending: Ending = Ending.NONE
    pid: int = 0
    start_time: int = 0
    attempt: int = 0
    """How often it was started."""
    failures: int = 0
    """Failed attempts since a commit went further than any before."""
    furthest: int = 0
    """Step of the furthest commit that was ever on disk."""
    has_fallen_back: bool = False
    """It resumed from the commit before the last, because the same step kept failing."""
    spent_ns: int = 0
    """Wall time used so far, pauses not counted."""
    step: int = 0
    total: int = 0
    commit: Commit | None = None
    previous: Commit | None = None
    inputs: Mapping[str, Digest] = field(default_factory=dict)
    products: int = 0
    protection: Protection = Protection.ADAPTIVE
    """As ground asked; a table from before there was a choice has none, and gets what ground
    asks for by default."""
    tally: tuple[int, ...] = (0,) * TALLIES
    """What protection did in those of its processes that are gone."""
    told: tuple[int, ...] = (0,) * TALLIES
    """How much of what protection did was told in events."""

    @property
    def is_finished(self) -> bool:
        """It will not run again."""
        return self.phase in FINISHED


@dataclass
class Run:
    """What is known of a job only while this executive lives; times are on-board ns."""

    since: int = 0
    """When it was begun or taken up again."""
    is_fresh: bool = False
    """Begun by this executive, and its process not yet known."""
    is_sent: bool = False
    """The launcher was asked for it."""
    control: Control | None = None
    """What its page was last told; None: by a predecessor, unknown."""
    status: JobStatus | None = None
    heartbeat: int = -1
    heartbeat_at: int = 0
    counted_at: int = 0
    """Up to when its wall time is counted."""
    kept_count: int = 0
    """Commit count of the page when a commit was last kept."""
    keeping: Commit | None = None
    next_keep: int = 0
    torn: int = 0
    """Copies in a row that changed while they were made."""
    asked_at: int = 0
    """When it was last asked or told to end."""
    urgency: int = 0
    """How it was told to end: 0 by its page, 1 by SIGTERM, 2 by SIGKILL."""
    not_before: int = 0
    """When it may be started, or published, again."""
    interruptions: int = 0
    """How often in a row it was cut off through no fault of its own."""


@dataclass(frozen=True)
class Policy:
    """The parameters that the lifecycle decides by, in ns where they are times."""

    slots: int = 1
    retries: int = 2
    back_off: int = 1 * SECOND
    hang: int = 30 * SECOND
    start: int = 120 * SECOND
    cancel_grace: int = 5 * SECOND
    kill_grace: int = 2 * SECOND
    disk_interval: int = 10 * SECOND
    longest_back_off: int = 60 * SECOND
    most_jobs: int = 256
