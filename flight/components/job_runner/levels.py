"""How the results of each job are protected, and what protection found in all of them."""

from __future__ import annotations

from flight.components.job_runner import stimuli as s
from flight.components.job_runner.dictionary import JobEvents
from flight.components.job_runner.job_table import JobTable
from flight.components.job_runner.ports import JobStatus
from flight.components.job_runner.protection_counts import NO_COUNTS, Counts, Ledger, added
from flight.components.job_runner.records import WITH_PROCESS, JobRecord
from flight.fault_tolerance.levels import Level, Protection


class Levels:
    """Gives every job its protection level, and counts what its process says it found."""

    def __init__(self, table: JobTable) -> None:
        self._table = table
        self.adaptive = Level.ABFT
        """The level of jobs that were submitted as ADAPTIVE."""
        self.ledgers: dict[int, Ledger] = {}
        self.found: Counts = NO_COUNTS
        """What protection did for all jobs since this executive began."""

    # ------------------------------------------------------------ levels

    def level_of(self, record: JobRecord) -> Level:
        """The level that a job's results are to be protected at now."""
        if record.protection is Protection.ADAPTIVE:
            return self.adaptive
        return Level(record.protection)

    def adapt(self, stimulus: s.Adapt) -> None:
        """Protect adaptive jobs at another level."""
        if stimulus.level is self.adaptive:
            return
        self.adaptive = stimulus.level
        for record in self._table.live():
            if record.protection is Protection.ADAPTIVE:
                self.set_level(record)

    def set_protection(self, record: JobRecord, stimulus: s.SetProtection) -> None:
        """Protect a job's results as ground asks."""
        record.protection, self._table.is_changed = stimulus.protection, True
        level = self.level_of(record)
        self._table.tell(JobEvents.protection_set, record.id, stimulus.protection, level)
        self.set_level(record)

    def set_level(self, record: JobRecord) -> None:
        """Give a job's process the level that its results are to be protected at."""
        if record.phase in WITH_PROCESS:
            self._table.out.append(s.SetLevel(record.id, self.level_of(record)))
        self._table.out.append(s.Show(record.id))

    # ------------------------------------------------------------ counts

    def ledger_of(self, record: JobRecord) -> Ledger:
        """The counts of a job; after a restart they go on from what was saved."""
        if record.id not in self.ledgers:
            self.ledgers[record.id] = Ledger(record.tally, record.told, record.told)
        return self.ledgers[record.id]

    def take_tally(self, record: JobRecord, status: JobStatus) -> None:
        """Count what a job's page says."""
        ledger = self.ledger_of(record)
        if not ledger.take(status.tally) and not ledger.is_refused:
            ledger.is_refused = True
            self._table.tell(JobEvents.tally_refused, record.id)
        self.tell_news(record)

    def tell_news(self, record: JobRecord, is_last: bool = False) -> None:
        """Tell what is new in a job's counts, if it is time to; the last time in any case."""
        ledger = self.ledger_of(record)
        self.found = added(self.found, ledger.rise())
        for event, counts in ledger.news(self._table.now, is_last):
            self._table.tell(event, record.id, *counts)
            record.told, self._table.is_changed = ledger.told, True

    def settle(self, record: JobRecord) -> None:
        """A job's process is gone: what it counted stays in the job's row."""
        ledger = self.ledger_of(record)
        ledger.settle()
        record.tally = ledger.gone

    def forget(self, job: int) -> None:
        """A job's row goes."""
        self.ledgers.pop(job, None)
