"""The rest of the payload as recovery sees it; made by the deployment, used by nobody else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from flight.board_controls import ControlAnswer
from flight.board_readings import Fault
from flight.board_signals import DevicePicture
from flight.boot_cause import LEAVING
from flight.components.board_monitor import BoardMonitor
from flight.components.job_runner import JobRunner
from flight.components.protection import Protection
from flight.components.recovery import Recovery
from flight.executive import Executive, Slot
from flight.job_control.records import WITH_PROCESS, JobPhase
from flight.job_holds import JobHolds
from flight.modes import Modes
from flight.persistent import PersistentState
from flight.ports import Supervisor
from flight.recovery.ports import Ended
from flight.recovery.stimuli import Running
from flight.recovery.table import Ask
from icd.dictionary import Mode

WHO = "recovery"
"""Whose reason it is that jobs are held, and the key of what is saved."""


@dataclass(frozen=True)
class JobsDoor:
    """Implements `flight.recovery.ports.Jobs` over the job runner."""

    executive: Executive
    slot: Slot
    holds: JobHolds

    def running(self) -> Running:
        runner = self.slot.component
        if not isinstance(runner, JobRunner):
            return Running()
        records = runner.core.jobs.values()
        return Running(
            frozenset((r.id, r.attempt) for r in records if r.phase in WITH_PROCESS),
            frozenset(r.id for r in records if r.phase is JobPhase.WAITING and r.failures),
        )

    def processes(self) -> list[tuple[int, int]]:
        runner = self.slot.component
        if not isinstance(runner, JobRunner):
            return []
        return [(r.pid, r.start_time) for r in runner.core.jobs.values() if r.pid]

    def hold(self, reason: str) -> None:
        self.holds.hold(WHO, reason)

    def release(self) -> None:
        self.holds.release(WHO)

    def recall(self, reason: str, begun_by: int) -> None:
        runner = self.slot.component
        if isinstance(runner, JobRunner):
            self.executive.do_now(self.slot, partial(runner.recall, reason, begun_by))


@dataclass(frozen=True)
class BoardDoor:
    """Implements `flight.recovery.ports.Board` over the board monitor."""

    executive: Executive
    slot: Slot

    def picture(self) -> list[DevicePicture]:
        monitor = self.slot.component
        return monitor.picture() if isinstance(monitor, BoardMonitor) else []

    def control(
        self, action: str, device: int, processes: Sequence[tuple[int, int]], ended: Ended
    ) -> bool:
        taken: list[bool] = []

        def answered(answer: ControlAnswer) -> None:
            ended(answer.ok, answer.text)

        def ask() -> None:
            monitor = self.slot.component
            if isinstance(monitor, BoardMonitor):
                taken.append(monitor.control(action, device, 0.0, answered, processes))

        self.executive.do_now(self.slot, ask)
        return any(taken)


@dataclass(frozen=True)
class ComputerDoor:
    """Implements `flight.recovery.ports.Computer`."""

    modes: Modes
    state: PersistentState
    supervisor: Supervisor

    def reboot(self, reason: str) -> None:
        # Why it starts again must be known to what starts then.
        self.state.put(LEAVING, reason, partial(self.supervisor.reboot, reason))

    def enter_safe_mode(self, reason: str) -> None:
        self.modes.change(Mode.SAFE, reason)


class OthersDoor:
    """Implements `flight.recovery.ports.Others`; the deployment adds those that there are."""

    def __init__(self) -> None:
        self._known: dict[Ask, Callable[[str], bool]] = {}

    def add(self, what: Ask, do: Callable[[str], bool]) -> None:
        """Let `do` be asked for it: given a reason, it says whether it will."""
        self._known[what] = do

    def ask(self, what: Ask, reason: str) -> bool:
        do = self._known.get(what)
        return do is not None and do(reason)


@dataclass(frozen=True)
class ProtectionDoor:
    """Has the protection component take radiation as raised."""

    slot: Slot

    def give_alarm(self, reason: str) -> bool:
        """Whether it takes the alarm."""

        def work() -> None:
            protection = self.slot.component
            if isinstance(protection, Protection):
                protection.alarm(reason)

        return isinstance(self.slot.component, Protection) and self.slot.post(work)


@dataclass(frozen=True)
class MemoryDoor:
    """Implements `flight.recovery.ports.Memory` in the executive's saved state."""

    state: PersistentState

    def load(self) -> dict[str, object]:
        found: dict[str, object] = self.state.get(WHO, {})
        return found

    def keep(self, content: dict[str, object], done: Callable[[], None] | None) -> None:
        self.state.put(WHO, content, done)


@dataclass(frozen=True)
class RecoveryListener:
    """Leads what the board monitor finds through the queue of recovery."""

    slot: Slot

    def fault(self, fault: Fault) -> None:
        self._post(lambda recovery: recovery.fault(fault))

    def back(self, device: int) -> None:
        self._post(lambda recovery: recovery.back(device))

    def silent(self, is_silent: bool) -> None:
        self._post(lambda recovery: recovery.silent(is_silent))

    def unkillable(self, worker: str, pid: int) -> None:
        """The supervisor killed a worker, and it lives on."""
        self._post(lambda recovery: recovery.unkillable(worker, pid))

    def unkillable_job(self, job: int, pid: int) -> None:
        """The process of a job was killed, and it lives on."""
        self._post(lambda recovery: recovery.unkillable_job(job, pid))

    def _post(self, tell: Callable[[Recovery], None]) -> None:
        def work() -> None:
            recovery = self.slot.component
            if isinstance(recovery, Recovery):
                tell(recovery)

        self.slot.post(work)
