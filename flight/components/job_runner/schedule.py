"""Which jobs may run now: by priority, and as many at once as there are slots."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from flight.components.job_runner import stimuli as s
from flight.components.job_runner.attempts import Attempts
from flight.components.job_runner.commits import MOST_TORN
from flight.components.job_runner.job_table import JobTable
from flight.components.job_runner.ports import Control
from flight.components.job_runner.records import JobPhase, JobRecord, Run

_WANTING = frozenset({JobPhase.QUEUED, JobPhase.STARTING, JobPhase.RUNNING, JobPhase.PAUSED})


@dataclass
class Plan:
    """What to change so that the right jobs run."""

    start: list[JobRecord] = field(default_factory=list)
    pause: list[tuple[JobRecord, str]] = field(default_factory=list)
    go_on: list[JobRecord] = field(default_factory=list)


def plan(
    records: Iterable[JobRecord],
    runs: Mapping[int, Run],
    obstacles: Mapping[int, str],
    slots: int,
) -> Plan:
    """The jobs to start, pause and let go on.

    A higher priority number goes first; of equals, the one that has a process, then the oldest.
    A job with an obstacle (a sentence) is not let run. A paused job leaves its slot to others.
    """
    listed = list(records)
    wanting = [r for r in listed if r.phase in _WANTING and not obstacles.get(r.id)]
    wanting.sort(key=lambda r: (-r.priority, r.phase is JobPhase.QUEUED, r.id))
    chosen = {r.id for r in wanting[:slots]}
    made = Plan()
    for record in listed:
        control = runs[record.id].control if record.id in runs else None
        if record.phase is JobPhase.RUNNING and record.id not in chosen:
            if control is not Control.PAUSE:
                because = obstacles.get(record.id) or f"job {wanting[0].id} goes first"
                made.pause.append((record, because))
        elif record.phase is JobPhase.RUNNING and control is not Control.RUN:
            made.go_on.append(record)
    free = slots - sum(_takes_slot(r, runs) for r in listed)
    for record in wanting[:slots]:
        if free <= 0:
            break
        if record.phase is JobPhase.QUEUED:
            made.start.append(record)
            free -= 1
        elif record.phase is JobPhase.PAUSED and runs[record.id].control is not Control.RUN:
            made.go_on.append(record)
            free -= 1
    return made


def _takes_slot(record: JobRecord, runs: Mapping[int, Run]) -> bool:
    if record.phase is JobPhase.PAUSED:
        return runs[record.id].control is Control.RUN
    return record.phase in (JobPhase.STARTING, JobPhase.RUNNING, JobPhase.ENDING)


class Scheduler:
    """Starts, pauses and lets go on, after each stimulus, so that the right jobs run."""

    def __init__(self, table: JobTable, attempts: Attempts) -> None:
        self._table = table
        self._attempts = attempts

    def run(self) -> None:
        """Compare what should run with what does, and change what differs."""
        table, live = self._table, self._table.live()
        obstacles = {record.id: self._obstacle(record) for record in live}
        for record in live:
            self._queue_or_wait(record, obstacles[record.id])
        made = plan(live, table.runs, obstacles, table.policy.slots)
        for record, why in made.pause:
            record.reason = why
            table.control(record, Control.PAUSE)
        for record in made.go_on:
            table.control(record, Control.RUN)
        for record in made.start if table.is_synced else ():
            self._attempts.start(record)

    def _queue_or_wait(self, record: JobRecord, why: str) -> None:
        if record.phase is JobPhase.QUEUED and why:
            self._table.move(record, JobPhase.WAITING, why)
        elif record.phase is JobPhase.WAITING and not why:
            self._table.move(record, JobPhase.QUEUED, "may run")
        elif record.phase is JobPhase.WAITING and why != record.reason:
            record.reason = why
            self._table.out.append(s.Show(record.id))

    def _obstacle(self, record: JobRecord) -> str:
        """Why a job may not run now; empty: it may."""
        run = self._table.runs[record.id]
        if record.is_held:
            return "paused by telecommand"
        if self._table.held:
            return self._table.held
        if run.torn >= MOST_TORN:
            return "pauses while its commit is kept"
        if record.phase in (JobPhase.QUEUED, JobPhase.WAITING):
            if run.keeping:
                return "its last commit is being kept"
            if self._table.now < run.not_before:
                return record.reason if record.phase is JobPhase.WAITING else "tries again later"
        return ""
