"""How the results of each job are protected, and what that found: the part of the lifecycle that
gives every job its level and keeps count."""

from __future__ import annotations

from flight.components.job_runner import stimuli as s
from flight.components.job_runner.job_table import JobTable
from flight.components.job_runner.ports import JobStatus
from flight.components.job_runner.protection_counts import NO_COUNTS, Counts, Ledger, added
from flight.components.job_runner.records import WITH_PROCESS, JobPhase, JobRecord, Policy
from flight.fault_tolerance.levels import Level, Protection


class Protected(JobTable):
    """Levels and tallies of all jobs."""

    def __init__(self, policy: Policy) -> None:
        super().__init__(policy)
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

    def _adapt(self, stimulus: s.Adapt) -> None:
        if stimulus.level is self.adaptive:
            return
        self.adaptive = stimulus.level
        for record in self._live():
            if record.protection is Protection.ADAPTIVE:
                self._tell_level(record)

    def _set_protection(self, record: JobRecord, stimulus: s.SetProtection) -> None:
        record.protection, self._is_changed = stimulus.protection, True
        self._tell("protection_set", record.id, stimulus.protection, self.level_of(record))
        self._tell_level(record)

    def _tell_level(self, record: JobRecord) -> None:
        if record.phase in WITH_PROCESS:
            self._out.append(s.SetLevel(record.id, self.level_of(record)))
        self._out.append(s.Show(record.id))

    # ------------------------------------------------------------ tallies

    def ledger_of(self, record: JobRecord) -> Ledger:
        """The counts of a job; after a restart they go on from what was saved."""
        if record.id not in self.ledgers:
            self.ledgers[record.id] = Ledger(record.tally, record.told, record.told)
        return self.ledgers[record.id]

    def _take_tally(self, record: JobRecord, status: JobStatus) -> None:
        ledger = self.ledger_of(record)
        if not ledger.take(status.tally) and not ledger.is_refused:
            ledger.is_refused = True
            self._tell("tally_refused", record.id)
        self._tell_news(record)

    def _tell_news(self, record: JobRecord, is_last: bool = False) -> None:
        ledger = self.ledger_of(record)
        self.found = added(self.found, ledger.rise())
        for event, counts in ledger.news(self._now, is_last):
            self._tell(event, record.id, *counts)
            record.told, self._is_changed = ledger.told, True

    def _release(self, record: JobRecord) -> None:
        ledger = self.ledger_of(record)
        ledger.settle()
        record.tally = ledger.gone
        super()._release(record)

    def _finish(self, record: JobRecord, phase: JobPhase, reason: str) -> None:
        self._tell_news(record, is_last=True)
        super()._finish(record, phase, reason)
