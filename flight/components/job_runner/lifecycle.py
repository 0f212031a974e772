"""The life of every job, decided: stimuli in, instructions out; no clock, no files, no processes.

    SUBMITTED → QUEUED ⇄ WAITING                      waits for its slot, or may not run
                  ↓         ↑ (tries again)
               STARTING → RUNNING ⇄ PAUSED            has a process
                  ↓         ↓         ↓
                ENDING ───→ FINISHING → DONE          told to end; ended well; published
                  ↓
                FAILED, CANCELLED, EXPIRED

A process that is gone with its launcher puts its job through INTERRUPTED back to QUEUED. The whole
of it is `NEXT` in `job_table`; what each phase does with each stimulus is `phase_table` below.

`replay` of a stimulus log from its `Restore` on gives the same instructions again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableSequence
from dataclasses import replace
from typing import Any, TypeVar

from flight.components.job_runner import stimuli as s
from flight.components.job_runner.attempts import Attempts
from flight.components.job_runner.commits import Commits
from flight.components.job_runner.exits import Exits
from flight.components.job_runner.job_table import JobTable
from flight.components.job_runner.levels import Levels
from flight.components.job_runner.orders import Orders
from flight.components.job_runner.records import WITH_PROCESS, JobPhase, JobRecord, Policy, Run
from flight.components.job_runner.schedule import Scheduler
from flight.framework.lifecycle import Lifecycle

P = JobPhase
Told = TypeVar("Told", bound=s.About)
Handler = Callable[[JobRecord, Any], None]
PhaseTable = Mapping[JobPhase, Mapping[type[s.About], Handler]]
Log = MutableSequence[tuple[int, s.Stimulus]]


def on(
    stimulus: type[Told], handler: Callable[[JobRecord, Told], None]
) -> tuple[type[s.About], Handler]:
    """One entry of the table: who handles that stimulus."""
    return stimulus, handler


def phase_table(
    orders: Orders, levels: Levels, commits: Commits, exits: Exits, attempts: Attempts
) -> PhaseTable:
    """What each phase does with each stimulus.

    What is not here is refused (a telecommand), ended (a process that should not be),
    acknowledged (its end), or counted as stale (anything else).
    """
    unfinished = (
        on(s.Pause, orders.pause),
        on(s.Resume, orders.resume),
        on(s.SetPriority, orders.set_priority),
        on(s.SetProtection, levels.set_protection),
        on(s.CommitKept, commits.kept),
        on(s.CommitNotKept, commits.not_kept),
    )
    idle = (*unfinished, on(s.Cancel, orders.cancel))
    alive = (
        *unfinished,
        on(s.Cancel, orders.cancel_process),
        on(s.Seen, attempts.seen),
        on(s.Unkillable, attempts.unkillable),
        on(s.Exited, exits.exited),
        on(s.Vanished, exits.interrupted),
    )
    starting = (
        on(s.Prepared, attempts.prepared),
        on(s.NotPrepared, attempts.not_prepared),
        on(s.Launched, attempts.launched),
        on(s.NotLaunched, attempts.not_launched),
        on(s.Due, attempts.due_starting),
    )
    ending = (
        on(s.Cancel, orders.cancel_ending),
        on(s.Launched, attempts.launched),
        on(s.Seen, attempts.seen),
        on(s.Unkillable, attempts.unkillable),
        on(s.Due, attempts.due_ending),
        on(s.Exited, exits.exited),
        on(s.Vanished, exits.ended),
        on(s.CommitKept, commits.kept),
        on(s.CommitNotKept, commits.not_kept),
    )
    finishing = (
        on(s.Published, exits.published),
        on(s.NotPublished, exits.not_published),
        on(s.Due, exits.due),
    )
    over = (on(s.Forget, orders.forget),)
    return {
        P.SUBMITTED: dict((on(s.Stored, orders.stored), on(s.NotStored, orders.withdraw))),
        P.QUEUED: dict(idle),
        P.WAITING: dict(idle),
        P.STARTING: dict((*alive, *starting)),
        P.RUNNING: dict((*alive, on(s.Due, attempts.due_running))),
        P.PAUSED: dict(alive),
        P.ENDING: dict(ending),
        P.FINISHING: dict(finishing),
        P.INTERRUPTED: {},
        P.DONE: dict(over),
        P.FAILED: dict(over),
        P.CANCELLED: dict(over),
        P.EXPIRED: dict(over),
    }


class JobLifecycle(Lifecycle[s.Stimulus, s.Instruction]):
    """The job table and the parts that decide about it."""

    def __init__(self, policy: Policy | None = None, log: Log | None = None) -> None:
        super().__init__(log)
        self.table = table = JobTable(policy or Policy())
        self.levels = levels = Levels(table)
        commits = Commits(table)
        exits = Exits(table, levels, commits)
        self._attempts = attempts = Attempts(table, levels, commits, exits)
        self._orders = orders = Orders(table, levels, attempts, exits)
        self._scheduler = Scheduler(table, attempts)
        self.handlers = phase_table(orders, levels, commits, exits, attempts)

    @property
    def jobs(self) -> Mapping[int, JobRecord]:
        """Every job by its number."""
        return self.table.jobs

    def next_due(self) -> int | None:
        """When a back-off ends, in on-board ns; None while nothing waits for the time."""
        waiting = (P.WAITING, P.FINISHING)
        times = [
            self.table.runs[record.id].not_before
            for record in self.jobs.values()
            if record.phase in waiting and self.table.runs[record.id].not_before
        ]
        return min(times, default=None)

    # ------------------------------------------------------------ a stimulus

    def _take(self, stimulus: s.Stimulus) -> None:
        self.table.begin(self._now, self._out)
        if isinstance(stimulus, s.About):
            self._about(stimulus)
        else:
            self._about_all(stimulus)

    def _settle(self) -> None:
        self._scheduler.run()
        if self.table.is_changed:
            self._out.append(s.Save())

    def _about(self, stimulus: s.About) -> None:
        record = self.jobs.get(stimulus.job)
        handler = self.handlers[record.phase].get(type(stimulus)) if record else None
        if record and handler:
            handler(record, stimulus)
        elif isinstance(stimulus, s.Order):
            self._orders.refuse(record, stimulus)
        elif isinstance(stimulus, s.Exited):
            self._out.append(s.Acknowledge(stimulus.job))
        elif isinstance(stimulus, s.Launched) and (
            record is None or record.phase not in WITH_PROCESS
        ):
            self._attempts.end_stray(stimulus.job, stimulus.pid)
        else:
            self.table.stale += 1

    def _about_all(self, stimulus: s.AboutAll) -> None:
        match stimulus:
            case s.Tick():
                self._tick()
            case s.Submit():
                self._orders.submit(stimulus)
            case s.Restore():
                self._restore(stimulus)
            case s.LauncherTable():
                self._compare(stimulus)
            case s.HoldAll():
                self.table.held = stimulus.reason
            case s.ReleaseAll():
                self.table.held = ""
            case s.RecallAll():
                self._attempts.recall_all(stimulus)
            case s.Adapt():
                self.levels.adapt(stimulus)
            case s.SetPolicy():
                self.table.policy = stimulus.policy

    # ------------------------------------------------------------ about all jobs

    def _tick(self) -> None:
        for record in self.table.live():
            self.levels.tell_news(record)
            handler = self.handlers[record.phase].get(s.Due)
            if handler:
                handler(record, s.Due(record.id))

    def _restore(self, stimulus: s.Restore) -> None:
        table, now = self.table, self._now
        table.next_id = max(table.next_id, stimulus.next_id)
        table.is_restored = True
        for record in map(replace, stimulus.records):  # the log keeps what was restored
            # Whether a predecessor's launch was sent is unknown: the launcher's table will tell.
            table.add(record, Run(since=now, is_sent=True, heartbeat_at=now, counted_at=now))
            if record.phase in (P.SUBMITTED, P.INTERRUPTED):
                table.move(record, P.QUEUED, "taken up after a restart")
            elif record.phase is P.FINISHING:
                self._out.append(s.Publish(record.id))

    def _compare(self, told: s.LauncherTable) -> None:
        """Compare the launcher's processes with ours, once at the start and whenever in doubt."""
        ended = {exited.job for exited in told.exited}
        for exited in told.exited:
            self._about(exited)
        for process in told.alive:
            self._meet(process)
        alive = {process.job for process in told.alive}
        for job, record in list(self.jobs.items()):
            is_fresh = self.table.runs[job].is_fresh
            is_missing = job not in alive and job not in ended and not is_fresh
            if is_missing and record.phase in WITH_PROCESS:
                self._about(s.Vanished(job, told.pages.get(job)))
        self.table.is_synced = True

    def _meet(self, process: s.Process) -> None:
        """A process is alive: it is a job's, or a stray."""
        record = self.jobs.get(process.job)
        if record is None or record.phase not in (*WITH_PROCESS, P.QUEUED, P.WAITING):
            self._attempts.end_stray(process.job, process.pid)
        elif record.pid not in (0, process.pid) or (
            record.start_time not in (0, process.start_time)
        ):
            self._attempts.end_stray(process.job, process.pid)
            self._about(s.Vanished(process.job, None))
        elif record.pid == 0 or not self.table.is_synced:
            self._attempts.adopt(record, process)
