"""One attempt at a job: its process from the start to its end, its commits, and what comes next."""

from __future__ import annotations

from flight.components.job_runner import retry
from flight.components.job_runner import stimuli as s
from flight.components.job_runner.job_table import SIGKILL
from flight.components.job_runner.levels import Protected
from flight.components.job_runner.ports import Control, JobStatus, PagePhase
from flight.components.job_runner.records import Commit, Ending, JobPhase, JobRecord
from flight.components.job_runner.retry import Verdict
from flight.components.job_runner.schedule import Run, plan
from flight.framework.time_units import SECOND

P = JobPhase
SIGTERM = 15
MOST_TORN = 3
"""Torn copies in a row after which a job is paused while its commit is kept."""


class Attempts(Protected):
    """The half of the lifecycle that deals with processes; `JobLifecycle` is the whole."""

    # ------------------------------------------------------------ which jobs run

    def _schedule(self) -> None:
        live = self._live()
        obstacles = {record.id: self._obstacle(record) for record in live}
        for record in live:
            why = obstacles[record.id]
            if record.phase is P.QUEUED and why:
                self._move(record, P.WAITING, why)
            elif record.phase is P.WAITING and not why:
                self._move(record, P.QUEUED, "may run")
            elif record.phase is P.WAITING and why != record.reason:
                record.reason = why
                self._out.append(s.Show(record.id))
        made = plan(live, self.runs, obstacles, self.policy.slots)
        for record, why in made.pause:
            record.reason = why
            self._control(record, Control.PAUSE)
        for record in made.go_on:
            self._control(record, Control.RUN)
        for record in made.start if self.is_synced else ():
            self._start(record)

    def _obstacle(self, record: JobRecord) -> str:
        run = self.runs[record.id]
        if record.is_held:
            return "paused by telecommand"
        if self.held:
            return self.held
        if run.torn >= MOST_TORN:
            return "pauses while its commit is kept"
        if record.phase in (P.QUEUED, P.WAITING):
            if run.keeping:
                return "its last commit is being kept"
            if self._now < run.not_before:
                return record.reason if record.phase is P.WAITING else "tries again later"
        return ""

    def _start(self, record: JobRecord) -> None:
        now = self._now
        self.runs[record.id] = Run(
            since=now, is_fresh=True, interruptions=self.runs[record.id].interruptions
        )
        record.attempt = min(record.attempt + 1, 255)
        record.ending = Ending.NONE
        self._move(record, P.STARTING, f"attempt {record.attempt}")
        self._out.append(s.Prepare(record.id))

    def _prepared(self, record: JobRecord, stimulus: s.Prepared) -> None:
        if record.commit != stimulus.resume:
            self._tell("commit_lost", record.id, record.commit.step if record.commit else 0)
            record.commit, record.previous = stimulus.resume, None
        record.inputs, self._is_changed = stimulus.inputs, True
        run = self.runs[record.id]
        now = self._now
        run.since = run.heartbeat_at = run.counted_at = now
        run.is_sent, run.control = True, Control.RUN
        run.next_keep = now + self.policy.disk_interval
        self._out.append(s.Launch(record.id, stimulus.resume, self.level_of(record)))
        self._out.append(s.SetLevel(record.id, self.level_of(record)))

    def _not_prepared(self, record: JobRecord, stimulus: s.NotPrepared) -> None:
        if stimulus.is_final:
            self._finish(record, P.FAILED, stimulus.reason)
        else:
            self._tell("storage_refused", record.id, stimulus.reason)
            self._wait(record, stimulus.reason, self.policy.back_off)

    def _launched(self, record: JobRecord, stimulus: s.Launched) -> None:
        run = self.runs[record.id]
        if record.pid or not run.is_sent:
            self.stale += 1
            return
        record.pid, record.start_time = stimulus.pid, stimulus.start_time
        run.is_fresh, self._is_changed = False, True

    def _not_launched(self, record: JobRecord, stimulus: s.NotLaunched) -> None:
        if stimulus.is_refused:
            self._failed(record, stimulus.reason, False, None)
        else:
            self._wait(record, stimulus.reason, self.policy.back_off)

    # ------------------------------------------------------------ while it runs

    def _seen(self, record: JobRecord, stimulus: s.Seen) -> None:
        status = self._own(record, stimulus.status)
        if status is None:
            return
        run = self.runs[record.id]
        run.status = status
        record.step, record.total = status.step, status.total
        if status.heartbeat != run.heartbeat:
            run.heartbeat, run.heartbeat_at = status.heartbeat, self._now
        self._count_time(record)
        self._take_tally(record, status)
        self._follow(record, status)
        self._keep_if_due(record, status)

    def _follow(self, record: JobRecord, status: JobStatus) -> None:
        if record.phase is P.STARTING and status.phase != PagePhase.STARTING:
            self._move(record, P.RUNNING, f"attempt {record.attempt}")
            # Its page may not show yet from which commit it goes on.
            step = max(status.step, record.commit.step if record.commit else 0)
            self._tell("job_started", record.id, record.pid, record.attempt, step)
            if status.is_unconfined:
                self._tell("job_unconfined", record.id)
        if record.phase is P.RUNNING and status.phase == PagePhase.PAUSED:
            self._move(record, P.PAUSED, record.reason)
        elif record.phase is P.PAUSED and status.phase != PagePhase.PAUSED:
            self._move(record, P.RUNNING, "may run")
            self._tell("job_resumed", record.id, status.step)

    def _count_time(self, record: JobRecord) -> None:
        run = self.runs[record.id]
        if record.phase in (P.STARTING, P.RUNNING):
            record.spent_ns += max(0, self._now - run.counted_at)
        else:
            run.heartbeat_at = self._now
        run.counted_at = self._now

    def _due_starting(self, record: JobRecord, _: s.Due) -> None:
        run = self.runs[record.id]
        if run.is_sent and self._now - run.since > self.policy.start:
            self._end(record, Ending.HANG, f"not started within {_seconds(self.policy.start)}")

    def _due_running(self, record: JobRecord, _: s.Due) -> None:
        self._count_time(record)
        if record.spent_ns > record.wall_s * SECOND:
            self._end(record, Ending.EXPIRE, f"used up its {record.wall_s} s")
            return
        run = self.runs[record.id]
        # Before its first beat a job may be compiling.
        limit = self.policy.hang if run.heartbeat > 0 else self.policy.start
        if self._now - run.heartbeat_at > limit:
            self._end(record, Ending.HANG, f"no heartbeat for {_seconds(limit)}")

    # ------------------------------------------------------------ commits

    def _keep_if_due(self, record: JobRecord, status: JobStatus) -> None:
        run = self.runs[record.id]
        is_due = record.phase is P.PAUSED or (
            record.phase is P.RUNNING and run.torn < MOST_TORN and self._now >= run.next_keep
        )
        if is_due and not run.keeping and status.commit_count > run.kept_count:
            self._keep(record, status)

    def _keep(self, record: JobRecord, status: JobStatus) -> None:
        run = self.runs[record.id]
        slot = "B" if record.commit is not None and record.commit.slot == "A" else "A"
        commit = Commit(slot, status.commit_step, status.commit_bytes, status.commit_crc)
        run.keeping, run.kept_count = commit, status.commit_count
        run.next_keep = self._now + self.policy.disk_interval
        self._out.append(s.KeepCommit(record.id, status.commit_slot, commit))

    def _commit_kept(self, record: JobRecord, stimulus: s.CommitKept) -> None:
        run = self.runs[record.id]
        if stimulus.commit != run.keeping:
            self.stale += 1
            return
        run.keeping, run.torn = None, 0
        record.previous, record.commit = record.commit, stimulus.commit
        if stimulus.commit.step > record.furthest:
            record.furthest = stimulus.commit.step
            if record.pid:
                record.failures, record.has_fallen_back = 0, False
        self._is_changed = True

    def _commit_not_kept(self, record: JobRecord, stimulus: s.CommitNotKept) -> None:
        run = self.runs[record.id]
        run.keeping = None
        if stimulus.is_torn:
            record.previous, self._is_changed = None, True
            run.torn = min(run.torn + 1, MOST_TORN)
            run.next_keep = self._now
        else:
            run.kept_count = 0
            self._tell("storage_refused", record.id, stimulus.reason)

    # ------------------------------------------------------------ its end

    def _end(self, record: JobRecord, ending: Ending, reason: str) -> None:
        record.ending = ending
        self.runs[record.id].is_fresh = False
        self._move(record, P.ENDING, reason)
        self._ask_to_end(record)

    def _recall_all(self, stimulus: s.RecallAll) -> None:
        """End processes; whoever waits after a failure need not wait any longer."""
        for record in self._live():
            if stimulus.only not in (0, record.id):
                continue
            run = self.runs[record.id]
            is_begun = record.phase in (P.RUNNING, P.PAUSED) or (
                record.phase is P.STARTING and (record.pid or run.is_sent)
            )
            if is_begun and run.since <= stimulus.begun_by:
                self._end(record, Ending.RECALL, stimulus.reason)
            elif record.phase is P.WAITING:
                run.not_before = min(run.not_before, self._now)

    def _ask_to_end(self, record: JobRecord) -> None:
        run = self.runs[record.id]
        run.asked_at = self._now
        if record.ending in (Ending.HANG, Ending.RECALL):
            run.urgency = 2
            self._out.append(s.Kill(record.id, SIGKILL))
        else:
            run.urgency = 0
            self._control(record, Control.CANCEL)

    def _due_ending(self, record: JobRecord, _: s.Due) -> None:
        run = self.runs[record.id]
        grace = self.policy.cancel_grace if run.urgency == 0 else self.policy.kill_grace
        if self._now - run.asked_at < grace:
            return
        run.asked_at = self._now
        if run.urgency == 2:
            self._out.append(s.AskLauncher())
        run.urgency = min(run.urgency + 1, 2)
        self._out.append(s.Kill(record.id, SIGTERM if run.urgency == 1 else SIGKILL))

    def _unkillable(self, record: JobRecord, stimulus: s.Unkillable) -> None:
        self._tell("job_unkillable", record.id, stimulus.pid)

    def _exited(self, record: JobRecord, stimulus: s.Exited) -> None:
        if record.pid not in (0, stimulus.pid) or self._is_unsent(record):
            self.stale += 1
            return
        record.pid = stimulus.pid
        status = self._own(record, stimulus.status)
        if status is not None:  # its last words count: the last step may never have been seen
            self.runs[record.id].status = status
            record.step, record.total = status.step, status.total
            self._take_tally(record, status)
        well = status is not None and retry.ended_well(stimulus)
        if record.phase is P.ENDING and not (well and record.ending is not Ending.CANCEL):
            self._ended(record, status)
        elif well:
            self._publish(record)
            return
        else:
            reason, is_final = retry.why(stimulus, record)
            if retry.has_lost_memory(stimulus):
                self._go_back(record, reason, status)
            else:
                self._failed(record, reason, is_final, status)
        self._out.append(s.Acknowledge(record.id))

    def _go_back(self, record: JobRecord, reason: str, status: JobStatus | None) -> None:
        """To its last commit, which was proven when it was made; no failure of the job."""
        times = self.runs[record.id].interruptions
        delay = self.policy.back_off << min(times, 16) if times else 0
        self._wait(record, f"goes back to its last commit: {reason}", delay, status)
        self.runs[record.id].interruptions = times + 1

    def _is_unsent(self, record: JobRecord) -> bool:
        return record.phase is P.STARTING and not self.runs[record.id].is_sent and not record.pid

    def _interrupted(self, record: JobRecord, stimulus: s.Vanished) -> None:
        status = self._last_words(record, stimulus)
        if status is not None and status.phase == PagePhase.DONE:
            self._publish(record)
            return
        times = self.runs[record.id].interruptions
        self._release(record)
        self._move(record, P.INTERRUPTED, "its process is gone with its launcher")
        self._take_up(record, status, self.policy.back_off << min(times, 16) if times else 0)
        self.runs[record.id].interruptions = times + 1
        self._move(record, P.QUEUED, "goes on from its last commit")

    def _gone(self, record: JobRecord, stimulus: s.Vanished) -> None:
        self._ended(record, self._last_words(record, stimulus))

    def _last_words(self, record: JobRecord, stimulus: s.Vanished) -> JobStatus | None:
        status = self._own(record, stimulus.status)
        if status is not None:
            self._take_tally(record, status)
        return status

    def _ended(self, record: JobRecord, status: JobStatus | None) -> None:
        if record.ending is Ending.CANCEL:
            self._finish(record, P.CANCELLED, "by telecommand")
        elif record.ending is Ending.EXPIRE:
            self._finish(record, P.EXPIRED, record.reason)
        elif record.ending is Ending.RECALL:
            self._wait(record, f"starts anew after: {record.reason}", 0, status)
        else:
            self._failed(record, record.reason, False, status)

    def _failed(
        self, record: JobRecord, reason: str, is_final: bool, status: JobStatus | None
    ) -> None:
        step = status.step if status else record.step
        verdict = (
            Verdict.STOP if is_final else retry.after_failure(record, status, self.policy.retries)
        )
        if verdict is Verdict.STOP:
            self._finish(record, P.FAILED, reason)
            return
        self._tell("job_retried", record.id, record.attempt, step, reason)
        if verdict is Verdict.FALL_BACK:
            self._tell("job_fell_back", record.id, step, record.commit.step if record.commit else 0)
            status = None
        delay = retry.back_off(record, self.policy)
        self._wait(record, f"tries again after: {reason}", delay, status)

    def _wait(
        self, record: JobRecord, reason: str, delay: int, status: JobStatus | None = None
    ) -> None:
        self._release(record)
        self._move(record, P.WAITING, reason)
        self._take_up(record, status, delay)

    def _take_up(self, record: JobRecord, status: JobStatus | None, delay: int) -> None:
        """Begin anew after `delay` ns; keep the last commit of the process that is gone."""
        before = self.runs[record.id]
        run = Run(not_before=min(self._now + delay, self._now + self.policy.longest_back_off))
        run.keeping, run.interruptions = before.keeping, before.interruptions
        self.runs[record.id] = run
        if not run.keeping and status is not None and retry.has_progressed(record, status):
            self._keep(record, status)

    def _publish(self, record: JobRecord) -> None:
        self._release(record)
        self._move(record, P.FINISHING, "its products are being published")
        self._out.append(s.Publish(record.id))

    def _published(self, record: JobRecord, stimulus: s.Published) -> None:
        record.products = stimulus.products
        self._finish(record, P.DONE, f"{stimulus.products} products")
        self._tell("job_done", record.id, stimulus.products, stimulus.octets)
        self._out.append(s.Acknowledge(record.id))

    def _not_published(self, record: JobRecord, stimulus: s.NotPublished) -> None:
        run = self.runs[record.id]
        if stimulus.is_lost:
            self._failed(record, stimulus.reason, False, None)
            self._out.append(s.Acknowledge(record.id))
            return
        run.interruptions += 1
        delay = self.policy.back_off << min(run.interruptions - 1, 16)
        run.not_before = self._now + min(delay, self.policy.longest_back_off)
        record.reason = stimulus.reason
        self._tell("storage_refused", record.id, stimulus.reason)
        self._out.append(s.Show(record.id))

    def _due_finishing(self, record: JobRecord, _: s.Due) -> None:
        run = self.runs[record.id]
        if run.not_before and self._now >= run.not_before:
            run.not_before = 0
            self._out.append(s.Publish(record.id))


def _seconds(time: int) -> str:
    return f"{time / SECOND:g} s"
