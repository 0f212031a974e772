"""What ground sees of the job runner: answers, housekeeping, parameters, events and reports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from flight.components.job_runner.records import JobPhase, Policy
from flight.fault_tolerance.levels import Level, Protection
from flight.framework.component import Port, Severity, event, report
from flight.framework.lifecycle import Counters
from flight.framework.time_units import SECOND
from icd.fields import F32, U8, U16, U32, U64, Count, Flag, Limits, Text64, Text160, Unit, Wire

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


def _ns(seconds: float) -> int:
    return round(seconds * SECOND)


class JobEvents:
    """The events and reports of `JobRunner`."""

    port: Port

    @event(1, Severity.INFO)
    def job_queued(self, job: U32, reason: Text160) -> None:
        """Job {job} is queued: {reason}."""

    @event(2, Severity.INFO)
    def job_waiting(self, job: U32, reason: Text160) -> None:
        """Job {job} waits: {reason}."""

    @event(3, Severity.INFO)
    def job_starting(self, job: U32, reason: Text160) -> None:
        """Job {job} is being started: {reason}."""

    @event(4, Severity.INFO)
    def job_started(self, job: U32, pid: U32, attempt: U8, step: U64) -> None:
        """Job {job} runs as process {pid} from step {step} on, attempt {attempt}."""

    @event(5, Severity.INFO)
    def job_paused(self, job: U32, reason: Text160) -> None:
        """Job {job} is paused: {reason}."""

    @event(6, Severity.INFO)
    def job_resumed(self, job: U32, step: U64) -> None:
        """Job {job} goes on at step {step}."""

    @event(7, Severity.INFO)
    def job_ending(self, job: U32, reason: Text160) -> None:
        """Job {job} is told to end: {reason}."""

    @event(8, Severity.INFO)
    def job_finishing(self, job: U32, reason: Text160) -> None:
        """Job {job} ended well: {reason}."""

    @event(9, Severity.INFO)
    def job_done(self, job: U32, products: U16, octets: U64) -> None:
        """Job {job} is done: {products} products of {octets} octets in products/job-{job}."""

    @event(10, Severity.HIGH)
    def job_failed(self, job: U32, step: U64, reason: Text160) -> None:
        """Job {job} failed at step {step}: {reason}."""

    @event(11, Severity.LOW)
    def job_cancelled(self, job: U32, reason: Text160) -> None:
        """Job {job} is cancelled: {reason}."""

    @event(12, Severity.MEDIUM)
    def job_expired(self, job: U32, reason: Text160) -> None:
        """Job {job} ran out of time: {reason}."""

    @event(13, Severity.MEDIUM)
    def job_interrupted(self, job: U32, reason: Text160) -> None:
        """Job {job} was interrupted: {reason}."""

    @event(14, Severity.MEDIUM)
    def job_retried(self, job: U32, attempt: U8, step: U64, reason: Text160) -> None:
        """Attempt {attempt} of job {job} failed at step {step}: {reason}; it will try again."""

    @event(15, Severity.MEDIUM)
    def job_fell_back(self, job: U32, step: U64, commit: U64) -> None:
        """Job {job} keeps failing at step {step}; it goes back to the commit of step {commit}."""

    @event(16, Severity.LOW)
    def job_readopted(self, job: U32, pid: U32) -> None:
        """Job {job} still runs as process {pid} and is taken up again."""

    @event(17, Severity.HIGH)
    def job_unkillable(self, job: U32, pid: U32) -> None:
        """Process {pid} of job {job} does not end when killed."""

    @event(18, Severity.LOW)
    def job_unconfined(self, job: U32) -> None:
        """Job {job} is unconfined: the kernel cannot shut it into its folder."""

    @event(19, Severity.INFO)
    def job_forgotten(self, job: U32) -> None:
        """Job {job} is forgotten."""

    @event(20, Severity.MEDIUM)
    def commit_lost(self, job: U32, step: U64) -> None:
        """The commit of step {step} of job {job} reads back wrong; an older one is used, if any."""

    @event(21, Severity.MEDIUM)
    def stray_ended(self, job: U32, pid: U32) -> None:
        """Process {pid} says that it is job {job}, which has no such process; it is killed."""

    @event(22, Severity.MEDIUM)
    def storage_refused(self, job: U32, reason: Text160) -> None:
        """Storage did not do what job {job} needs (0: the table): {reason}; it is tried again."""

    @event(23, Severity.MEDIUM)
    def message_refused(self, kind: Text64, reason: Text160) -> None:
        """A message '{kind}' of the launcher made no sense: {reason}."""

    @event(24, Severity.MEDIUM)
    def page_refused(self, job: U32) -> None:
        """The status page of job {job} makes no sense."""

    @event(25, Severity.HIGH)
    def table_damaged(self, jobs: U16, next_job: U32, reason: Text160) -> None:
        """The job table was damaged ({reason}); {jobs} jobs are left, the next is {next_job}."""

    @event(26, Severity.INFO)
    def protection_set(self, job: U32, protection: Protection, level: Level) -> None:
        """Job {job} is protected as {protection} from now on: {level}."""

    @event(27, Severity.MEDIUM)
    def results_repaired(
        self, job: U32, wrong: U64, corrected: U64, recomputed: U64, outvoted: U64, blocks: U64
    ) -> None:
        """Job {job}: {wrong} results wrong, {recomputed} made again; {blocks} blocks corrected."""

    @event(28, Severity.HIGH)
    def protection_failed(self, job: U32, known_wrong: U64, blocks_lost: U64) -> None:
        """Job {job}: {known_wrong} known answers were wrong, {blocks_lost} memory blocks lost."""

    @event(29, Severity.MEDIUM)
    def tally_refused(self, job: U32) -> None:
        """Job {job} takes back what protection had found; its counts are not believed."""

    @report(1)
    def status(  # type: ignore[empty-body]
        self,
        job: U32,
        kind: U16,
        phase: JobPhase,
        priority: U8,
        attempt: U8,
        pid: U32,
        step: U64,
        total: U64,
        commit_step: Annotated[U64, "step of the newest commit on disk"],
        metrics: Annotated[tuple[float, ...], Wire("d"), Count(8), "as the kind declares them"],
        protection: Annotated[Protection, "as ground asked"],
        level: Annotated[Level, "of its results: as its process says, else as it will be told"],
        checks: Annotated[U64, "results checked, in all attempts"],
        wrong: Annotated[U64, "of these, found wrong"],
        repaired: Annotated[U64, "corrected in place, computed again or outvoted"],
        blocks_corrected: Annotated[U64, "blocks of its memory"],
        lost: Annotated[U64, "known answers that came out wrong, and blocks not corrected"],
        reason: Annotated[Text64, "why it is in its phase, or what it last said"],
    ) -> bool:
        """How a job stands."""


COUNTERS = Counters(
    JobsHousekeeping,
    {
        JobEvents.job_done: "done",
        JobEvents.job_failed: "failed",
        JobEvents.job_expired: "failed",
        JobEvents.job_cancelled: "cancelled",
        JobEvents.job_retried: "retried",
        JobEvents.page_refused: "messages_refused",
        JobEvents.tally_refused: "messages_refused",
        JobEvents.storage_refused: "storage_failures",
    },
)
