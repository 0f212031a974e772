"""Recovery of the board: from a fault up the ladder until its readings are valid again.

What is to be done is decided in `lifecycle`; this file has it done.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import Annotated

from flight.components.board.places import BOARD, MOST_DEVICES, UNKNOWN, name_of
from flight.components.board.readings import Fault
from flight.components.recovery import stimuli as s
from flight.components.recovery.cases import Phase
from flight.components.recovery.dictionary import (
    COUNTERS,
    Device,
    Forgotten,
    Listed,
    RecoveryEvents,
    RecoveryHousekeeping,
    RecoveryParameters,
    RecoverySettings,
)
from flight.components.recovery.fault_table import RUNGS, Kind, Level, row_of
from flight.components.recovery.lifecycle import RecoveryLifecycle
from flight.components.recovery.ports import Board, Computer, Jobs, Others
from flight.components.recovery.strikes import Cause
from flight.framework.component import Component, FailureCode, Pending, Port, Refused, command
from flight.framework.lifecycle import Stepper
from flight.framework.ports import Section
from flight.framework.time_units import SECOND
from icd.fields import U8, U32, Limits

POLL_NS = SECOND // 10
"""How often jobs and readings are looked at while a recovery is under way."""
DEFERRED_POLL_NS = SECOND
LOG_LENGTH = 1024
JOBS_DEVICE = 0
"""The GPU that jobs compute on."""


class Recovery(Component[RecoveryHousekeeping, RecoveryParameters], RecoveryEvents):
    """Brings the board back after a fault: one action at a time, each one verified."""

    def __init__(
        self,
        port: Port,
        board: Board,
        jobs: Jobs,
        computer: Computer,
        others: Others,
        saved: Section,
        settings: RecoverySettings,
    ) -> None:
        super().__init__(port)
        self._board = board
        self._jobs = jobs
        self._computer = computer
        self._others = others
        self._saved = saved
        self._settings = settings
        self.log: deque[tuple[int, s.Stimulus]] = deque(maxlen=LOG_LENGTH)
        self.core = RecoveryLifecycle(self._policy(), self.log)
        self.hk.max_level = settings.max_level
        self._stepper: Stepper[s.Stimulus, s.Instruction] = Stepper(
            self, self.core, self._do, COUNTERS
        )
        self._orders: dict[int, Pending[None]] = {}
        self._next_order = 0

    # ------------------------------------------------------------ telecommands

    @command(1)
    def list_strikes(self) -> Pending[Listed]:
        """Report each cause that struck within its decay time: reports named strikes."""
        pending = self.defer()
        now, station = self.port.clock(), pending.source
        rows = self.core.strikes.rows(now)
        if self.port.telemetry.bulk_room(station) < len(rows):
            raise Refused("the downlink has no room for the rows; send it again")
        for cause, count, last in rows:
            row = row_of(cause.kind, cause.code)
            next_level = self.core.strikes.level(row, count + 1)
            age_s = (now - last) / SECOND
            self.strikes(  # type: ignore[call-arg]
                cause.device,
                cause.kind,
                max(cause.code, 0),
                row.meaning,
                count,
                next_level,
                age_s,
                station=station,
            )
        pending.complete(Listed(len(rows)))
        return pending

    @command(2)
    def reset_strikes(
        self, device: Device, code: Annotated[U32, "XID or event code; 0: all"]
    ) -> Forgotten:
        """Forget strikes, so that the next fault begins at its own level again."""
        known = len(self.core.strikes.times)
        self._stepper.step(s.ForgetStrikes(None if device == BOARD else device, code or None))
        return Forgotten(known - len(self.core.strikes.times))

    @command(3, critical=True, timeout_s=300.0)
    def act(
        self, level: Annotated[U8, "level of the ladder", Limits(1, 7)], device: Device
    ) -> Pending[None]:
        """Take one action now; completed when the readings are valid after it."""
        known = [picture.device for picture in self._board.picture()]
        if device != BOARD and known and device not in known:
            text = f"no GPU {device}; there is {', '.join(map(str, known))}"
            raise Refused(text, FailureCode.NOT_FOUND)
        pending = self.defer()
        self._next_order += 1
        self._orders[self._next_order] = pending
        self._stepper.step(s.Order(Level(level), device, self._next_order))
        self.port.wake()
        return pending

    @command(4)
    def enable(self) -> None:
        """Let faults be acted upon without telecommand, up to recovery.max_level."""
        self._stepper.step(s.Enable(True))

    @command(5)
    def disable(self) -> None:
        """Only count faults and say what they would call for; act still acts."""
        self._stepper.step(s.Enable(False))

    # ------------------------------------------------------------ stepping

    def start(self, now: int) -> None:  # noqa: ARG002
        """Take up what the last executive, or the last instance, left."""
        self._jobs.release()
        self._stepper.step(s.Restore(self._saved.load()))

    def run(self, now: int) -> int | None:
        """See what jobs and readings do while a recovery is under way, and what time brings."""
        if self.core.cases or self.core.deferrals:
            self._look()
        self._stepper.step(s.Tick())
        if self.core.cases:
            return now + POLL_NS
        due = self.core.next_due()
        if self.core.deferrals:
            later = now + DEFERRED_POLL_NS
            due = later if due is None else min(due, later)
        return due

    def parameters_changed(self) -> None:
        """Decide by the new parameters from now on."""
        self._stepper.step(s.SetPolicy(self._policy()))

    def housekeeping(self) -> bytes:
        """The fields, packed."""
        self._show()
        return super().housekeeping()

    # ------------------------------------------------------------ what others tell

    def fault(self, fault: Fault) -> None:
        """The board monitor passes on a fault."""
        self.hk.faults += 1
        device = fault.device if 0 <= fault.device < MOST_DEVICES else UNKNOWN
        cause = Cause(device, Kind(fault.kind), fault.code)
        self._look()
        self._stepper.step(s.Fault(cause, fault.text, fault.origin, fault.sequence))
        self.port.wake()

    def back(self, device: int) -> None:
        """A device that was lost answers again: the next loss is another event."""
        self._stepper.step(s.Back(device))

    def silent(self, is_silent: bool) -> None:
        """Readings of the board stay away, or come again."""
        self._stepper.step(s.Silent(is_silent))
        self.port.wake()

    def unkillable(self, worker: str, pid: int) -> None:
        """A worker was killed and lives on: if it is the board server, the driver holds it."""
        if worker == "board":
            self.hk.faults += 1
            self._look()
            cause = Cause(BOARD, Kind.UNKILLABLE, 0)  # told again to each executive
            self._stepper.step(s.Fault(cause, f"process {pid}", 0, pid))
            self.port.wake()

    def unkillable_job(self, job: int, pid: int) -> None:
        """A process of a job was killed and lives on: only a reset, or less power, ends it."""
        self.hk.faults += 1
        self._look()
        cause = Cause(JOBS_DEVICE, Kind.JOB_UNKILLABLE, 0)
        self._stepper.step(s.Fault(cause, f"process {pid} of job {job}", pid, job))
        self.port.wake()

    def _look(self) -> None:
        """Tell the core of jobs and readings, where they are new."""
        running = self._jobs.running()
        if running != self.core.jobs:
            self._stepper.step(running)
        for seen in self._board.picture():
            if seen.received != self.core.received(seen.device):
                told = seen.recovery_action, seen.boot_slot
                self._stepper.step(s.Readings(seen.device, seen.received, seen.condition, *told))

    # ------------------------------------------------------------ deciding and doing

    def _do(self, instruction: s.Instruction) -> None:
        match instruction:
            case s.HoldJobs():
                self._jobs.hold(instruction.reason)
            case s.ReleaseJobs():
                self._jobs.release()
            case s.RecallJobs():
                self._jobs.recall(instruction.reason, instruction.begun_by)
            case s.Act():
                self._act(instruction)
            case s.Reboot():
                self._computer.reboot(instruction.reason)
            case s.ConfirmSlot():
                self._confirm_slot(instruction)
            case s.AskOther():
                self._ask(instruction)
            case s.Save():
                self._save(instruction)
            case s.CountAction():
                self._count(instruction.level)
            case s.KeepRecoveryTime():
                self.hk.last_s = instruction.seconds
            case s.Answer():
                self._answer(instruction)

    def _act(self, act: s.Act) -> None:
        def ended(ok: bool, text: str) -> None:
            done = s.Done(act.action, ok, text)
            self.port.post_answer(partial(self._heed, done))

        action = RUNGS[act.level].action
        if act.level is Level.SAFE_MODE:
            self._computer.enter_safe_mode(act.reason)
            ended(True, "")
        else:
            device = 0 if act.device == BOARD else act.device  # one rail feeds them all
            if not self._board.control(action, device, self._jobs.processes(), ended):
                ended(False, "the board server takes no request")

    def _confirm_slot(self, confirm: s.ConfirmSlot) -> None:
        device = 0 if confirm.device == BOARD else confirm.device

        def ended(ok: bool, text: str) -> None:
            tell = self.slot_confirmed if ok else partial(self.slot_not_confirmed, text)
            self.port.post_answer(tell)

        if not self._board.control("confirm_slot", device, (), ended):
            ended(False, "the board server takes no request")

    def _ask(self, asked: s.AskOther) -> None:
        """Have another part of the payload do it, or else say what ground should do."""
        reason = f"{name_of(asked.device)}: {asked.fault}"
        if self._others.ask(asked.what, reason):
            self.passed_on(asked.device, asked.fault, asked.what.value)
        else:
            self.attention(asked.device, asked.fault, asked.what.by_ground)

    def _save(self, save: s.Save) -> None:
        saved = None
        if save.action is not None:
            saved = partial(self.port.post_answer, partial(self._heed, s.Saved(save.action)))
        self._saved.keep(dict(save.content), saved)

    def _heed(self, stimulus: s.Stimulus) -> None:
        self._stepper.step(stimulus)
        self.port.wake()

    def _answer(self, answer: s.Answer) -> None:
        pending = self._orders.pop(answer.number, None)
        if pending is None:
            return
        if answer.ok:
            pending.complete()
        else:
            pending.fail(answer.text or "it did not help")

    def _count(self, level: Level) -> None:
        counts = self.hk.actions
        self.hk.actions = (*counts[:level], counts[level] + 1, *counts[level + 1 :])

    def _show(self) -> None:
        hk, core, now = self.hk, self.core, self.port.clock()
        case = core.at_work
        hk.is_enabled = core.is_enabled
        hk.phase = case.phase if case else Phase.IDLE
        hk.level = case.level if case else Level.LOG
        hk.device = case.device if case else 0
        hk.waiting = len(core.cases) - (case is not None)
        hk.deferred, hk.duplicates, hk.stale = len(core.deferrals), core.duplicates, core.stale
        hk.budget = core.budget.left(Level.RESTART_JOB, now)
        hk.heavy_budget = core.budget.left(Level.GPU_RESET, now)

    def _policy(self) -> s.Policy:
        return self.parameters.policy(self._settings.max_level, self._settings.period_s)
