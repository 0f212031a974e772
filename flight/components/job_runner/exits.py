"""What follows when a job's process is gone: it is published, tried again, or over."""

from __future__ import annotations

from flight.components.job_runner import retry
from flight.components.job_runner import stimuli as s
from flight.components.job_runner.commits import Commits
from flight.components.job_runner.dictionary import JobEvents
from flight.components.job_runner.job_table import JobTable
from flight.components.job_runner.levels import Levels
from flight.components.job_runner.ports import JobStatus, PagePhase
from flight.components.job_runner.records import Ending, JobPhase, JobRecord, Run
from flight.components.job_runner.retry import Verdict

P = JobPhase


class Exits:
    """Decides what becomes of a job after each of its processes, and publishes its products."""

    def __init__(self, table: JobTable, levels: Levels, commits: Commits) -> None:
        self._table = table
        self._levels = levels
        self._commits = commits

    # ------------------------------------------------------------ a process is gone

    def exited(self, record: JobRecord, stimulus: s.Exited) -> None:
        """The launcher says how the process ended."""
        if record.pid not in (0, stimulus.pid) or self._is_unsent(record):
            self._table.stale += 1
            return
        record.pid = stimulus.pid
        status = self._last_status(record, stimulus.status)
        if status is not None:
            self._table.runs[record.id].status = status
            record.step, record.total = status.step, status.total
        is_well = status is not None and retry.ended_well(stimulus)
        if record.phase is P.ENDING and not (is_well and record.ending is not Ending.CANCEL):
            self._ended(record, status)
        elif is_well:
            self._publish(record)
            return  # the launcher keeps the end until the products are published
        else:
            self._ended_by_itself(record, stimulus, status)
        self._table.out.append(s.Acknowledge(record.id))

    def interrupted(self, record: JobRecord, stimulus: s.Vanished) -> None:
        """The process is gone and nobody says how: no fault of the job."""
        status = self._last_status(record, stimulus.status)
        if status is not None and status.phase == PagePhase.DONE:
            self._publish(record)
            return
        times = self._table.runs[record.id].interruptions
        self._release(record)
        self._table.move(record, P.INTERRUPTED, "its process is gone with its launcher")
        self._begin_anew(record, status, self._delay_after(times))
        self._table.runs[record.id].interruptions = times + 1
        self._table.move(record, P.QUEUED, "goes on from its last commit")

    def ended(self, record: JobRecord, stimulus: s.Vanished) -> None:
        """The process was told to end, and is gone."""
        self._ended(record, self._last_status(record, stimulus.status))

    def _is_unsent(self, record: JobRecord) -> bool:
        is_sent = self._table.runs[record.id].is_sent
        return record.phase is P.STARTING and not is_sent and not record.pid

    def _last_status(self, record: JobRecord, status: JobStatus | None) -> JobStatus | None:
        """What the page said last; it counts: the last step may never have been seen."""
        status = self._table.own_status(record, status)
        if status is not None:
            self._levels.take_tally(record, status)
        return status

    def _ended(self, record: JobRecord, status: JobStatus | None) -> None:
        if record.ending is Ending.CANCEL:
            self.finish(record, P.CANCELLED, "by telecommand")
        elif record.ending is Ending.EXPIRE:
            self.finish(record, P.EXPIRED, record.reason)
        elif record.ending is Ending.RECALL:
            self.wait(record, f"starts anew after: {record.reason}", 0, status)
        else:
            self.failed(record, record.reason, False, status)

    def _ended_by_itself(
        self, record: JobRecord, stimulus: s.Exited, status: JobStatus | None
    ) -> None:
        reason, is_final = retry.why(stimulus, record)
        if not retry.has_lost_memory(stimulus):
            self.failed(record, reason, is_final, status)
            return
        # Its last commit was proven when it was made; an upset is no failure of the job.
        times = self._table.runs[record.id].interruptions
        why = f"goes back to its last commit: {reason}"
        self.wait(record, why, self._delay_after(times), status)
        self._table.runs[record.id].interruptions = times + 1

    # ------------------------------------------------------------ it is tried again, or over

    def failed(
        self, record: JobRecord, reason: str, is_final: bool, status: JobStatus | None
    ) -> None:
        """An attempt failed; `is_final`: trying again is of no use."""
        step = status.step if status else record.step
        retries = self._table.policy.retries
        verdict = Verdict.STOP if is_final else retry.after_failure(record, status, retries)
        if verdict is Verdict.STOP:
            self.finish(record, P.FAILED, reason)
            return
        self._table.tell(JobEvents.job_retried, record.id, record.attempt, step, reason)
        if verdict is Verdict.FALL_BACK:
            commit = record.commit.step if record.commit else 0
            self._table.tell(JobEvents.job_fell_back, record.id, step, commit)
            status = None
        delay = retry.back_off(record, self._table.policy)
        self.wait(record, f"tries again after: {reason}", delay, status)

    def wait(
        self, record: JobRecord, reason: str, delay: int, status: JobStatus | None = None
    ) -> None:
        """Have a job wait `delay` ns for its next attempt."""
        self._release(record)
        self._table.move(record, P.WAITING, reason)
        self._begin_anew(record, status, delay)

    def finish(self, record: JobRecord, phase: JobPhase, reason: str) -> None:
        """A job is over."""
        self._levels.tell_news(record, is_last=True)
        self._release(record)
        self._table.move(record, phase, reason)
        self._table.out.append(s.Clear(record.id))
        if phase is P.FAILED:
            self._table.tell(JobEvents.job_failed, record.id, record.step, reason)

    def _release(self, record: JobRecord) -> None:
        self._levels.settle(record)
        record.pid = record.start_time = 0
        self._table.is_changed = True

    def _begin_anew(self, record: JobRecord, status: JobStatus | None, delay: int) -> None:
        """Begin anew after `delay` ns; keep the last commit of the process that is gone."""
        before, policy = self._table.runs[record.id], self._table.policy
        run = Run(not_before=self._table.now + min(delay, policy.longest_back_off))
        run.keeping, run.interruptions = before.keeping, before.interruptions
        self._table.runs[record.id] = run
        if not run.keeping and status is not None and retry.has_progressed(record, status):
            self._commits.keep(record, status)

    def _delay_after(self, interruptions: int) -> int:
        """How long to wait, in ns: not at all the first time, then twice as long each time."""
        return self._table.policy.back_off << min(interruptions, 16) if interruptions else 0

    # ------------------------------------------------------------ its products

    def _publish(self, record: JobRecord) -> None:
        self._release(record)
        self._table.move(record, P.FINISHING, "its products are being published")
        self._table.out.append(s.Publish(record.id))

    def published(self, record: JobRecord, stimulus: s.Published) -> None:
        """The products are in the file store."""
        products, octets = stimulus.products, stimulus.octets
        record.products = products
        self.finish(record, P.DONE, f"{products} products")
        self._table.tell(JobEvents.job_done, record.id, products, octets)
        self._table.out.append(s.Acknowledge(record.id))

    def not_published(self, record: JobRecord, stimulus: s.NotPublished) -> None:
        """Publish again later, or have the job make its outputs again."""
        if stimulus.is_lost:
            self.failed(record, stimulus.reason, False, None)
            self._table.out.append(s.Acknowledge(record.id))
            return
        run, policy = self._table.runs[record.id], self._table.policy
        run.interruptions += 1
        delay = policy.back_off << min(run.interruptions - 1, 16)
        run.not_before = self._table.now + min(delay, policy.longest_back_off)
        record.reason = stimulus.reason
        self._table.tell(JobEvents.storage_refused, record.id, stimulus.reason)
        self._table.out.append(s.Show(record.id))

    def due(self, record: JobRecord, _: s.Due) -> None:
        """Time passed: publish again when it is time to."""
        run = self._table.runs[record.id]
        if run.not_before and self._table.now >= run.not_before:
            run.not_before = 0
            self._table.out.append(s.Publish(record.id))
