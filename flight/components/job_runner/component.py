"""Runs jobs: takes them from ground, starts and watches their processes, publishes their products.

What is to be done is decided in `lifecycle.py`; this file and `effects.py` do it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Annotated

from flight.components.job_runner import launcher_messages as messages
from flight.components.job_runner import stimuli as s
from flight.components.job_runner.dictionary import (
    COUNTERS,
    JobEvents,
    JobId,
    JobsHousekeeping,
    JobsParameters,
    Listed,
    Priority,
    Submitted,
)
from flight.components.job_runner.effects import Effects
from flight.components.job_runner.lifecycle import JobLifecycle
from flight.components.job_runner.ports import JobSettings, StatusPages
from flight.components.job_runner.records import WITH_PROCESS
from flight.components.job_runner.status_reports import StatusReports, count_found, count_jobs
from flight.components.job_runner.submission import checked
from flight.components.job_runner.table_file import Table, TableFile, encode, read_table
from flight.fault_tolerance.levels import Level, Protection
from flight.framework.component import Component, Pending, Port, Refused, command
from flight.framework.lifecycle import Stepper
from flight.framework.ports import Storage, Worker, WorkerMessage
from flight.framework.time_units import SECOND
from flight.jobs.declaration import JobDeclaration
from flight.storage.file_names import FileNames
from flight.storage.script import StorageFailed, perform
from icd.failures import FailureCode
from icd.fields import U16, U32, OctetsLimit, Unit

POLL_NS = SECOND // 10
AGAIN_NS = SECOND
LOG_LENGTH = 1024
EARLY = 1024
"""Most messages of the launcher that are kept until the job table is read."""


class JobRunner(Component[JobsHousekeeping, JobsParameters], JobEvents):
    """Runs jobs in processes of their own, one after the other, through whatever happens."""

    def __init__(
        self,
        port: Port,
        storage: Storage,
        launcher: Worker,
        pages: StatusPages,
        jobs: Mapping[int, JobDeclaration],
        files: FileNames,
        settings: JobSettings,
    ) -> None:
        super().__init__(port)
        self._storage = storage
        self._launcher = launcher
        self._declarations = jobs
        self._files = files
        self._refused = settings.refused
        self._most_jobs = settings.most_jobs
        self.log: deque[tuple[int, s.Stimulus]] = deque(maxlen=LOG_LENGTH)
        """The newest stimuli with their times (on-board ns), for `replay`."""
        self.core = JobLifecycle(self.parameters.policy(self._most_jobs), self.log)
        self._stepper = Stepper(self, self.core, self._do, COUNTERS)
        self._effects = Effects(
            storage, launcher, pages, jobs, files, settings, self.core.jobs, self._answered
        )
        self._table_file = TableFile(
            storage,
            lambda: encode(self.core.jobs.values(), self.core.table.next_id),
            self._storage_failed,
            port.clock,
        )
        self._reports = StatusReports(self.core.table, self.core.levels, self.status, port.clock)
        self.on_unkillable: Callable[[int, int], None] = lambda _job, _pid: None
        """Called with a job and the pid of its process, which was killed and lives on."""
        self._early: deque[s.Stimulus | None] = deque(maxlen=EARLY)
        self._read_at: int | None = None

    # ------------------------------------------------------------ telecommands

    @command(1, timeout_s=30.0)
    def submit(
        self,
        kind: Annotated[U16, "number of the kind of job"],
        fragment: Annotated[U32, "hash of its parameters' declaration"],
        priority: Priority,
        wall_s: Annotated[U32, "longest run; 0: as declared", Unit("s")],
        memory_mb: Annotated[U32, "most memory; 0: as declared", Unit("MiB")],
        protection: Annotated[Protection, "how its results are protected"],
        arguments: Annotated[bytes, OctetsLimit(1024), "its parameters, packed"],
    ) -> Pending[Submitted]:
        """Queue a job; completed once it is durable."""
        asked = s.Submit(kind, priority, wall_s, memory_mb, arguments, protection)
        try:
            asked = checked(self._declarations, self._files, asked, fragment)
        except Refused:
            self.hk.refused += 1
            raise
        job = self._order(asked)
        pending = self.defer()
        self._table_file.when_durable(
            lambda: self._stored(job, pending),
            lambda failure: self._not_stored(job, pending, failure),
        )
        return pending

    @command(2)
    def cancel(self, job: JobId) -> None:
        """End a job: politely at first, after the grace time firmly."""
        self._order(s.Cancel(job))

    @command(3)
    def pause(self, job: JobId) -> None:
        """Keep a job from running until it is resumed; its slot goes to others."""
        self._order(s.Pause(job))

    @command(4)
    def resume(self, job: JobId) -> None:
        """Let a paused job run again; end the wait of one that would try again later."""
        self._order(s.Resume(job))

    @command(5)
    def list(self) -> Listed:
        """Report the status of every job in the table."""
        self.port.wake()
        return Listed(self._reports.all())

    @command(6)
    def set_priority(self, job: JobId, priority: Priority) -> None:
        """Change a job's priority; a running job gives way to a higher one."""
        self._order(s.SetPriority(job, priority))

    @command(7)
    def forget(self, job: JobId) -> None:
        """Remove a finished job from the table, with its commits but not its products."""
        self._order(s.Forget(job))

    @command(8)
    def set_protection(
        self, job: JobId, protection: Annotated[Protection, "how its results are protected"]
    ) -> None:
        """Change how a job's results are protected; a running one heeds it at its next step."""
        self._order(s.SetProtection(job, protection))

    # ------------------------------------------------------------ stepping

    def start(self, now: int) -> None:
        """Read the job table; ask the launcher for its own."""
        self._launcher.on_message(self._message)
        self._read_at = now
        self._read(now)
        self._launcher.send("hello", {})
        for name, reason in self._refused:
            self.kind_refused(name, reason)

    def run(self, now: int) -> int | None:
        """Look at every running job; decide what time brings. Next due: sooner while jobs run."""
        self._read(now)
        self._table_file.run(now)
        running = [r for r in self.core.jobs.values() if r.phase in WITH_PROCESS]
        for record in running:
            if record.pid and (status := self._effects.look(record)):
                self._stepper.step(s.Seen(record.id, status))
                self._reports.changed(record.id, status)
        self._stepper.step(s.Tick())
        is_behind = self._reports.go_on()
        self._count()
        return self._next_due(now, is_behind)

    def parameters_changed(self) -> None:
        """Decide by the new parameters from now on."""
        self._stepper.step(s.SetPolicy(self.parameters.policy(self._most_jobs)))

    def hold(self, reason: str) -> None:
        """Let no job run, for a reason that ground will see; running ones pause."""
        self._stepper.step(s.HoldAll(reason))
        self.port.wake()

    def release(self) -> None:
        """Let jobs run again."""
        self._stepper.step(s.ReleaseAll())
        self.port.wake()

    def recall(self, reason: str, begun_by: int, only: int = 0) -> None:
        """End processes begun by then (on-board ns), of one job or of all (0); each goes on from
        its last commit."""
        self._stepper.step(s.RecallAll(reason, begun_by, only))
        self.port.wake()

    def adapt(self, level: Level) -> None:
        """Protect the results of adaptive jobs at this level from now on."""
        self._stepper.step(s.Adapt(level))
        self.port.wake()

    def _next_due(self, now: int, is_behind: bool) -> int | None:
        if is_behind or any(r.phase in WITH_PROCESS for r in self.core.jobs.values()):
            return now + POLL_NS
        times = [self._read_at, self._table_file.retry_at, self.core.next_due()]
        return min((max(time, now + 1) for time in times if time is not None), default=None)

    # ------------------------------------------------------------ the job table

    def _read(self, now: int) -> None:
        if self._read_at is None or now < self._read_at:
            return
        self._read_at = None
        perform(self._storage, read_table(), self._table_read, self._table_not_read)

    def _table_read(self, table: Table) -> None:
        pages = self._effects.look_at_all(table.records)
        self._stepper.step(s.Restore(table.records, table.next_id, pages))
        if table.damage:
            self.table_damaged(len(table.records), self.core.table.next_id, table.damage)
        while self._early:
            self._heed(self._early.popleft())
        self.port.wake()

    def _table_not_read(self, failure: StorageFailed) -> None:
        self._read_at = self.port.clock() + AGAIN_NS
        self._storage_failed(failure)

    def _stored(self, job: int, pending: Pending[Submitted]) -> None:
        pending.complete(Submitted(job))
        self._stepper.step(s.Stored(job))
        self.port.wake()

    def _not_stored(self, job: int, pending: Pending[Submitted], failure: StorageFailed) -> None:
        code = FailureCode.NO_SPACE if failure.error == "ENOSPC" else FailureCode.STORAGE_FAILED
        pending.fail(f"the job could not be stored: {failure.reason}", code)
        self._stepper.step(s.NotStored(job))

    def _storage_failed(self, failure: StorageFailed) -> None:
        self.storage_refused(0, failure.reason)
        COUNTERS.count(self.hk, JobEvents.storage_refused)
        self.port.wake()

    # ------------------------------------------------------------ the launcher

    def _message(self, message: WorkerMessage) -> None:
        try:
            stimulus = messages.understood(message)
        except messages.MessageError as error:
            self.hk.messages_refused += 1
            self.message_refused(message.kind, str(error))
            return
        if self.core.table.is_restored:
            self._heed(stimulus)
        else:
            self.hk.messages_refused += len(self._early) == EARLY
            self._early.append(stimulus)
        self.port.wake()

    def _heed(self, stimulus: s.Stimulus | None) -> None:
        if isinstance(stimulus, s.LauncherTable):
            exited = tuple(map(self._effects.with_page, stimulus.exited))
            self._stepper.step(
                replace(
                    stimulus,
                    exited=exited,
                    pages=self._effects.look_at_all(self.core.jobs.values()),
                )
            )
        elif isinstance(stimulus, s.Exited):
            self._stepper.step(self._effects.with_page(stimulus))
        elif stimulus is not None:
            self._stepper.step(stimulus)

    # ------------------------------------------------------------ deciding and doing

    def _order(self, stimulus: s.Stimulus) -> int:
        """Step a telecommand; the id of an accepted job, or 0. Raises Refused."""
        accepted = 0
        for instruction in self._stepper.step(stimulus):
            if isinstance(instruction, s.Refusal):
                self.hk.refused += 1
                raise Refused(instruction.reason, instruction.code)
            if isinstance(instruction, s.Accepted):
                accepted = instruction.job
        self.port.wake()
        return accepted

    def _answered(self, stimulus: s.Stimulus) -> None:
        """What became of an instruction; when to try again may follow from it."""
        self._stepper.step(stimulus)
        self.port.wake()

    def _do(self, instruction: s.Instruction) -> None:
        match instruction:
            case s.Save():
                self._table_file.request()
            case s.Show():
                self._reports.show(instruction.job)
            case s.Escalate():
                self.on_unkillable(instruction.job, instruction.pid)
            case s.Accepted() | s.Refusal():
                pass  # the telecommand's own answer
            case _:
                self._effects.do(instruction)

    def _count(self) -> None:
        hk, table, levels = self.hk, self.core.table, self.core.levels
        count_jobs(hk, table.jobs.values())
        hk.commits_kept, hk.commits_not_kept = self._effects.kept, self._effects.not_kept
        hk.stale, hk.level = table.stale, levels.adaptive
        count_found(hk, levels.found)
        hk.is_ready = table.is_restored and table.is_synced
        hk.is_held = bool(table.held)
