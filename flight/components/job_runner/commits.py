"""Which commits of a job are copied to the disk, and when."""

from __future__ import annotations

from flight.components.job_runner import stimuli as s
from flight.components.job_runner.dictionary import JobEvents
from flight.components.job_runner.job_table import JobTable
from flight.components.job_runner.ports import JobStatus
from flight.components.job_runner.records import Commit, JobPhase, JobRecord

P = JobPhase
MOST_TORN = 3
"""Torn copies in a row after which a job is paused while its commit is kept."""


class Commits:
    """Keeps the newest commit of each job on disk, in two slots by turns."""

    def __init__(self, table: JobTable) -> None:
        self._table = table

    def keep_if_due(self, record: JobRecord, status: JobStatus) -> None:
        """Have a new commit kept: at once while the job is paused, else once in a while."""
        run, now = self._table.runs[record.id], self._table.now
        is_due = record.phase is P.PAUSED or (
            record.phase is P.RUNNING and run.torn < MOST_TORN and now >= run.next_keep
        )
        if is_due and not run.keeping and status.commit_count > run.kept_count:
            self.keep(record, status)

    def keep(self, record: JobRecord, status: JobStatus) -> None:
        """Have the newest commit kept, in place of the commit before the last."""
        run = self._table.runs[record.id]
        slot = "B" if record.commit is not None and record.commit.slot == "A" else "A"
        commit = Commit(slot, status.commit_step, status.commit_bytes, status.commit_crc)
        run.keeping, run.kept_count = commit, status.commit_count
        run.next_keep = self._table.now + self._table.policy.disk_interval
        self._table.out.append(s.KeepCommit(record.id, status.commit_slot, commit))

    def kept(self, record: JobRecord, stimulus: s.CommitKept) -> None:
        """A commit is on disk; one that went further than any before ends a row of failures."""
        run = self._table.runs[record.id]
        if stimulus.commit != run.keeping:
            self._table.stale += 1
            return
        run.keeping, run.torn = None, 0
        record.previous, record.commit = record.commit, stimulus.commit
        if stimulus.commit.step > record.furthest:
            record.furthest = stimulus.commit.step
            if record.pid:
                record.failures, record.has_fallen_back = 0, False
        self._table.is_changed = True

    def not_kept(self, record: JobRecord, stimulus: s.CommitNotKept) -> None:
        """A commit is not on disk; a torn copy has overwritten the one before the last."""
        run = self._table.runs[record.id]
        run.keeping = None
        if stimulus.is_torn:
            record.previous, self._table.is_changed = None, True
            run.torn = min(run.torn + 1, MOST_TORN)
            run.next_keep = self._table.now
        else:
            run.kept_count = 0
            self._table.tell(JobEvents.storage_refused, record.id, stimulus.reason)
