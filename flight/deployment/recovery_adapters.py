"""The rest of the payload as recovery sees it; made by the deployment, used by nobody else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from flight.components.board.component import BoardMonitor
from flight.components.board.controls import ControlAnswer
from flight.components.board.notifications import DevicePicture
from flight.components.board.readings import Fault
from flight.components.executive_monitor.reset_cause import LEAVING
from flight.components.job_runner.component import JobRunner
from flight.components.job_runner.ports import JobHolds
from flight.components.job_runner.records import WITH_PROCESS, JobPhase
from flight.components.protection.component import Protection
from flight.components.recovery.component import Recovery
from flight.components.recovery.fault_table import Ask
from flight.components.recovery.ports import Ended
from flight.components.recovery.stimuli import Running
from flight.framework.executive import Executive, Slot
from flight.framework.modes import Modes
from flight.framework.ports import Supervisor
from flight.storage.saved_state import SavedState
from icd.dictionary import Mode

WHO = "recovery"
"""Whose reason it is that jobs are held, and the section of what is saved."""


@dataclass(frozen=True)
class JobsAdapter:
    """Implements `flight.components.recovery.ports.Jobs` over the job runner."""

    executive: Executive
    slot: Slot[JobRunner]
    holds: JobHolds

    def running(self) -> Running:
        records = self.slot.component.core.jobs.values()
        return Running(
            frozenset((r.id, r.attempt) for r in records if r.phase in WITH_PROCESS),
            frozenset(r.id for r in records if r.phase is JobPhase.WAITING and r.failures),
        )

    def processes(self) -> list[tuple[int, int]]:
        return [(r.pid, r.start_time) for r in self.slot.component.core.jobs.values() if r.pid]

    def hold(self, reason: str) -> None:
        self.holds.hold(WHO, reason)

    def release(self) -> None:
        self.holds.release(WHO)

    def recall(self, reason: str, begun_by: int) -> None:
        self.executive.do_now(self.slot, lambda runner: runner.recall(reason, begun_by))


@dataclass(frozen=True)
class BoardAdapter:
    """Implements `flight.components.recovery.ports.Board` over the board monitor."""

    executive: Executive
    slot: Slot[BoardMonitor]

    def picture(self) -> list[DevicePicture]:
        return self.slot.component.picture()

    def control(
        self, action: str, device: int, processes: Sequence[tuple[int, int]], ended: Ended
    ) -> bool:
        taken: list[bool] = []

        def answered(answer: ControlAnswer) -> None:
            ended(answer.ok, answer.text)

        def ask(monitor: BoardMonitor) -> None:
            taken.append(monitor.control(action, device, 0.0, answered, processes))

        self.executive.do_now(self.slot, ask)
        return any(taken)


@dataclass(frozen=True)
class ComputerAdapter:
    """Implements `flight.components.recovery.ports.Computer`."""

    modes: Modes
    state: SavedState
    supervisor: Supervisor

    def reboot(self, reason: str) -> None:
        # Why it starts again must be known to what starts then.
        self.state.put(LEAVING, reason, partial(self.supervisor.reboot, reason))

    def enter_safe_mode(self, reason: str) -> None:
        self.modes.change(Mode.SAFE, reason)


class OthersAdapter:
    """Implements `flight.components.recovery.ports.Others`.

    The deployment adds those that there are.
    """

    def __init__(self) -> None:
        self._known: dict[Ask, Callable[[str], bool]] = {}

    def add(self, what: Ask, do: Callable[[str], bool]) -> None:
        """Let `do` be asked for it: given a reason, it says whether it will."""
        self._known[what] = do

    def ask(self, what: Ask, reason: str) -> bool:
        do = self._known.get(what)
        return do is not None and do(reason)


def give_alarm(slot: Slot[Protection], reason: str) -> bool:
    """Have the protection component take radiation as raised; whether it takes the alarm."""
    return slot.tell(lambda protection: protection.alarm(reason))


@dataclass(frozen=True)
class RecoveryListener:
    """Leads what the board monitor finds through the queue of recovery."""

    slot: Slot[Recovery]

    def fault(self, fault: Fault, taken: Callable[[], None]) -> bool:
        def take(recovery: Recovery) -> None:
            try:
                recovery.fault(fault)
            finally:
                taken()  # one that makes it raise would do so again

        return self.slot.is_stopped or self.slot.tell(take)

    def back(self, device: int) -> None:
        self.slot.tell(lambda recovery: recovery.back(device))

    def silent(self, is_silent: bool) -> None:
        self.slot.tell(lambda recovery: recovery.silent(is_silent))

    def unkillable(self, worker: str, pid: int) -> None:
        """The supervisor killed a worker, and the process did not end."""
        self.slot.tell(lambda recovery: recovery.unkillable(worker, pid))

    def unkillable_job(self, job: int, pid: int) -> None:
        """The process of a job was killed, and it did not end."""
        self.slot.tell(lambda recovery: recovery.unkillable_job(job, pid))
