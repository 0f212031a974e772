"""Runs jobs: takes them from ground, starts and watches their processes, publishes their products.

What is to be done is decided in `job_runner_lifecycle`; this file does it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Annotated

from flight.component import Component, Pending, Port, Refused, command
from flight.components.job_runner_lifecycle import JobLifecycle
from flight.job_control import messages
from flight.job_control import stimuli as s
from flight.job_control.declared import (
    COUNTER_OF,
    JobId,
    JobsHousekeeping,
    JobsParameters,
    Listed,
    Priority,
    Submitted,
    show_found,
)
from flight.job_control.display import Display, count_jobs
from flight.job_control.events import JobEvents
from flight.job_control.hands import Hands
from flight.job_control.keeper import TableKeeper
from flight.job_control.records import SECOND, WITH_PROCESS
from flight.job_control.script import StorageFailed, perform
from flight.job_control.submission import checked
from flight.job_control.table import Table, encode, read_table
from flight.job_ports import FileNames, JobSettings, StatusPages
from flight.jobs.declaration import JobDeclaration
from flight.ports import Storage, Worker, WorkerMessage
from flight.protection.levels import Level, Protection
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
        self._most_jobs = settings.most_jobs
        self.core = JobLifecycle(self.parameters.policy(self._most_jobs), deque(maxlen=LOG_LENGTH))
        self._hands = Hands(
            storage, launcher, pages, jobs, files, settings, self.core.jobs, self._answered
        )
        self._keeper = TableKeeper(
            storage,
            lambda: encode(self.core.jobs.values(), self.core.next_id),
            self._storage_failed,
            port.clock,
        )
        self._display = Display(self.core, self.status, port.clock)
        self._stimuli: deque[s.Stimulus] = deque()
        self._is_stepping = False
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
        self._keeper.when_durable(
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
        return Listed(self._display.all())

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

    def run(self, now: int) -> int | None:
        """Look at every running job; decide what time brings. Next due: sooner while jobs run."""
        self._read(now)
        self._keeper.run(now)
        running = [r for r in self.core.jobs.values() if r.phase in WITH_PROCESS]
        for record in running:
            if record.pid and (status := self._hands.look(record)):
                self._step(s.Seen(record.id, status))
                self._display.changed(record.id, status)
        self._step(s.Tick())
        is_behind = self._display.go_on()
        self._count()
        return self._next_due(now, is_behind)

    def parameters_changed(self) -> None:
        """Decide by the new parameters from now on."""
        self._step(s.SetPolicy(self.parameters.policy(self._most_jobs)))

    def hold(self, reason: str) -> None:
        """Let no job run, for a reason that ground will see; running ones pause."""
        self._step(s.HoldAll(reason))
        self.port.wake()

    def release(self) -> None:
        """Let jobs run again."""
        self._step(s.ReleaseAll())
        self.port.wake()

    def recall(self, reason: str, begun_by: int, only: int = 0) -> None:
        """End processes begun by then (on-board ns), of one job or of all (0); each goes on from
        its last commit."""
        self._step(s.RecallAll(reason, begun_by, only))
        self.port.wake()

    def adapt(self, level: Level) -> None:
        """Protect the results of adaptive jobs at this level from now on."""
        self._step(s.Adapt(level))
        self.port.wake()

    def _next_due(self, now: int, is_behind: bool) -> int | None:
        if is_behind or any(r.phase in WITH_PROCESS for r in self.core.jobs.values()):
            return now + POLL_NS
        times = [self._read_at, self._keeper.retry_at, self.core.next_due()]
        return min((max(time, now + 1) for time in times if time is not None), default=None)

    # ------------------------------------------------------------ the job table

    def _read(self, now: int) -> None:
        if self._read_at is None or now < self._read_at:
            return
        self._read_at = None
        perform(self._storage, read_table(), self._table_read, self._table_not_read)

    def _table_read(self, table: Table) -> None:
        self._step(s.Restore(table.records, table.next_id))
        if table.damage:
            self.table_damaged(len(table.records), self.core.next_id, table.damage)
        while self._early:
            self._heed(self._early.popleft())
        self.port.wake()

    def _table_not_read(self, failure: StorageFailed) -> None:
        self._read_at = self.port.clock() + AGAIN_NS
        self._storage_failed(failure)

    def _stored(self, job: int, pending: Pending[Submitted]) -> None:
        pending.complete(Submitted(job))
        self._step(s.Stored(job))
        self.port.wake()

    def _not_stored(self, job: int, pending: Pending[Submitted], failure: StorageFailed) -> None:
        code = FailureCode.NO_SPACE if failure.error == "ENOSPC" else FailureCode.STORAGE_FAILED
        pending.fail(f"the job could not be stored: {failure.reason}", code)
        self._step(s.NotStored(job))

    def _storage_failed(self, failure: StorageFailed) -> None:
        self._tell(s.Tell("storage_refused", (0, failure.reason)))
        self.port.wake()

    # ------------------------------------------------------------ the launcher

    def _message(self, message: WorkerMessage) -> None:
        try:
            stimulus = messages.understood(message)
        except messages.MessageError as error:
            self.hk.messages_refused += 1
            self.message_refused(message.kind, str(error))
            return
        if self.core.is_restored:
            self._heed(stimulus)
        else:
            self.hk.messages_refused += len(self._early) == EARLY
            self._early.append(stimulus)
        self.port.wake()

    def _heed(self, stimulus: s.Stimulus | None) -> None:
        if isinstance(stimulus, s.LauncherTable):
            exited = tuple(map(self._hands.with_page, stimulus.exited))
            self._step(replace(stimulus, exited=exited, pages=self._hands.look_at_all()))
        elif isinstance(stimulus, s.Exited):
            self._step(self._hands.with_page(stimulus))
        elif stimulus is not None:
            self._step(stimulus)

    # ------------------------------------------------------------ deciding and doing

    def _order(self, stimulus: s.Stimulus) -> int:
        """Step a telecommand; the id of an accepted job, or 0. Raises Refused."""
        accepted = 0
        for instruction in self._step(stimulus):
            if isinstance(instruction, s.Refusal):
                self.hk.refused += 1
                raise Refused(instruction.reason, instruction.code)
            if isinstance(instruction, s.Accepted):
                accepted = instruction.job
        self.port.wake()
        return accepted

    def _answered(self, stimulus: s.Stimulus) -> None:
        """What became of an instruction; when to try again may follow from it."""
        self._step(stimulus)
        self.port.wake()

    def _step(self, stimulus: s.Stimulus) -> tuple[s.Instruction, ...]:
        """Give the core a stimulus and do what it says; what that brings at once comes next."""
        self._stimuli.append(stimulus)
        if self._is_stepping:
            return ()
        self._is_stepping = True
        first: tuple[s.Instruction, ...] = ()
        try:
            while self._stimuli:
                out = self.core.step(self.port.clock(), self._stimuli.popleft())
                first = first or out
                for instruction in out:
                    self._do(instruction)
        finally:
            self._is_stepping = False
        return first

    def _do(self, instruction: s.Instruction) -> None:
        match instruction:
            case s.Save():
                self._keeper.request()
            case s.Tell():
                self._tell(instruction)
            case s.Show():
                self._display.show(instruction.job)
            case s.Accepted() | s.Refusal():
                pass  # the telecommand's own answer
            case _:
                self._hands.do(instruction)

    def _tell(self, told: s.Tell) -> None:
        getattr(self, told.event)(*told.values)
        if told.event == "job_unkillable":
            self.on_unkillable(*map(int, told.values))
        counter = COUNTER_OF.get(told.event)
        if counter:
            setattr(self.hk, counter, getattr(self.hk, counter) + 1)

    def _count(self) -> None:
        hk, core = self.hk, self.core
        count_jobs(hk, core.jobs.values())
        hk.commits_kept, hk.commits_not_kept = self._hands.kept, self._hands.not_kept
        hk.stale, hk.level = core.stale, core.adaptive
        show_found(hk, core.found)
        hk.is_ready = core.is_restored and core.is_synced
        hk.is_held = bool(core.held)
