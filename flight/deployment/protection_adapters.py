"""The rest of the payload as protection sees it; made by the deployment, used by nobody else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from flight.components.board.component import BoardMonitor
from flight.components.job_runner.component import JobRunner
from flight.components.job_runner.protection_counts import chosen
from flight.components.protection.component import Protection
from flight.components.protection.notifications import RadiationNotifications
from flight.fault_tolerance.levels import Level
from flight.framework.executive import Executive, Slot
from flight.framework.ports import Port, Storage
from flight.storage.file_names import FileNames
from flight.storage.saved_state import SavedState

WRONG = ("wrong", "known_wrong", "blocks_corrected", "blocks_lost")
"""The counts of a job's tally that radiation makes rise."""


@dataclass
class JobsAdapter:
    """Implements `flight.components.protection.ports.Jobs`.

    Knows the level also for a rebuilt job runner.
    """

    executive: Executive
    slot: Slot[JobRunner] | None = None
    level: Level = Level.ABFT

    def protect(self, level: Level) -> None:
        self.level = level
        if self.slot:
            self.executive.do_now(self.slot, lambda runner: runner.adapt(level))


@dataclass
class ErrorsAdapter:
    """Implements `flight.components.protection.ports.Errors` over whoever was added."""

    sources: dict[str, Callable[[], int | None]] = field(default_factory=dict)

    def add(self, name: str, total: Callable[[], int | None]) -> None:
        """Count this source as well; it answers None while it does not know."""
        self.sources[name] = total

    def totals(self) -> dict[str, int]:
        found = {name: total() for name, total in self.sources.items()}
        return {name: total for name, total in found.items() if total is not None}


class Adaptive:
    """What outlives the component: the level of jobs, who counts errors, who is told."""

    def __init__(self, executive: Executive, state: SavedState) -> None:
        self.jobs = JobsAdapter(executive)
        self.errors = ErrorsAdapter()
        self.signals = RadiationNotifications()
        self._saved = state.section("protection")

    def connect(self, board: Slot[BoardMonitor], jobs: Slot[JobRunner]) -> None:
        """The components that count errors are plugged in."""
        self.jobs.slot = jobs
        self.errors.add("board", partial(errors_of_board, board))
        self.errors.add("jobs", partial(errors_of_jobs, jobs))

    def component(self, port: Port, storage: Storage, files: FileNames) -> Protection:
        """The component, connected."""
        return Protection(port, storage, self.jobs, self.errors, self._saved, self.signals, files)


def errors_of_jobs(slot: Slot[JobRunner]) -> int:
    """Wrong results and damaged memory that jobs found since the runner began."""
    return sum(chosen(slot.component.core.levels.found, WRONG))


def errors_of_board(slot: Slot[BoardMonitor]) -> int | None:
    """Memory errors that the GPUs corrected since their driver began; None: not all are known."""
    counts = [device.corrected for device in slot.component.picture()]
    return None if None in counts else sum(count for count in counts if count is not None)
