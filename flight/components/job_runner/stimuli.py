"""What the job lifecycle is told, and what it asks for in return."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from flight.components.job_runner.ports import Control, JobStatus
from flight.components.job_runner.records import Commit, Digest, JobRecord, Policy
from flight.fault_tolerance.levels import Level, Protection
from icd.failures import FailureCode

# ---------------------------------------------------------------- stimuli: about one job


@dataclass(frozen=True)
class About:
    """A stimulus about one job."""

    job: int


class Order(About):
    """A telecommand about one job: refused, with a reason, in a phase that has no use for it."""


class Cancel(Order): ...


class Pause(Order): ...


class Resume(Order): ...


class Forget(Order): ...


@dataclass(frozen=True)
class SetPriority(Order):
    priority: int


@dataclass(frozen=True)
class SetProtection(Order):
    protection: Protection


class Stored(About):
    """The new row is durable."""


class NotStored(About):
    """The new row could not be stored: the submission is withdrawn."""


@dataclass(frozen=True)
class Prepared(About):
    """Its folder is empty and its inputs are there; `resume` is a commit that was read back."""

    inputs: Mapping[str, Digest]
    resume: Commit | None


@dataclass(frozen=True)
class NotPrepared(About):
    reason: str
    is_final: bool
    """Trying again is of no use: an input is missing, or is another one."""


@dataclass(frozen=True)
class Launched(About):
    pid: int
    start_time: int


@dataclass(frozen=True)
class NotLaunched(About):
    reason: str
    is_refused: bool
    """The launcher said no; otherwise it could not be reached, which is no fault of the job."""


@dataclass(frozen=True)
class Seen(About):
    """The job's status page."""

    status: JobStatus


@dataclass(frozen=True)
class Exited(About):
    """Its process ended; `status` is the last state of its page."""

    pid: int
    exit_status: int | None
    """None: unknown, or it was ended by a signal."""
    signal: int
    """0: none, or unknown."""
    rss_peak_mb: int
    limit: str = ""
    """The limit for which the launcher ended it: memory, wall or cpu."""
    status: JobStatus | None = None


@dataclass(frozen=True)
class Vanished(About):
    """The launcher does not know its process; `status` is the last state of its page."""

    status: JobStatus | None


@dataclass(frozen=True)
class CommitKept(About):
    commit: Commit


@dataclass(frozen=True)
class CommitNotKept(About):
    reason: str
    is_torn: bool
    """The file changed while it was copied."""


@dataclass(frozen=True)
class Published(About):
    products: int
    octets: int


@dataclass(frozen=True)
class NotPublished(About):
    reason: str
    is_lost: bool
    """The outputs are gone or wrong; otherwise trying again may help."""


@dataclass(frozen=True)
class Unkillable(About):
    """The launcher killed its process, and it lives on."""

    pid: int


class Due(About):
    """Time passed; made by the lifecycle itself for each job at a Tick."""


# ---------------------------------------------------------------- stimuli: about all


@dataclass(frozen=True)
class Restore:
    """The job table as it was on disk."""

    records: tuple[JobRecord, ...]
    next_id: int


@dataclass(frozen=True)
class Submit:
    kind: int
    priority: int
    wall_s: int
    memory_mb: int
    arguments: bytes
    protection: Protection = Protection.ADAPTIVE


@dataclass(frozen=True)
class Process:
    """A process that the launcher says is alive."""

    job: int
    pid: int
    start_time: int


@dataclass(frozen=True)
class LauncherTable:
    """Every process of the launcher; `pages` holds what was read of those it does not know."""

    alive: tuple[Process, ...]
    exited: tuple[Exited, ...]
    pages: Mapping[int, JobStatus]


@dataclass(frozen=True)
class HoldAll:
    reason: str


@dataclass(frozen=True)
class ReleaseAll: ...


@dataclass(frozen=True)
class RecallAll:
    """End every process begun by then; each job goes on from its last commit when it may run."""

    reason: str
    begun_by: int
    """On-board ns."""
    only: int = 0
    """This job and no other; 0: all."""


@dataclass(frozen=True)
class Adapt:
    """Jobs submitted as ADAPTIVE are protected at this level from now on."""

    level: Level


@dataclass(frozen=True)
class SetPolicy:
    policy: Policy


@dataclass(frozen=True)
class Tick: ...


AboutAll = (
    Restore | Submit | LauncherTable | HoldAll | ReleaseAll | RecallAll | Adapt | SetPolicy | Tick
)
Stimulus = About | AboutAll

# ---------------------------------------------------------------- instructions


@dataclass(frozen=True)
class Accepted:
    """The submission has this id; answer it when the table is durable."""

    job: int


@dataclass(frozen=True)
class Refusal:
    reason: str
    code: FailureCode = FailureCode.REFUSED


@dataclass(frozen=True)
class Save:
    """Write the job table."""


@dataclass(frozen=True)
class Show:
    """Send the job's status report: it changed phase."""

    job: int


@dataclass(frozen=True)
class Prepare:
    """Check the inputs, read back the commits (newest first), empty the job's folder."""

    job: int


@dataclass(frozen=True)
class Launch:
    job: int
    resume: Commit | None
    level: Level = Level.NONE
    """How its results are protected from its first step on."""


@dataclass(frozen=True)
class SetControl:
    job: int
    control: Control


@dataclass(frozen=True)
class SetLevel:
    """Say in the job's page how its results are to be protected."""

    job: int
    level: Level


@dataclass(frozen=True)
class Kill:
    job: int
    signal: int


@dataclass(frozen=True)
class AskLauncher:
    """Have the launcher send its table: an end may have been missed."""


@dataclass(frozen=True)
class Escalate:
    """Tell whoever recovers the board that the job's process was killed and lives on."""

    job: int
    pid: int


@dataclass(frozen=True)
class Acknowledge:
    """Have the launcher forget the end of the job's process."""

    job: int


@dataclass(frozen=True)
class KeepCommit:
    """Copy run/jobs/<id>/commit.<source> to the disk as `commit`, and check it."""

    job: int
    source: int
    commit: Commit


@dataclass(frozen=True)
class Publish:
    job: int


@dataclass(frozen=True)
class Clear:
    """Remove the job's folder in the run directory."""

    job: int


@dataclass(frozen=True)
class Remove:
    """Remove what is kept of a forgotten job, but not its products."""

    job: int


Instruction = (
    Accepted
    | Refusal
    | Save
    | Show
    | Prepare
    | Launch
    | SetControl
    | SetLevel
    | Kill
    | AskLauncher
    | Escalate
    | Acknowledge
    | KeepCommit
    | Publish
    | Clear
    | Remove
)
