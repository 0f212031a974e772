"""Status reports of jobs: at each transition, and while one runs as often as it is of use."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Collection

from flight.components.job_runner.dictionary import JobsHousekeeping
from flight.components.job_runner.job_table import JobTable
from flight.components.job_runner.levels import Levels
from flight.components.job_runner.ports import MOST_METRICS, JobStatus
from flight.components.job_runner.protection_counts import Counts, chosen
from flight.components.job_runner.records import FINISHED, WITH_PROCESS, JobPhase, JobRecord
from flight.fault_tolerance.levels import Level
from flight.framework.time_units import SECOND

SHOW_NS = SECOND // 4
"""Shortest time between two reports of one running job that changed no phase."""
_LEVELS = frozenset(map(int, Level))
SHOWN = (
    "checks",
    "wrong",
    "corrected",
    "recomputed",
    "outvoted",
    "blocks_corrected",
    "known_wrong",
    "blocks_lost",
)
"""The counts of protection that a status report gives, in part added up."""
FOUND = (
    "wrong",
    "corrected",
    "recomputed",
    "outvoted",
    "known_wrong",
    "blocks_corrected",
    "blocks_lost",
)
"""The counts of protection that are housekeeping fields."""
NO_METRICS = (0.0,) * MOST_METRICS


class StatusReports:
    """Sends status reports through `send`, which is False when there is no room for now."""

    def __init__(
        self,
        table: JobTable,
        levels: Levels,
        send: Callable[..., bool],
        clock: Callable[[], int],
    ) -> None:
        self._table = table
        self._levels = levels
        self._send = send
        self._clock = clock
        self._shown: dict[int, tuple[int, object]] = {}
        self._behind: deque[int] = deque()

    def all(self) -> int:
        """Have every job reported, as there is room; how many."""
        self._behind = deque(sorted(self._table.jobs))
        return len(self._behind)

    def go_on(self) -> bool:
        """Report those that wait; True when some still do."""
        while self._behind and self._report(self._behind[0]):
            self._behind.popleft()
        return bool(self._behind)

    def show(self, job: int) -> None:
        """Report one job; if there is no room, later."""
        if not self._report(job) and job not in self._behind:
            self._behind.append(job)

    def changed(self, job: int, status: JobStatus) -> None:
        """Report a running job if its page changed, but not too often."""
        at, before = self._shown.get(job, (-SHOW_NS, None))
        if self._clock() - at >= SHOW_NS and _picture(status) != before:
            self.show(job)

    def _report(self, job: int) -> bool:
        record = self._table.jobs.get(job)
        if record is None:
            self._shown.pop(job, None)
            return True
        last = self._table.runs[job].status
        seen = last if record.phase in WITH_PROCESS else None
        self._shown[job] = (self._clock(), seen and _picture(seen))
        return self._send(
            job,
            record.kind,
            record.phase,
            record.priority,
            record.attempt,
            record.pid,
            record.step,
            record.total,
            record.commit.step if record.commit else 0,
            last.metrics if last else NO_METRICS,
            record.protection,
            self._level(record, last),
            *self._found(record),
            _latest(record, seen),
        )

    def _level(self, record: JobRecord, last: JobStatus | None) -> Level:
        """As the process says; it is not trusted to say what is one."""
        if last is not None and record.phase in WITH_PROCESS and last.level in _LEVELS:
            return Level(last.level)
        return self._levels.level_of(record)

    def _found(self, record: JobRecord) -> tuple[int, ...]:
        total = self._levels.ledger_of(record).total
        checks, wrong, corrected, recomputed, outvoted, blocks, known, lost = chosen(total, SHOWN)
        return checks, wrong, corrected + recomputed + outvoted, blocks, known + lost


def count_jobs(hk: JobsHousekeeping, records: Collection[JobRecord]) -> None:
    """Fill in the housekeeping fields that count jobs by phase and show the running one."""
    count = Counter(record.phase for record in records)
    hk.queued, hk.waiting = count[JobPhase.QUEUED], count[JobPhase.WAITING]
    hk.paused = count[JobPhase.PAUSED]
    hk.running = sum(count[phase] for phase in WITH_PROCESS) - hk.paused
    hk.finished = sum(count[phase] for phase in FINISHED)
    hk.current, hk.step, hk.total = next(
        ((r.id, r.step, r.total) for r in records if r.phase is JobPhase.RUNNING), (0, 0, 0)
    )


def count_found(hk: JobsHousekeeping, found: Counts) -> None:
    """Fill in the housekeeping fields that say what protection found."""
    (
        hk.wrong,
        hk.corrected,
        hk.recomputed,
        hk.outvoted,
        hk.known_wrong,
        hk.blocks_corrected,
        hk.blocks_lost,
    ) = chosen(found, FOUND)


def _picture(status: JobStatus) -> tuple[object, ...]:
    return status.phase, status.level, status.step, status.total, status.metrics, status.message


def _latest(record: JobRecord, status: JobStatus | None) -> str:
    if record.phase is JobPhase.RUNNING and status is not None and status.message:
        return status.message
    return record.reason
