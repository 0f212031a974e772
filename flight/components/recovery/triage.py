"""From faults to recoveries: what is counted, what belongs together, how bad it is."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import MutableSequence

from flight.components.board.places import BOARD, UNKNOWN
from flight.components.recovery import stimuli as s
from flight.components.recovery.cases import AT_WORK, Case, Deferral, Phase
from flight.components.recovery.dictionary import RecoveryEvents
from flight.components.recovery.fault_table import (
    GUIDANCE,
    WAITS,
    Ask,
    Kind,
    Level,
    Row,
    Wait,
    row_of,
)
from flight.components.recovery.strikes import Budget, Cause, Strikes
from flight.framework.lifecycle import Lifecycle

P = Phase
MOST_REMEMBERED = 512
MOST_RECENT = 16
HIGHEST_OF_UNKNOWN = Level.RESTART_JOB
"""Of a GPU that nobody named nothing is known to be there that could be reset or switched."""
MOST_OF_UNKNOWN = 3
"""So often within the decay time a fault of it is acted upon; a storm is only written down."""
_KNOWN = "its recovery was withheld, or did not help"
_PLACE = re.compile(r"\bpc[ =:]*(0x[0-9a-f]+)", re.IGNORECASE)


class Triage(Lifecycle[s.Stimulus, s.Instruction]):
    """The part of the lifecycle that assigns faults to recoveries.

    `RecoveryLifecycle` extends it: both work on the same cases, and an action that fails or ends
    leads back here.
    """

    def __init__(self, log: MutableSequence[tuple[int, s.Stimulus]] | None) -> None:
        super().__init__(log)
        self.is_enabled = True
        self.cases: list[Case] = []
        self.deferrals: dict[int, Deferral] = {}
        self.strikes = Strikes()
        self.budget = Budget()
        self.jobs = s.Running()
        self.duplicates = 0
        self._seen: deque[tuple[Cause, int, int]] = deque(maxlen=MOST_REMEMBERED)
        self._recent: deque[tuple[int, Cause]] = deque(maxlen=MOST_RECENT)
        self._hits: dict[tuple[int, int], tuple[frozenset[int], str]] = {}
        self._unwell: dict[int, Level] = {}
        """Devices whose recovery ended without success, and the level that it had come to."""
        self._is_changed = False
        """Whether what is saved for the next executive is out of date."""

    @property
    def at_work(self) -> Case | None:
        """The recovery that is carried out now."""
        return next((case for case in self.cases if case.phase in AT_WORK), None)

    # ------------------------------------------------------------ a fault comes

    def _fault(self, fault: s.Fault) -> None:
        key = (fault.cause, fault.origin, fault.sequence)
        if key in self._seen:
            self.duplicates += 1
            return
        self._seen.append(key)
        cause, row = fault.cause, row_of(fault.cause.kind, fault.cause.code)
        if row.is_software_when_repeated and self._is_software(fault):
            self._tell(RecoveryEvents.taken_as_software, cause.device, cause.code)
            return
        count = self.strikes.add(cause, self._now)
        self._is_changed = True
        level = self._level(cause, row, count)
        if row.advice:
            self._tell(RecoveryEvents.attention, cause.device, cause.words, row.advice)
        if row.ask is not None:
            self._ask(row.ask, cause)
        case = self._case_of(cause.device)
        if cause.kind is Kind.LOST and self._is_known(cause.device, level):
            self._tell(RecoveryEvents.fault_noted, cause.device, f"{cause.words}: {_KNOWN}")
        elif case is None:
            self._open(cause, row, level, count)
        else:
            self._join(case, cause, row, level)
        self._recent.append((self._now, cause))

    def _ask(self, what: Ask, cause: Cause) -> None:
        """Have another part of the payload do it, or say what ground should do."""
        if self.is_enabled:
            self._out.append(s.AskOther(what, cause.device, cause.words))
        else:
            self._tell(RecoveryEvents.attention, cause.device, cause.words, what.by_ground)

    def _is_software(self, fault: s.Fault) -> bool:
        """Whether the same came before in the same job, and not from another place in it."""
        found = _PLACE.search(fault.text)
        place = found[1].lower() if found else ""
        jobs = frozenset(job for job, _ in self.jobs.processes) | self.jobs.failed
        at = (fault.cause.device, fault.cause.code)
        before = self._hits.get(at)
        self._hits[at] = jobs, place
        if before is None or not jobs & before[0]:
            return False
        return not (place and before[1] and place != before[1])

    def _level(self, cause: Cause, row: Row, count: int) -> Level:
        """Where the recovery of a fault begins, at its so-many-th strike."""
        level = self.strikes.level(row, count)
        if cause.device != UNKNOWN:
            return level
        return min(level, HIGHEST_OF_UNKNOWN) if count <= MOST_OF_UNKNOWN else Level.LOG

    def _case_of(self, device: int) -> Case | None:
        """The recovery that a fault of that device is part of."""
        on = [c for c in self.cases if device == BOARD or c.device in (device, BOARD)]
        return max(on, key=lambda case: (case.phase in AT_WORK, case.level), default=None)

    def _open(self, cause: Cause, row: Row, level: Level, count: int) -> None:
        reason = f"{cause.words}: {row.meaning}"
        if level > row.level:
            reason += f", strike {count}"
        case = Case(cause, row, level, self._now, reason, jobs=self.jobs.processes)
        case.boundary = Level.LOG if cause.device == UNKNOWN else row.boundary
        self.cases.append(case)
        if row.wait is not Wait.NOTHING:
            case.phase, case.due = P.GATHERING, self._now + WAITS[row.wait]
            self._look_back(case)
            if row.wait is Wait.JOB_END and self.jobs.failed:
                self._decided(case)  # it died before its XID was told
        elif level is Level.LOG:
            self._noted(case)

    def _look_back(self, case: Case) -> None:
        """A companion may have come first, and be dealt with already."""
        if case.row.wait is not Wait.COMPANION:
            return
        since = self._now - WAITS[Wait.COMPANION]
        for time, cause in self._recent:
            row = row_of(cause.kind, cause.code)
            if time >= since and cause.device == case.device and _decides(cause, row, case.row):
                case.deciders.append(cause)
                case.floor = max(case.floor, case.row.companions.get(cause.code, Level.LOG))

    def _join(self, case: Case, cause: Cause, row: Row, level: Level) -> None:
        case.joined.append(cause)
        if cause.device != UNKNOWN:
            case.boundary = max(case.boundary, row.boundary)
        if case.phase is P.GATHERING:
            self._gather(case, cause, row, level)
        elif not _is_told_by(case, row):
            self._tell(RecoveryEvents.fault_joined, cause.device, cause.words, case.cause.words)
            if case.phase is P.QUEUED:
                case.level = max(case.level, level)
            else:
                case.floor = max(case.floor, level)

    def _gather(self, case: Case, cause: Cause, row: Row, level: Level) -> None:
        """A fault came while another waits to learn how bad it is."""
        if case.row.wait is Wait.COMPANION and _decides(cause, row, case.row):
            if not case.row.companions and row.companions:
                # It waits as well, and for something better: the recovery is its from now on.
                case.cause, case.row, case.level = cause, row, level
                case.reason = f"{cause.words}: {row.meaning}"
                case.due = self._now + WAITS[row.wait]
                return
            case.deciders.append(cause)
            level = case.row.companions.get(cause.code, level)
        if row.wait is Wait.NOTHING:
            case.floor = max(case.floor, level)

    # ------------------------------------------------------------ how bad it is

    def _decide(self, case: Case, _: s.Tick) -> None:
        """The wait is over: what came decides; alone, the row's own level stands."""
        if case.deciders:
            case.level = case.floor
            case.reason += f", with {' and '.join(cause.words for cause in case.deciders)}"
        elif case.row.wait is Wait.JOB_END and not self._has_job_ended(case):
            case.level = case.floor
            case.reason += "; no job of ours ended"
        else:
            case.level = max(case.level, case.floor)
        self._decided(case)

    def _look_for_job_end(self, case: Case, _: s.Running) -> None:
        if case.row.wait is Wait.JOB_END and self._has_job_ended(case):
            self._decided(case)

    def _has_job_ended(self, case: Case) -> bool:
        return bool(case.jobs - self.jobs.processes or self.jobs.failed)

    def _take_guidance(self, case: Case, readings: s.Readings) -> None:
        is_new = readings.received > case.opened
        if case.row.wait is not Wait.GUIDANCE or readings.guidance is None or not is_new:
            return
        level, boundary = GUIDANCE.get(readings.guidance, (Level.LOG, Level.LOG))
        case.reason += f"; the driver recommends {readings.guidance}"
        case.level, case.boundary = max(level, case.floor), max(boundary, case.boundary)
        if case.level > case.floor and self._is_known(case.device, case.level):
            case.level = Level.LOG
            case.reason += f": {_KNOWN}"
        self._decided(case)

    def _is_known(self, device: int, level: Level) -> bool:
        """Whether the device is in the state in which its last recovery had to leave it."""
        return self._unwell.get(device, Level.LOG) >= level

    def _decided(self, case: Case) -> None:
        case.phase, case.floor = P.QUEUED, Level.LOG
        if case.device == UNKNOWN:
            case.level = min(case.level, HIGHEST_OF_UNKNOWN)
        if case.level is Level.LOG:
            self._noted(case)

    def _noted(self, case: Case) -> None:
        self._tell(RecoveryEvents.fault_noted, case.device, case.reason)
        self._close(case)

    # ------------------------------------------------------------ at the next job boundary

    def _defer(self, case: Case) -> None:
        self.deferrals[case.device] = Deferral(case.cause, case.boundary, self.jobs.processes)
        self._is_changed = True
        level, words = int(case.boundary), case.boundary.words
        self._tell(RecoveryEvents.deferred, case.device, level, words, case.reason)
        self._look_for_boundaries()

    def _look_for_boundaries(self) -> None:
        for device, deferral in list(self.deferrals.items()):
            if deferral.jobs & self.jobs.processes or self._case_of(device) is not None:
                continue
            del self.deferrals[device]
            self._is_changed = True
            row = row_of(deferral.cause.kind, deferral.cause.code)
            reason = f"{deferral.cause.words}: {row.meaning}, now between jobs"
            self.cases.append(Case(deferral.cause, row, deferral.level, self._now, reason))

    # ------------------------------------------------------------ its end

    def _close(self, case: Case, text: str = "", *, ok: bool = False) -> None:
        case.phase = P.CLOSED
        if ok:
            self._unwell.pop(case.device, None)
        elif case.level > Level.LOG:
            self._unwell[case.device] = case.level
        self.cases.remove(case)
        self._is_changed = True
        if case.is_holding:
            self._out.append(s.ReleaseJobs())
        if case.order is not None:
            self._out.append(s.Answer(case.order, ok, text))
            if case.floor > case.level:  # a worse fault came during what ground wanted
                cause = case.joined[-1]
                row = row_of(cause.kind, cause.code)
                reason = f"{cause.words}: {row.meaning}"
                self.cases.append(Case(cause, row, case.floor, self._now, reason))
        if case.boundary > Level.LOG:
            self._defer(case)


def _decides(cause: Cause, row: Row, waiting: Row) -> bool:
    """Whether an XID tells how bad the one is that waits."""
    if cause.kind is not Kind.XID:
        return False
    if waiting.companions:
        return cause.code in waiting.companions
    return row.level > Level.LOG and row.wait is not Wait.GUIDANCE


def _is_told_by(case: Case, row: Row) -> bool:
    """Whether the recovery under way already deals with a fault that would wait for another."""
    if row.wait is Wait.NOTHING:
        return False
    return not row.companions or (case.cause.kind is Kind.XID and case.cause.code in row.companions)
