"""What the job runner declares besides commands and events: answers, housekeeping, parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from flight.job_control.records import SECOND, Policy
from flight.job_control.tallies import Counts, chosen
from flight.protection.levels import Level
from icd.fields import F32, U8, U16, U32, U64, Flag, Limits, Unit

JobId = Annotated[U32, "number of the job"]
Priority = Annotated[U8, "a higher number goes first"]


@dataclass(frozen=True)
class Submitted:
    """The answer to a submit."""

    job: JobId


@dataclass(frozen=True)
class Listed:
    """The answer to a list."""

    jobs: Annotated[U16, "rows that follow as status reports"]


@dataclass
class JobsHousekeeping:
    queued: Annotated[U16, "jobs that wait for a slot"] = 0
    waiting: Annotated[U16, "jobs that may not start now"] = 0
    running: Annotated[U16, "jobs with a process that is not paused"] = 0
    paused: Annotated[U16, "jobs with a process that is paused"] = 0
    finished: Annotated[U16, "finished jobs still in the table"] = 0
    current: Annotated[U32, "the running job; 0: none"] = 0
    step: Annotated[U64, "its steps done"] = 0
    total: Annotated[U64, "its steps in all; 0: not said"] = 0
    done: Annotated[U32, "jobs done since the last start"] = 0
    failed: Annotated[U32, "jobs failed or expired since the last start"] = 0
    cancelled: Annotated[U32, "jobs cancelled since the last start"] = 0
    retried: Annotated[U32, "attempts that failed and were made again"] = 0
    commits_kept: Annotated[U32, "commits of jobs written to the disk"] = 0
    commits_not_kept: Annotated[U32, "commits that changed while copied, or had no room"] = 0
    refused: Annotated[U32, "submissions and orders refused"] = 0
    messages_refused: Annotated[U32, "messages of the launcher and pages that made no sense"] = 0
    stale: Annotated[U32, "answers that came too late to matter"] = 0
    storage_failures: Annotated[U32, "times that storage did not do what jobs need"] = 0
    level: Annotated[Level, "at which adaptive jobs run now"] = Level.ABFT
    wrong: Annotated[U64, "results of jobs found wrong since the last start"] = 0
    corrected: Annotated[U64, "of these, corrected in place"] = 0
    recomputed: Annotated[U64, "of these, computed again"] = 0
    outvoted: Annotated[U64, "copies of results that a majority overruled"] = 0
    known_wrong: Annotated[U64, "known answers that came out wrong"] = 0
    blocks_corrected: Annotated[U64, "blocks of the memory of jobs corrected"] = 0
    blocks_lost: Annotated[U64, "blocks of the memory of jobs that could not be corrected"] = 0
    is_ready: Annotated[Flag, "the job table is read and the launcher has answered"] = False
    is_held: Annotated[Flag, "no job may run now"] = False


@dataclass(frozen=True)
class JobsParameters:
    slots: Annotated[U8, "jobs that run at once", Limits(1, 8)] = 1
    retries: Annotated[U8, "attempts again without a further commit", Limits(0, 100)] = 2
    back_off_s: Annotated[F32, "first wait between attempts", Unit("s"), Limits(0.1, 60)] = 1.0
    hang_s: Annotated[F32, "longest silence of a running job", Unit("s"), Limits(1, 3600)] = 30.0
    start_s: Annotated[
        F32, "longest time to a job's first heartbeat", Unit("s"), Limits(1, 3600)
    ] = 120.0
    cancel_grace_s: Annotated[
        F32, "time a cancelled job has before SIGTERM", Unit("s"), Limits(0, 600)
    ] = 5.0
    disk_interval_s: Annotated[
        F32, "shortest time between two commits to disk", Unit("s"), Limits(0.1, 86400)
    ] = 10.0

    def policy(self, most_jobs: int) -> Policy:
        """The same, as the lifecycle takes it."""
        return Policy(
            slots=self.slots,
            retries=self.retries,
            back_off=_ns(self.back_off_s),
            hang=_ns(self.hang_s),
            start=_ns(self.start_s),
            cancel_grace=_ns(self.cancel_grace_s),
            disk_interval=_ns(self.disk_interval_s),
            most_jobs=most_jobs,
        )


COUNTER_OF = {
    "job_done": "done",
    "job_failed": "failed",
    "job_expired": "failed",
    "job_cancelled": "cancelled",
    "job_retried": "retried",
    "page_refused": "messages_refused",
    "tally_refused": "messages_refused",
    "storage_refused": "storage_failures",
}
"""Event → the housekeeping field that counts it."""

FOUND = (
    "wrong",
    "corrected",
    "recomputed",
    "outvoted",
    "known_wrong",
    "blocks_corrected",
    "blocks_lost",
)
"""The counts of protection that are housekeeping fields, too."""


def show_found(hk: JobsHousekeeping, found: Counts) -> None:
    """Fill in what protection found."""
    for name, count in zip(FOUND, chosen(found, FOUND), strict=True):
        setattr(hk, name, count)


def _ns(seconds: float) -> int:
    return round(seconds * SECOND)
