"""What ground asks of the job table: submissions, and orders about one job."""

from __future__ import annotations

from collections.abc import Mapping

from flight.components.job_runner import stimuli as s
from flight.components.job_runner.attempts import Attempts
from flight.components.job_runner.dictionary import JobEvents
from flight.components.job_runner.exits import Exits
from flight.components.job_runner.job_table import JobTable
from flight.components.job_runner.levels import Levels
from flight.components.job_runner.records import Ending, JobPhase, JobRecord, Run
from icd.failures import FailureCode

P = JobPhase
NOT_YET = "the job table is still being read; send it again in a second"
USE_INSTEAD: Mapping[type[s.Order], str] = {
    s.Cancel: "there is nothing left to cancel",
    s.Pause: "only a job that is queued, starting or running is paused",
    s.Resume: "only a paused job is resumed",
    s.SetPriority: "its turn has come already",
    s.SetProtection: "its results are computed already",
    s.Forget: "only a finished job is forgotten; cancel it first",
}
"""Why a phase has no use for an order."""


class Orders:
    """Carries out orders, or answers with a refusal that says what would be right."""

    def __init__(self, table: JobTable, levels: Levels, attempts: Attempts, exits: Exits) -> None:
        self._table = table
        self._levels = levels
        self._attempts = attempts
        self._exits = exits

    # ------------------------------------------------------------ submissions

    def submit(self, stimulus: s.Submit) -> None:
        """A new job; for its row the oldest finished job is forgotten when there is no room."""
        if not self._table.is_restored:
            self._table.refuse(NOT_YET)
            return
        if not self._make_room():
            many = len(self._table.jobs)
            reason = f"the table holds {many} jobs, none finished; cancel some"
            self._table.refuse(reason, FailureCode.QUEUE_FULL)
            return
        record = JobRecord(
            self._table.next_id,
            stimulus.kind,
            stimulus.priority,
            stimulus.wall_s,
            stimulus.memory_mb,
            stimulus.arguments,
            protection=stimulus.protection,
        )
        self._table.add(record, Run())
        self._table.is_changed = True
        self._table.out.append(s.Accepted(record.id))

    def _make_room(self) -> bool:
        if len(self._table.jobs) < self._table.policy.most_jobs:
            return True
        finished = [record for record in self._table.jobs.values() if record.is_finished]
        if not finished:
            return False
        oldest = min(finished, key=lambda record: record.id)
        self.forget(oldest, s.Forget(oldest.id))
        return True

    def stored(self, record: JobRecord, _: s.Stored) -> None:
        """The submission is durable."""
        self._table.move(record, P.QUEUED, f"priority {record.priority}")

    def withdraw(self, record: JobRecord, _: s.NotStored) -> None:
        """The submission could not be stored."""
        self._drop(record)

    # ------------------------------------------------------------ orders about one job

    def cancel(self, record: JobRecord, _: s.Cancel) -> None:
        """A job that has no process is over at once."""
        self._exits.finish(record, P.CANCELLED, "by telecommand")

    def cancel_process(self, record: JobRecord, stimulus: s.Cancel) -> None:
        """A job whose launch was asked for ends with its process."""
        is_sent = self._table.runs[record.id].is_sent
        if record.phase is P.STARTING and record.pid == 0 and not is_sent:
            self.cancel(record, stimulus)
        else:
            self._attempts.end(record, Ending.CANCEL, "cancelled by telecommand")

    def cancel_ending(self, record: JobRecord, _: s.Cancel) -> None:
        """A process that was told to end for another reason is not followed by another."""
        record.ending = Ending.CANCEL
        self._table.is_changed = True

    def pause(self, record: JobRecord, _: s.Pause) -> None:
        """Keep a job from running."""
        record.is_held = self._table.is_changed = True

    def resume(self, record: JobRecord, _: s.Resume) -> None:
        """Let a job run, and end its wait after a failure."""
        record.is_held, self._table.is_changed = False, True
        self._table.runs[record.id].not_before = 0

    def set_priority(self, record: JobRecord, stimulus: s.SetPriority) -> None:
        """Change which job goes first."""
        record.priority, self._table.is_changed = stimulus.priority, True
        self._table.out.append(s.Show(record.id))

    def forget(self, record: JobRecord, _: s.Forget) -> None:
        """Remove a finished job, with its commits."""
        self._drop(record)
        self._table.is_changed = True
        self._table.out.append(s.Remove(record.id))
        self._table.tell(JobEvents.job_forgotten, record.id)

    def _drop(self, record: JobRecord) -> None:
        self._table.remove(record)
        self._levels.forget(record.id)

    def refuse(self, record: JobRecord | None, stimulus: s.Order) -> None:
        """Say why an order is of no use."""
        if not self._table.is_restored:
            self._table.refuse(NOT_YET)
        elif record is None:
            reason = f"there is no job {stimulus.job}; list shows them"
            self._table.refuse(reason, FailureCode.NOT_FOUND)
        else:
            use = USE_INSTEAD[type(stimulus)]
            self._table.refuse(f"job {record.id} is {record.phase.name.lower()}: {use}")
