"""The rest of the payload as protection sees it; made by the deployment, used by nobody else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from flight.adaptive.signals import RadiationSignals
from flight.components.board_monitor import BoardMonitor
from flight.components.job_runner import JobRunner
from flight.components.protection import Protection
from flight.executive import Executive, Slot
from flight.job_control.tallies import chosen
from flight.job_ports import FileNames
from flight.persistent import PersistentState
from flight.ports import Port, Storage
from flight.protection.levels import Level

KEY = "protection"
WRONG = ("wrong", "known_wrong", "blocks_corrected", "blocks_lost")
"""The counts of a job's tally that radiation makes rise."""


@dataclass
class JobsDoor:
    """Implements `flight.adaptive.ports.Jobs`; knows the level also for a rebuilt job runner."""

    executive: Executive
    slot: Slot | None = None
    level: Level = Level.ABFT

    def protect(self, level: Level) -> None:
        self.level = level
        runner = self.slot.component if self.slot else None
        if self.slot and isinstance(runner, JobRunner):
            self.executive.do_now(self.slot, partial(runner.adapt, level))


@dataclass
class ErrorsDoor:
    """Implements `flight.adaptive.ports.Errors` over whoever was added."""

    sources: dict[str, Callable[[], int | None]] = field(default_factory=dict)

    def add(self, name: str, total: Callable[[], int | None]) -> None:
        """Count this source as well; it answers None while it does not know."""
        self.sources[name] = total

    def totals(self) -> dict[str, int]:
        found = {name: total() for name, total in self.sources.items()}
        return {name: total for name, total in found.items() if total is not None}


@dataclass(frozen=True)
class MemoryDoor:
    """Implements `flight.adaptive.ports.Memory` in the executive's saved state."""

    state: PersistentState

    def load(self) -> dict[str, object]:
        found: dict[str, object] = self.state.get(KEY, {})
        return found

    def keep(self, content: dict[str, object]) -> None:
        self.state.put(KEY, content)


class Adaptive:
    """What outlives the component: the level of jobs, who counts errors, who is told."""

    def __init__(self, executive: Executive, state: PersistentState) -> None:
        self.jobs = JobsDoor(executive)
        self.errors = ErrorsDoor()
        self.signals = RadiationSignals()
        self._memory = MemoryDoor(state)

    def connect(self, board: Slot, jobs: Slot) -> None:
        """The components that count errors are plugged in."""
        self.jobs.slot = jobs
        self.errors.add("board", partial(errors_of_board, board))
        self.errors.add("jobs", partial(errors_of_jobs, jobs))

    def component(self, port: Port, storage: Storage, files: FileNames) -> Protection:
        """The component, connected."""
        return Protection(port, storage, self.jobs, self.errors, self._memory, self.signals, files)


def errors_of_jobs(slot: Slot) -> int | None:
    """Wrong results and damaged memory that jobs found since the runner began."""
    runner = slot.component
    return sum(chosen(runner.core.found, WRONG)) if isinstance(runner, JobRunner) else None


def errors_of_board(slot: Slot) -> int | None:
    """Memory errors that the GPUs corrected since their driver began; None: not all are known."""
    monitor = slot.component
    if not isinstance(monitor, BoardMonitor):
        return None
    counts = [device.corrected for device in monitor.picture()]
    return None if None in counts else sum(count for count in counts if count is not None)
