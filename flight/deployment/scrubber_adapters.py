"""The rest of the payload as the scrubber sees it; made by the deployment, used by nobody else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flight.components.board.component import BoardMonitor
from flight.components.board.places import COMPUTER
from flight.components.board.readings import Row
from flight.components.job_runner.component import JobRunner
from flight.components.job_runner.protection_counts import chosen
from flight.components.job_runner.records import WITH_PROCESS
from flight.components.protection.notifications import Radiation
from flight.components.scrubber.component import Scrubber
from flight.components.scrubber.ports import MemoryErrors, OwnerChecked
from flight.framework.executive import Executive, Slot
from flight.framework.ports import Supervisor, Worker
from hal.reading import Validity

BLOCKS = ("blocks_checked", "blocks_corrected", "blocks_lost")
WORDS = ("ecc_", "remap", "edac.")
"""A reading whose name holds one of these counts errors in memory."""


@dataclass(frozen=True)
class JobsAdapter:
    """Implements `flight.components.scrubber.ports.Jobs` over the job runner."""

    executive: Executive
    slot: Slot[JobRunner]

    def owner_checked(self) -> Sequence[OwnerChecked]:
        core, found = self.slot.component.core, []
        for record in core.jobs.values():
            if record.phase in WITH_PROCESS and record.pid:
                counts = chosen(core.levels.ledger_of(record).present, BLOCKS)
                found.append(OwnerChecked(record.id, record.pid, *counts))
        return found

    def roll_back(self, job: int, reason: str) -> None:
        now = self.executive.now
        self.executive.do_now(self.slot, lambda runner: runner.recall(reason, now, job))


@dataclass(frozen=True)
class BoardAdapter:
    """Implements `flight.components.scrubber.ports.Board` over the board monitor."""

    slot: Slot[BoardMonitor]

    def memory_errors(self) -> Sequence[MemoryErrors]:
        rows = self.slot.component.rows()
        return [_told(row) for row in rows if any(word in row.quantity for word in WORDS)]


@dataclass(frozen=True)
class PayloadAdapter:
    """Implements `flight.components.scrubber.ports.Payload`."""

    supervisor: Supervisor
    own_pid: int
    workers: Sequence[Worker]

    def processes(self) -> Sequence[tuple[str, int]]:
        return [("executive", self.own_pid), *((w.name, w.pid) for w in self.workers)]

    def restart_executive(self, reason: str) -> None:
        self.supervisor.restart_executive(reason)


@dataclass(frozen=True)
class ScrubberListener:
    """Leads what other components tell the scrubber through its queue."""

    slot: Slot[Scrubber]

    def check_all(self, reason: str) -> bool:
        """Have all regions walked at once; whether the scrubber takes that."""
        return self.slot.tell(lambda scrubber: scrubber.check_all(reason))

    def on_radiation(self, level: Radiation) -> None:
        self.slot.tell(lambda scrubber: scrubber.radiation(int(level)))


def _told(row: Row) -> MemoryErrors:
    where, what = f"gpu{row.device}", row.quantity
    if row.device == COMPUTER:
        where, _, what = row.quantity.partition(".")
    is_valid = row.validity is Validity.VALID
    return MemoryErrors(where, what, row.value or 0.0, is_valid)
