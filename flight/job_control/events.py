"""What the job runner tells ground: its events, and the report on one job."""

from __future__ import annotations

from typing import Annotated

from flight.component import Port, Severity, event, report
from flight.job_control.records import JobPhase
from flight.protection.levels import Level, Protection
from icd.fields import U8, U16, U32, U64, Count, Text64, Text160, Wire


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
