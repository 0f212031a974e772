"""The rest of the payload as the scrubber sees it; made by the deployment, used by nobody else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from flight.adaptive.signals import Radiation
from flight.board_readings import COMPUTER, Row
from flight.components.board_monitor import BoardMonitor
from flight.components.job_runner import JobRunner
from flight.components.scrubber import Scrubber
from flight.executive import Executive, Slot
from flight.job_control.records import WITH_PROCESS
from flight.job_control.tallies import chosen
from flight.persistent import PersistentState
from flight.ports import Supervisor, Worker
from flight.scrubbing.ports import MemoryErrors, OwnerChecked
from hal.reading import Validity

KEY = "scrubber"
BLOCKS = ("blocks_checked", "blocks_corrected", "blocks_lost")
WORDS = ("ecc_", "remap", "edac.")
"""A reading whose name holds one of these counts errors in memory."""


@dataclass(frozen=True)
class JobsDoor:
    """Implements `flight.scrubbing.ports.Jobs` over the job runner."""

    executive: Executive
    slot: Slot

    def owner_checked(self) -> Sequence[OwnerChecked]:
        runner = self.slot.component
        if not isinstance(runner, JobRunner):
            return []
        found = []
        for record in runner.core.jobs.values():
            if record.phase in WITH_PROCESS and record.pid:
                counts = chosen(runner.core.ledger_of(record).present, BLOCKS)
                found.append(OwnerChecked(record.id, record.pid, *counts))
        return found

    def roll_back(self, job: int, reason: str) -> None:
        runner = self.slot.component
        if isinstance(runner, JobRunner):
            recall = partial(runner.recall, reason, self.executive.now, job)
            self.executive.do_now(self.slot, recall)


@dataclass(frozen=True)
class BoardDoor:
    """Implements `flight.scrubbing.ports.Board` over the board monitor."""

    slot: Slot

    def memory_errors(self) -> Sequence[MemoryErrors]:
        monitor = self.slot.component
        rows = monitor.rows() if isinstance(monitor, BoardMonitor) else []
        return [_told(row) for row in rows if any(word in row.quantity for word in WORDS)]


@dataclass(frozen=True)
class PayloadDoor:
    """Implements `flight.scrubbing.ports.Payload`."""

    supervisor: Supervisor
    own_pid: int
    workers: Sequence[Worker]

    def processes(self) -> Sequence[tuple[str, int]]:
        return [("executive", self.own_pid), *((w.name, w.pid) for w in self.workers)]

    def restart_executive(self, reason: str) -> None:
        self.supervisor.restart_executive(reason)


@dataclass(frozen=True)
class MemoryDoor:
    """Implements `flight.scrubbing.ports.Memory` in the executive's saved state."""

    state: PersistentState

    def load(self) -> dict[str, object]:
        found: dict[str, object] = self.state.get(KEY, {})
        return found

    def keep(self, content: dict[str, object], done: Callable[[], None] | None) -> None:
        self.state.put(KEY, content, done)


@dataclass(frozen=True)
class ScrubberListener:
    """Leads what other components tell the scrubber through its queue."""

    slot: Slot

    def check_all(self, reason: str) -> bool:
        """Have all regions walked at once; whether the scrubber takes that."""

        def work() -> None:
            scrubber = self.slot.component
            if isinstance(scrubber, Scrubber):
                scrubber.check_all(reason)

        return self.slot.post(work)

    def on_radiation(self, level: Radiation) -> None:
        def work() -> None:
            scrubber = self.slot.component
            if isinstance(scrubber, Scrubber):
                scrubber.radiation(int(level))

        self.slot.post(work)


def wrong_blocks(slot: Slot) -> int | None:
    """Blocks that the scrubber found wrong since it began."""
    scrubber = slot.component
    return scrubber.struck if isinstance(scrubber, Scrubber) else None


def _told(row: Row) -> MemoryErrors:
    where, what = f"gpu{row.device}", row.quantity
    if row.device == COMPUTER:
        where, _, what = row.quantity.partition(".")
    is_valid = row.validity is Validity.VALID
    return MemoryErrors(where, what, row.value or 0.0, is_valid)
