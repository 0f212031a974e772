"""The life of every job, decided: stimuli in, instructions out; no clock, no files, no processes.

`replay` of a stimulus log from its `Restore` on gives the same instructions again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableSequence
from dataclasses import replace
from typing import Any

from flight.components.job_runner import stimuli as s
from flight.components.job_runner.attempts import Attempts
from flight.components.job_runner.records import WITH_PROCESS, Ending, JobPhase, JobRecord, Policy
from flight.components.job_runner.schedule import Run
from icd.failures import FailureCode

P = JobPhase

# Where each phase may lead. A submission that cannot be stored is withdrawn without a trace.
NEXT: Mapping[JobPhase, frozenset[JobPhase]] = {
    P.SUBMITTED: frozenset({P.QUEUED}),
    P.QUEUED: frozenset({P.WAITING, P.STARTING, P.CANCELLED}),
    P.WAITING: frozenset({P.QUEUED, P.STARTING, P.CANCELLED}),
    P.STARTING: frozenset(
        {P.RUNNING, P.ENDING, P.FINISHING, P.WAITING, P.FAILED, P.CANCELLED, P.INTERRUPTED}
    ),
    P.RUNNING: frozenset({P.PAUSED, P.ENDING, P.FINISHING, P.WAITING, P.FAILED, P.INTERRUPTED}),
    P.PAUSED: frozenset({P.RUNNING, P.ENDING, P.FINISHING, P.WAITING, P.FAILED, P.INTERRUPTED}),
    P.ENDING: frozenset({P.FINISHING, P.WAITING, P.FAILED, P.CANCELLED, P.EXPIRED}),
    P.FINISHING: frozenset({P.DONE, P.WAITING, P.FAILED}),
    P.INTERRUPTED: frozenset({P.QUEUED}),
    P.DONE: frozenset(),
    P.FAILED: frozenset(),
    P.CANCELLED: frozenset(),
    P.EXPIRED: frozenset(),
}

_ALIVE: Mapping[type[s.About], str] = {
    s.Cancel: "_cancel_process",
    s.Pause: "_hold",
    s.Resume: "_let_go",
    s.SetPriority: "_set_priority",
    s.SetProtection: "_set_protection",
    s.Exited: "_exited",
    s.Vanished: "_interrupted",
    s.Seen: "_seen",
    s.CommitKept: "_commit_kept",
    s.CommitNotKept: "_commit_not_kept",
    s.Unkillable: "_unkillable",
}
_IDLE: Mapping[type[s.About], str] = {
    s.Cancel: "_cancel_now",
    s.Pause: "_hold",
    s.Resume: "_let_go",
    s.SetPriority: "_set_priority",
    s.SetProtection: "_set_protection",
    s.CommitKept: "_commit_kept",
    s.CommitNotKept: "_commit_not_kept",
}
_OVER: Mapping[type[s.About], str] = {s.Forget: "_forget"}

# What each phase does with each stimulus. What is not here is refused (a telecommand), ended (a
# process that should not be), acknowledged (its end), or counted as stale (anything else).
TABLE: Mapping[JobPhase, Mapping[type[s.About], str]] = {
    P.SUBMITTED: {s.Stored: "_stored", s.NotStored: "_withdraw"},
    P.QUEUED: _IDLE,
    P.WAITING: _IDLE,
    P.STARTING: {
        **_ALIVE,
        s.Prepared: "_prepared",
        s.NotPrepared: "_not_prepared",
        s.Launched: "_launched",
        s.NotLaunched: "_not_launched",
        s.Due: "_due_starting",
    },
    P.RUNNING: {**_ALIVE, s.Due: "_due_running"},
    P.PAUSED: _ALIVE,
    P.ENDING: {
        s.Cancel: "_cancel_ending",
        s.Launched: "_launched",
        s.Exited: "_exited",
        s.Vanished: "_gone",
        s.Seen: "_seen",
        s.CommitKept: "_commit_kept",
        s.CommitNotKept: "_commit_not_kept",
        s.Unkillable: "_unkillable",
        s.Due: "_due_ending",
    },
    P.FINISHING: {
        s.Published: "_published",
        s.NotPublished: "_not_published",
        s.Due: "_due_finishing",
    },
    P.INTERRUPTED: {},
    P.DONE: _OVER,
    P.FAILED: _OVER,
    P.CANCELLED: _OVER,
    P.EXPIRED: _OVER,
}
EVENT_OF: Mapping[JobPhase, str] = {
    P.QUEUED: "job_queued",
    P.WAITING: "job_waiting",
    P.STARTING: "job_starting",
    P.PAUSED: "job_paused",
    P.ENDING: "job_ending",
    P.FINISHING: "job_finishing",
    P.CANCELLED: "job_cancelled",
    P.EXPIRED: "job_expired",
    P.INTERRUPTED: "job_interrupted",
}
_USE_INSTEAD: Mapping[type[s.About], str] = {
    s.Cancel: "there is nothing left to cancel",
    s.Pause: "only a job that is queued, starting or running is paused",
    s.Resume: "only a paused job is resumed",
    s.SetPriority: "its turn has come already",
    s.SetProtection: "its results are computed already",
    s.Forget: "only a finished job is forgotten; cancel it first",
}
Log = MutableSequence[tuple[int, s.Stimulus]]


class JobLifecycle(Attempts):
    """The job table and what is known of the running jobs; `step` is its only way in."""

    NEXT = NEXT
    EVENT_OF = EVENT_OF

    def __init__(self, policy: Policy | None = None, log: Log | None = None) -> None:
        super().__init__(policy or Policy())
        self.next_id = 1
        self.is_restored = False
        self._log = log

    def step(self, now: int, stimulus: s.Stimulus) -> tuple[s.Instruction, ...]:
        """Take one stimulus at on-board time `now`; what is to be done, in order."""
        if self._log is not None:
            self._log.append((now, stimulus))
        self._now, self._out, self._is_changed = now, [], False
        if isinstance(stimulus, s.About):
            self._about(stimulus)
        else:
            self._about_all(stimulus)
        self._schedule()
        if self._is_changed:
            self._out.append(s.Save())
        return tuple(self._out)

    def next_due(self) -> int | None:
        """When a back-off ends, in on-board ns; None while nothing waits for the time."""
        waiting = (P.WAITING, P.FINISHING)
        times = [
            self.runs[r.id].not_before
            for r in self.jobs.values()
            if r.phase in waiting and self.runs[r.id].not_before
        ]
        return min(times, default=None)

    # ------------------------------------------------------------ about all

    def _about_all(self, stimulus: Any) -> None:
        match stimulus:
            case s.Tick():
                for record in self._live():
                    self._tell_news(record)
                    handler = TABLE[record.phase].get(s.Due)
                    if handler:
                        getattr(self, handler)(record, s.Due(record.id))
            case s.Submit():
                self._submit(stimulus)
            case s.Restore():
                self._restore(stimulus)
            case s.LauncherTable():
                self._compare(stimulus)
            case s.HoldAll():
                self.held = stimulus.reason
            case s.ReleaseAll():
                self.held = ""
            case s.RecallAll():
                self._recall_all(stimulus)
            case s.Adapt():
                self._adapt(stimulus)
            case s.SetPolicy():
                self.policy = stimulus.policy

    def _restore(self, stimulus: s.Restore) -> None:
        self.next_id = max([stimulus.next_id, *(r.id + 1 for r in stimulus.records)])
        self.is_restored = True
        for record in map(replace, stimulus.records):  # the log keeps what was restored
            self.jobs[record.id] = record
            now = self._now
            # Whether a predecessor's launch was sent is unknown: the launcher's table will tell.
            self.runs[record.id] = Run(since=now, is_sent=True, heartbeat_at=now, counted_at=now)
            if record.phase in (P.SUBMITTED, P.INTERRUPTED):
                self._move(record, P.QUEUED, "taken up after a restart")
            elif record.phase is P.FINISHING:
                self._out.append(s.Publish(record.id))

    def _submit(self, stimulus: s.Submit) -> None:
        if not self.is_restored:
            self._refuse("the job table is still being read; send it again in a second")
            return
        if len(self.jobs) >= self.policy.most_jobs:
            oldest = min((r.id for r in self.jobs.values() if r.is_finished), default=None)
            if oldest is None:
                self._refuse(
                    f"the table holds {len(self.jobs)} jobs, none finished; cancel some",
                    FailureCode.QUEUE_FULL,
                )
                return
            self._forget(self.jobs[oldest], s.Forget(oldest))
        record = JobRecord(
            self.next_id,
            stimulus.kind,
            stimulus.priority,
            stimulus.wall_s,
            stimulus.memory_mb,
            stimulus.arguments,
            protection=stimulus.protection,
        )
        self.next_id += 1
        self.jobs[record.id] = record
        self.runs[record.id] = Run()
        self._is_changed = True
        self._out.append(s.Accepted(record.id))

    def _compare(self, table: s.LauncherTable) -> None:
        ended = {exited.job for exited in table.exited}
        for exited in table.exited:
            self._about(exited)
        for process in table.alive:
            self._meet(process)
        alive = {process.job for process in table.alive}
        for job, record in list(self.jobs.items()):
            is_missing = job not in alive and job not in ended and not self.runs[job].is_fresh
            if is_missing and record.phase in WITH_PROCESS:
                self._about(s.Vanished(job, table.pages.get(job)))
        self.is_synced = True

    def _meet(self, process: s.Process) -> None:
        record = self.jobs.get(process.job)
        if record is None or record.phase not in (*WITH_PROCESS, P.QUEUED, P.WAITING):
            self._end_stray(process.job, process.pid)
        elif record.pid not in (0, process.pid) or (
            record.start_time not in (0, process.start_time)
        ):
            self._end_stray(process.job, process.pid)
            self._about(s.Vanished(process.job, None))
        elif record.pid == 0 or not self.is_synced:
            self._adopt(record, process)

    def _adopt(self, record: JobRecord, process: s.Process) -> None:
        if record.phase not in WITH_PROCESS:
            self._move(record, P.STARTING, "its process is there already")
        record.pid, record.start_time = process.pid, process.start_time
        now = self._now
        run = Run(since=now, heartbeat_at=now, counted_at=now, is_sent=True)
        run.next_keep = now + self.policy.disk_interval
        self.runs[record.id] = run
        self._is_changed = True
        self._tell("job_readopted", record.id, record.pid)
        self._tell_level(record)
        if record.phase is P.ENDING:
            self._ask_to_end(record)

    # ------------------------------------------------------------ about one job

    def _about(self, stimulus: s.About) -> None:
        record = self.jobs.get(stimulus.job)
        handler = TABLE[record.phase].get(type(stimulus)) if record else None
        if handler:
            getattr(self, handler)(record, stimulus)
        elif isinstance(stimulus, s.Order):
            self._refuse_order(record, stimulus)
        elif isinstance(stimulus, s.Exited):
            self._out.append(s.Acknowledge(stimulus.job))
        elif isinstance(stimulus, s.Launched) and (
            record is None or record.phase not in WITH_PROCESS
        ):
            self._end_stray(stimulus.job, stimulus.pid)
        else:
            self.stale += 1

    def _refuse_order(self, record: JobRecord | None, stimulus: s.Order) -> None:
        if not self.is_restored:
            self._refuse("the job table is still being read; send it again in a second")
        elif record is None:
            self._refuse(f"there is no job {stimulus.job}; list shows them", FailureCode.NOT_FOUND)
        else:
            use = _USE_INSTEAD[type(stimulus)]
            self._refuse(f"job {record.id} is {record.phase.name.lower()}: {use}")

    def _stored(self, record: JobRecord, _: s.Stored) -> None:
        self._move(record, P.QUEUED, f"priority {record.priority}")

    def _withdraw(self, record: JobRecord, _: s.NotStored) -> None:
        self._drop(record)

    def _cancel_now(self, record: JobRecord, _: s.About) -> None:
        self._finish(record, P.CANCELLED, "by telecommand")

    def _cancel_process(self, record: JobRecord, stimulus: s.Cancel) -> None:
        if record.phase is P.STARTING and record.pid == 0 and not self.runs[record.id].is_sent:
            self._cancel_now(record, stimulus)
        else:
            self._end(record, Ending.CANCEL, "cancelled by telecommand")

    def _cancel_ending(self, record: JobRecord, _: s.Cancel) -> None:
        record.ending = Ending.CANCEL
        self._is_changed = True

    def _hold(self, record: JobRecord, _: s.Pause) -> None:
        record.is_held = self._is_changed = True

    def _let_go(self, record: JobRecord, _: s.Resume) -> None:
        record.is_held, self._is_changed = False, True
        self.runs[record.id].not_before = 0

    def _set_priority(self, record: JobRecord, stimulus: s.SetPriority) -> None:
        record.priority, self._is_changed = stimulus.priority, True
        self._out.append(s.Show(record.id))

    def _forget(self, record: JobRecord, _: s.Forget) -> None:
        self._drop(record)
        self._is_changed = True
        self._out.append(s.Remove(record.id))
        self._tell("job_forgotten", record.id)

    def _drop(self, record: JobRecord) -> None:
        del self.jobs[record.id], self.runs[record.id]
        self.ledgers.pop(record.id, None)

    def _refuse(self, reason: str, code: FailureCode = FailureCode.REFUSED) -> None:
        self._out.append(s.Refusal(reason, code))


def replay(log: Iterable[tuple[int, s.Stimulus]], policy: Policy) -> list[s.Instruction]:
    """The instructions that a lifecycle of that first policy gave for a log."""
    lifecycle = JobLifecycle(policy)
    return [out for now, stimulus in log for out in lifecycle.step(now, stimulus)]
