"""What the job runner is plugged into besides its port: the launcher, status pages and file names.

The launcher is a `Worker`. The runner sends it
`hello {}`, `launch {id, job_id, kind, entry, parameters, folder, inputs, limits, resume, level}`,
`kill {job_id, signal}` and `acknowledge {job_id}`; it answers
`launched {id, job_id, pid, start_time}`, `refused {id, job_id, text}`,
`exited {job_id, pid, status, signal, rss_peak, reason}`, `unkillable {job_id, pid}` and
`table {jobs: [[job id, pid, start time]…], exited: [exited…]}`. Octets where it is memory.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from flight.fault_tolerance.levels import TALLIES, Level

MOST_METRICS = 8


@enum.unique
class PagePhase(enum.IntEnum):
    """How far the worker says it is."""

    STARTING = 0
    RUNNING = 1
    PAUSED = 2
    FINISHING = 3
    DONE = 4
    FAILED = 5
    CANCELLED = 6


@enum.unique
class Control(enum.IntEnum):
    """What the executive asks of a worker, through its status page."""

    RUN = 0
    PAUSE = 1
    CANCEL = 2


class JobStatus(NamedTuple):
    """A consistent picture of a status page; the job that wrote it is not trusted."""

    job_id: int = 0
    pid: int = 0
    start_time: int = 0
    phase: int = PagePhase.STARTING
    is_unconfined: bool = False
    """The kernel could not shut it into its folder."""
    heartbeat: int = 0
    """Any number that changes while the job is alive."""
    step: int = 0
    total: int = 0
    commit_step: int = 0
    commit_slot: int = 0
    """Which of commit.0 and commit.1 in the job's folder is the newest."""
    commit_count: int = 0
    """Commits since the process started; 0: none yet."""
    commit_bytes: int = 0
    """Octets of the whole commit file."""
    commit_crc: int = 0
    """CRC-32 of the whole commit file."""
    level: int = Level.NONE
    """The `Level` its results are protected at."""
    tally: tuple[int, ...] = (0,) * TALLIES
    """What protection did since the process started: the counts of a `Tally`."""
    metrics: tuple[float, ...] = (0.0,) * MOST_METRICS
    message: str = ""


class StatusPage(Protocol):
    """The executive's side of one job's status page."""

    def read(self) -> JobStatus | None:
        """The page as it stands; None while its writer does not let go of it."""
        ...

    def command(self, control: int) -> None:
        """Ask the worker to run, pause or cancel."""
        ...

    def protect(self, level: int) -> None:
        """Say how the job's results are to be protected: a `Level`."""
        ...

    def close(self) -> None: ...


class StatusPages(Protocol):
    """Finds status pages."""

    def open(self, job_id: int) -> StatusPage | None:
        """The page of that job; None while there is none, or it is not whole."""
        ...


@dataclass(frozen=True)
class JobSettings:
    """Where things are on this payload, and how much the job table holds."""

    state_folder: str
    """Absolute path of `state/`, as job processes see it."""
    run_folder: str
    """Absolute path of `run/`, as job processes see it."""
    most_jobs: int = 256
    """Rows of the job table; the oldest finished job is forgotten when one more is submitted."""

    def absolute(self, path: str) -> str:
        """The absolute path of a storage path."""
        root, _, rest = path.partition("/")
        return f"{self.state_folder if root == 'state' else self.run_folder}/{rest}"


class JobHolds:
    """The reasons for which jobs are held, by who gave them; `apply` is told of every change."""

    def __init__(self, apply: Callable[[], None]) -> None:
        self._apply = apply
        self._reasons: dict[str, str] = {}

    @property
    def reason(self) -> str:
        """The oldest reason; empty: jobs may run."""
        return next(iter(self._reasons.values()), "")

    def hold(self, who: str, reason: str) -> None:
        """Let no job run."""
        before = self.reason
        self._reasons[who] = reason
        self._tell_change(before)

    def release(self, who: str) -> None:
        """Take that party's reason back; it need not have given one."""
        before = self.reason
        self._reasons.pop(who, None)
        self._tell_change(before)

    def _tell_change(self, before: str) -> None:
        if self.reason != before:
            self._apply()
