"""The job table as the lifecycle holds it, and the small steps that change one row of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from flight.components.job_runner import stimuli as s
from flight.components.job_runner.ports import Control, JobStatus, PagePhase
from flight.components.job_runner.records import FINISHED, JobPhase, JobRecord, Policy
from flight.components.job_runner.schedule import Run

P = JobPhase
SIGKILL = 9


class JobTable:
    """What is known of every job, and what changed; `JobLifecycle` is the whole."""

    NEXT: ClassVar[Mapping[JobPhase, frozenset[JobPhase]]]
    EVENT_OF: ClassVar[Mapping[JobPhase, str]]

    def __init__(self, policy: Policy) -> None:
        self.jobs: dict[int, JobRecord] = {}
        self.runs: dict[int, Run] = {}
        self.policy = policy
        self.held = ""
        """Why no job may run now; empty: they may."""
        self.is_synced = False
        """The launcher's table was compared with ours: jobs may be started."""
        self.stale = 0
        self._now = 0
        self._out: list[s.Instruction] = []
        self._is_changed = False

    def _live(self) -> list[JobRecord]:
        return [record for record in self.jobs.values() if record.phase not in FINISHED]

    def _own(self, record: JobRecord, status: JobStatus | None) -> JobStatus | None:
        """The status, if it is a page of this job's present process and makes sense."""
        if status is None or status.job_id != record.id or status.pid != record.pid:
            return None
        if status.start_time and record.start_time and status.start_time != record.start_time:
            return None
        if status.phase not in set(PagePhase) or status.commit_slot not in (0, 1):
            self._tell("page_refused", record.id)
            return None
        return status

    def _release(self, record: JobRecord) -> None:
        record.pid = record.start_time = 0
        self._is_changed = True

    def _control(self, record: JobRecord, control: Control) -> None:
        self.runs[record.id].control = control
        self._out.append(s.SetControl(record.id, control))

    def _finish(self, record: JobRecord, phase: JobPhase, reason: str) -> None:
        self._release(record)
        self._move(record, phase, reason)
        self._out.append(s.Clear(record.id))
        if phase is P.FAILED:
            self._tell("job_failed", record.id, record.step, reason)

    def _end_stray(self, job: int, pid: int) -> None:
        self._out.append(s.Kill(job, SIGKILL))
        self._tell("stray_ended", job, pid)

    def _move(self, record: JobRecord, phase: JobPhase, reason: str) -> None:
        if phase not in self.NEXT[record.phase]:
            raise AssertionError(f"job {record.id}: {record.phase.name} leads not to {phase.name}")
        record.phase, record.reason, self._is_changed = phase, reason, True
        if phase in self.EVENT_OF:
            self._tell(self.EVENT_OF[phase], record.id, reason)
        self._out.append(s.Show(record.id))

    def _tell(self, event: str, *values: int | str) -> None:
        self._out.append(s.Tell(event, values))
