"""One attempt at a job: its process is started, watched, and told to end."""

from __future__ import annotations

from flight.components.job_runner import stimuli as s
from flight.components.job_runner.commits import Commits
from flight.components.job_runner.dictionary import JobEvents
from flight.components.job_runner.exits import Exits
from flight.components.job_runner.job_table import JobTable
from flight.components.job_runner.levels import Levels
from flight.components.job_runner.ports import Control, JobStatus, PagePhase
from flight.components.job_runner.records import WITH_PROCESS, Ending, JobPhase, JobRecord, Run
from flight.framework.time_units import SECOND

P = JobPhase
SIGKILL = 9
SIGTERM = 15


class Attempts:
    """What happens to a job's process from its start until it is gone; `Exits` decides the rest."""

    def __init__(self, table: JobTable, levels: Levels, commits: Commits, exits: Exits) -> None:
        self._table = table
        self._levels = levels
        self._commits = commits
        self._exits = exits

    # ------------------------------------------------------------ its start

    def start(self, record: JobRecord) -> None:
        """Begin an attempt: what the job needs is checked first."""
        interruptions = self._table.runs[record.id].interruptions
        run = Run(since=self._table.now, is_fresh=True, interruptions=interruptions)
        self._table.runs[record.id] = run
        record.attempt = min(record.attempt + 1, 255)
        record.ending = Ending.NONE
        self._table.move(record, P.STARTING, f"attempt {record.attempt}")
        self._table.out.append(s.Prepare(record.id))

    def prepared(self, record: JobRecord, stimulus: s.Prepared) -> None:
        """Launch it, from the newest commit that reads back as it was written."""
        if record.commit != stimulus.resume:
            lost = record.commit.step if record.commit else 0
            self._table.tell(JobEvents.commit_lost, record.id, lost)
            record.commit, record.previous = stimulus.resume, None
        record.inputs, self._table.is_changed = stimulus.inputs, True
        run, now = self._table.runs[record.id], self._table.now
        run.since = run.heartbeat_at = run.counted_at = now
        run.is_sent, run.control = True, Control.RUN
        run.next_keep = now + self._table.policy.disk_interval
        level = self._levels.level_of(record)
        self._table.out.append(s.Launch(record.id, stimulus.resume, level))
        self._table.out.append(s.SetLevel(record.id, level))

    def not_prepared(self, record: JobRecord, stimulus: s.NotPrepared) -> None:
        """It cannot be launched now, or never."""
        if stimulus.is_final:
            self._exits.finish(record, P.FAILED, stimulus.reason)
        else:
            self._table.tell(JobEvents.storage_refused, record.id, stimulus.reason)
            self._exits.wait(record, stimulus.reason, self._table.policy.back_off)

    def launched(self, record: JobRecord, stimulus: s.Launched) -> None:
        """The launcher says which process it is."""
        run = self._table.runs[record.id]
        if record.pid or not run.is_sent:
            self._table.stale += 1
            return
        record.pid, record.start_time = stimulus.pid, stimulus.start_time
        run.is_fresh, self._table.is_changed = False, True

    def not_launched(self, record: JobRecord, stimulus: s.NotLaunched) -> None:
        """The launcher refused it, which is a failure, or does not answer."""
        if stimulus.is_refused:
            self._exits.failed(record, stimulus.reason, False, None)
        else:
            self._exits.wait(record, stimulus.reason, self._table.policy.back_off)

    def adopt(self, record: JobRecord, process: s.Process) -> None:
        """Take up a process that was started by an earlier executive."""
        if record.phase not in WITH_PROCESS:
            self._table.move(record, P.STARTING, "its process is there already")
        record.pid, record.start_time = process.pid, process.start_time
        now = self._table.now
        run = Run(since=now, heartbeat_at=now, counted_at=now, is_sent=True)
        run.next_keep = now + self._table.policy.disk_interval
        self._table.runs[record.id] = run
        self._table.is_changed = True
        self._table.tell(JobEvents.job_readopted, record.id, record.pid)
        self._levels.set_level(record)
        if record.phase is P.ENDING:
            self._ask_to_end(record)

    # ------------------------------------------------------------ while it runs

    def seen(self, record: JobRecord, stimulus: s.Seen) -> None:
        """Its status page was read."""
        status = self._table.own_status(record, stimulus.status)
        if status is None:
            return
        run = self._table.runs[record.id]
        run.status = status
        record.step, record.total = status.step, status.total
        if status.heartbeat != run.heartbeat:
            run.heartbeat, run.heartbeat_at = status.heartbeat, self._table.now
        self._count_time(record)
        self._levels.take_tally(record, status)
        self._follow(record, status)
        self._commits.keep_if_due(record, status)

    def _follow(self, record: JobRecord, status: JobStatus) -> None:
        """Put the job into the phase that its page says."""
        if record.phase is P.STARTING and status.phase != PagePhase.STARTING:
            self._started(record, status)
        if record.phase is P.RUNNING and status.phase == PagePhase.PAUSED:
            self._table.move(record, P.PAUSED, record.reason)
        elif record.phase is P.PAUSED and status.phase != PagePhase.PAUSED:
            self._table.move(record, P.RUNNING, "may run")
            self._table.tell(JobEvents.job_resumed, record.id, status.step)

    def _started(self, record: JobRecord, status: JobStatus) -> None:
        self._table.move(record, P.RUNNING, f"attempt {record.attempt}")
        # Its page may not show yet from which commit it goes on.
        step = max(status.step, record.commit.step if record.commit else 0)
        self._table.tell(JobEvents.job_started, record.id, record.pid, record.attempt, step)
        if status.is_unconfined:
            self._table.tell(JobEvents.job_unconfined, record.id)

    def _count_time(self, record: JobRecord) -> None:
        run, now = self._table.runs[record.id], self._table.now
        if record.phase in (P.STARTING, P.RUNNING):
            record.spent_ns += max(0, now - run.counted_at)
        else:
            run.heartbeat_at = now
        run.counted_at = now

    def due_starting(self, record: JobRecord, _: s.Due) -> None:
        """Time passed: a process that does not come to life is ended."""
        run, limit = self._table.runs[record.id], self._table.policy.start
        if run.is_sent and self._table.now - run.since > limit:
            self.end(record, Ending.HANG, f"not started within {_seconds(limit)}")

    def due_running(self, record: JobRecord, _: s.Due) -> None:
        """Time passed: a process that used up its wall time or is silent is ended."""
        self._count_time(record)
        if record.spent_ns > record.wall_s * SECOND:
            self.end(record, Ending.EXPIRE, f"used up its {record.wall_s} s")
            return
        run, policy = self._table.runs[record.id], self._table.policy
        # Before its first beat a job may be compiling.
        limit = policy.hang if run.heartbeat > 0 else policy.start
        if self._table.now - run.heartbeat_at > limit:
            self.end(record, Ending.HANG, f"no heartbeat for {_seconds(limit)}")

    # ------------------------------------------------------------ its end

    def end(self, record: JobRecord, ending: Ending, reason: str) -> None:
        """Have its process end."""
        record.ending = ending
        self._table.runs[record.id].is_fresh = False
        self._table.move(record, P.ENDING, reason)
        self._ask_to_end(record)

    def recall_all(self, stimulus: s.RecallAll) -> None:
        """End processes; whoever waits after a failure need not wait any longer."""
        for record in self._table.live():
            if stimulus.only not in (0, record.id):
                continue
            run = self._table.runs[record.id]
            if self._is_begun(record) and run.since <= stimulus.begun_by:
                self.end(record, Ending.RECALL, stimulus.reason)
            elif record.phase is P.WAITING:
                run.not_before = min(run.not_before, self._table.now)

    def _is_begun(self, record: JobRecord) -> bool:
        if record.phase is P.STARTING:
            return bool(record.pid) or self._table.runs[record.id].is_sent
        return record.phase in (P.RUNNING, P.PAUSED)

    def _ask_to_end(self, record: JobRecord) -> None:
        run = self._table.runs[record.id]
        run.asked_at = self._table.now
        if record.ending in (Ending.HANG, Ending.RECALL):
            run.urgency = 2
            self._table.out.append(s.Kill(record.id, SIGKILL))
        else:
            run.urgency = 0
            self._table.control(record, Control.CANCEL)

    def due_ending(self, record: JobRecord, _: s.Due) -> None:
        """Time passed: a process that does not end is told so more firmly."""
        run, policy = self._table.runs[record.id], self._table.policy
        grace = policy.cancel_grace if run.urgency == 0 else policy.kill_grace
        if self._table.now - run.asked_at < grace:
            return
        run.asked_at = self._table.now
        if run.urgency == 2:
            self._table.out.append(s.AskLauncher())
        run.urgency = min(run.urgency + 1, 2)
        self._table.out.append(s.Kill(record.id, SIGTERM if run.urgency == 1 else SIGKILL))

    def unkillable(self, record: JobRecord, stimulus: s.Unkillable) -> None:
        """A kill did not end it: the driver may hold it, which the job runner cannot mend."""
        self._table.tell(JobEvents.job_unkillable, record.id, stimulus.pid)
        self._table.out.append(s.Escalate(record.id, stimulus.pid))

    def end_stray(self, job: int, pid: int) -> None:
        """Kill a process that claims to be a job which has no such process."""
        self._table.out.append(s.Kill(job, SIGKILL))
        self._table.tell(JobEvents.stray_ended, job, pid)


def _seconds(time: int) -> str:
    return f"{time / SECOND:g} s"
