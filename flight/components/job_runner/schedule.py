"""Which jobs may run now: by priority, and as many at once as there are slots."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from flight.components.job_runner.ports import Control, JobStatus
from flight.components.job_runner.records import Commit, JobPhase, JobRecord

_WANTING = frozenset({JobPhase.QUEUED, JobPhase.STARTING, JobPhase.RUNNING, JobPhase.PAUSED})


@dataclass
class Run:
    """What is known of a job only while this executive lives."""

    since: int = 0
    """When it was begun or taken up again."""
    is_fresh: bool = False
    """Begun by this executive, and its process not yet known."""
    is_sent: bool = False
    """The launcher was asked for it."""
    control: Control | None = None
    """What its page was last told; None: by a predecessor, unknown."""
    status: JobStatus | None = None
    heartbeat: int = -1
    heartbeat_at: int = 0
    counted_at: int = 0
    """Up to when its wall time is counted."""
    kept_count: int = 0
    """Commit count of the page when a commit was last kept."""
    keeping: Commit | None = None
    next_keep: int = 0
    torn: int = 0
    """Copies in a row that changed while they were made."""
    asked_at: int = 0
    urgency: int = 0
    not_before: int = 0
    interruptions: int = 0


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
