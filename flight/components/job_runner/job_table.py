"""The table of all jobs: what is known of each, which phase may follow which, and the moves.

The parts of the lifecycle share one `JobTable`. What they decide about a stimulus is put into its
`out`, and `is_changed` says whether the table is to be saved.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Concatenate, ParamSpec

from flight.components.job_runner import stimuli as s
from flight.components.job_runner.dictionary import JobEvents
from flight.components.job_runner.ports import Control, JobStatus, PagePhase
from flight.components.job_runner.records import JobPhase, JobRecord, Policy, Run
from flight.framework.lifecycle import Tell, told
from icd.failures import FailureCode

P = JobPhase
Values = ParamSpec("Values")
PhaseEvent = Callable[[Any, int, str], None]
"""An event about a job that entered a phase, and why."""

# Where each phase may lead. A submission that cannot be stored is withdrawn without a trace.
NEXT: Mapping[JobPhase, frozenset[JobPhase]] = {
    P.SUBMITTED: frozenset({P.QUEUED}),
    P.QUEUED: frozenset({P.WAITING, P.STARTING, P.CANCELLED}),
    P.WAITING: frozenset({P.QUEUED, P.STARTING, P.CANCELLED}),
    P.STARTING: frozenset(
        {P.RUNNING, P.ENDING, P.FINISHING, P.WAITING, P.FAILED, P.CANCELLED, P.INTERRUPTED}
    ),
    P.RUNNING: frozenset({P.PAUSED, P.ENDING, P.FINISHING, P.WAITING, P.FAILED, P.INTERRUPTED}),
    P.PAUSED: frozenset({P.RUNNING, P.ENDING, P.FINISHING, P.WAITING, P.FAILED, P.INTERRUPTED}),
    P.ENDING: frozenset({P.FINISHING, P.WAITING, P.FAILED, P.CANCELLED, P.EXPIRED}),
    P.FINISHING: frozenset({P.DONE, P.WAITING, P.FAILED}),
    P.INTERRUPTED: frozenset({P.QUEUED}),
    P.DONE: frozenset(),
    P.FAILED: frozenset(),
    P.CANCELLED: frozenset(),
    P.EXPIRED: frozenset(),
}

# What a move into a phase tells. The other phases are told by events with values of their own.
EVENT_OF: Mapping[JobPhase, PhaseEvent] = {
    P.QUEUED: JobEvents.job_queued,
    P.WAITING: JobEvents.job_waiting,
    P.STARTING: JobEvents.job_starting,
    P.PAUSED: JobEvents.job_paused,
    P.ENDING: JobEvents.job_ending,
    P.FINISHING: JobEvents.job_finishing,
    P.CANCELLED: JobEvents.job_cancelled,
    P.EXPIRED: JobEvents.job_expired,
    P.INTERRUPTED: JobEvents.job_interrupted,
}


class JobTable:
    """Every job, what holds for all of them, and what the present stimulus led to so far."""

    def __init__(self, policy: Policy) -> None:
        self.jobs: dict[int, JobRecord] = {}
        self.runs: dict[int, Run] = {}
        self.next_id = 1
        self.policy = policy
        self.held = ""
        """Why no job may run now; empty: they may."""
        self.is_restored = False
        """The table was read from the disk: orders are taken."""
        self.is_synced = False
        """The launcher's table was compared with ours: jobs may be started."""
        self.stale = 0
        """Answers that came too late to matter."""
        self.now = 0
        self.out: list[s.Instruction | Tell] = []
        self.is_changed = False

    def begin(self, now: int, out: list[s.Instruction | Tell]) -> None:
        """A stimulus is taken at on-board time `now` (ns); its instructions go into `out`."""
        self.now, self.out, self.is_changed = now, out, False

    def live(self) -> list[JobRecord]:
        """Every job that is not finished."""
        return [record for record in self.jobs.values() if not record.is_finished]

    def own_status(self, record: JobRecord, status: JobStatus | None) -> JobStatus | None:
        """The status, if it is a page of this job's present process and makes sense."""
        if status is None or status.job_id != record.id or status.pid != record.pid:
            return None
        if status.start_time and record.start_time and status.start_time != record.start_time:
            return None
        if status.phase not in set(PagePhase) or status.commit_slot not in (0, 1):
            self.tell(JobEvents.page_refused, record.id)
            return None
        return status

    # ------------------------------------------------------------ what changes it

    def add(self, record: JobRecord, run: Run) -> None:
        """A new row."""
        self.jobs[record.id], self.runs[record.id] = record, run
        self.next_id = max(self.next_id, record.id + 1)

    def remove(self, record: JobRecord) -> None:
        """A row goes."""
        del self.jobs[record.id], self.runs[record.id]

    def move(self, record: JobRecord, phase: JobPhase, reason: str) -> None:
        """Put a job into a phase that may follow its present one; raises AssertionError."""
        if phase not in NEXT[record.phase]:
            raise AssertionError(f"job {record.id}: {record.phase.name} leads not to {phase.name}")
        record.phase, record.reason, self.is_changed = phase, reason, True
        if phase in EVENT_OF:
            self.tell(EVENT_OF[phase], record.id, reason)
        self.out.append(s.Show(record.id))

    def control(self, record: JobRecord, control: Control) -> None:
        """Ask a job's process to run, pause or cancel."""
        self.runs[record.id].control = control
        self.out.append(s.SetControl(record.id, control))

    # ------------------------------------------------------------ what is said

    def tell(
        self,
        event: Callable[Concatenate[Any, Values], None],
        *values: Values.args,
        **named: Values.kwargs,
    ) -> None:
        """Have an event sent; its values are checked as those of a call are."""
        self.out.append(told(event, *values, **named))

    def refuse(self, reason: str, code: FailureCode = FailureCode.REFUSED) -> None:
        """Answer the telecommand that was given with a refusal."""
        self.out.append(s.Refusal(reason, code))
