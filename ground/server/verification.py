"""Follows each telecommand through its stages, from queued to its one end; pure, time is given.

queued → sent → accepted → started → progress… → completed
              ↘ rejected          ↘ failed
and from any of them: timed out (nothing came in time; a late answer is still taken)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from ground.server.decode import printable
from icd import failures
from icd.reports import Stage, Verification

RANK = {
    "queued": 0,
    "sent": 1,
    "accepted": 2,
    "started": 3,
    "progress": 4,
    "completed": 5,
    "failed": 5,
    "rejected": 5,
    "timed out": 5,
}
WAITABLE = ("sent", "accepted", "started", "completed")
_FINAL = 5
_STATE = {
    Stage.ACCEPTED: "accepted",
    Stage.REJECTED: "rejected",
    Stage.STARTED: "started",
    Stage.START_FAILED: "failed",
    Stage.PROGRESS: "progress",
    Stage.PROGRESS_FAILED: "progress",
    Stage.COMPLETED: "completed",
    Stage.FAILED: "failed",
}
RESULT_GRACE_NS = 1_000_000_000
"""How long a completed command waits for its result report, which may come by another queue."""


@dataclass
class CommandRecord:
    """One telecommand and all that became of it; times are ground nanoseconds (UTC)."""

    id: int
    payload: int
    name: str
    arguments: dict[str, Any]
    apid: int
    count: int
    source: int
    queued_ns: int
    deadline_ns: int
    cursor: int = 0
    """The packet cursor when it was queued: what it causes comes after."""
    state: str = "queued"
    stages: list[tuple[str, int]] = field(default_factory=list)
    step: int = 0
    code: int = 0
    reason: str = ""
    has_result: bool = False
    """It declares results, so it is not settled before they came."""
    result: dict[str, Any] | None = None
    is_late: bool = False
    duplicates: int = 0
    revision: int = 0
    is_quiet: bool = False
    """Part of a file transfer: kept out of the history."""

    @property
    def is_final(self) -> bool:
        return RANK[self.state] == _FINAL

    @property
    def is_settled(self) -> bool:
        """Nothing more is expected."""
        if self.state == "completed":
            return not self.has_result or self.result is not None
        return self.is_final

    def has_reached(self, stage: str) -> bool:
        """True when a wait for `stage` is over, one way or the other."""
        if stage == "completed":
            return self.is_settled
        return RANK[self.state] >= RANK[stage]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass
class TrackerCounts:
    """Reports that did not belong where they came."""

    unmatched: int = 0
    foreign: int = 0
    duplicate: int = 0
    late: int = 0


class Tracker:
    """The telecommands of one payload; `changed` is told of every change of a record."""

    def __init__(self, changed: Callable[[CommandRecord], None]) -> None:
        self._changed = changed
        self._by_request: dict[bytes, CommandRecord] = {}
        self._pending: dict[int, CommandRecord] = {}
        self.counts = TrackerCounts()

    @property
    def pending(self) -> int:
        return len(self._pending)

    def open(self, record: CommandRecord, request_id: bytes) -> None:
        """Begin to follow a telecommand. A later one with the same request id (its count wrapped)
        takes its place: reports match the newest."""
        self._by_request.pop(request_id, None)
        self._by_request[request_id] = record
        self._pending[record.id] = record
        while len(self._by_request) > 4096:
            del self._by_request[next(iter(self._by_request))]

    def advance(self, record: CommandRecord, state: str, now_ns: int) -> None:
        """Move a record to `state`, if it is not beyond it."""
        if record.is_final and not (record.state == "timed out" and RANK[state] == _FINAL):
            return
        record.stages.append((state, now_ns))
        if RANK[state] >= RANK[record.state]:
            record.state = state
        self._tell(record)

    def verify(
        self, stage: Stage, report: Verification, destination: int, now_ns: int
    ) -> CommandRecord | None:
        """Take a verification report; counts it when it is nobody's, stale or a duplicate."""
        record = self._match(report.request_id, destination)
        if record is None:
            return None
        state = _STATE[stage]
        is_new_step = state == "progress" and (
            report.step > record.step or stage is Stage.PROGRESS_FAILED
        )
        seen = {name for name, _ in record.stages}
        if (state in seen and not is_new_step) or (record.is_final and record.state != "timed out"):
            record.duplicates += 1
            self.counts.duplicate += 1
            return record
        if record.state == "timed out":
            record.is_late = True
            self.counts.late += 1
        if stage.is_failure:
            record.code = report.code
            reason = printable(report.reason)
            record.reason = f"{failures.label(report.code)}: {reason}".rstrip(": ")
        if stage is Stage.COMPLETED:
            record.reason = ""
        record.step = report.step or record.step
        self.advance(record, state, now_ns)
        return record

    def take_result(self, request_id: bytes, destination: int, result: dict[str, Any]) -> None:
        """Take the result report of a telecommand."""
        record = self._match(request_id, destination)
        if record is None:
            return
        if record.result is not None:
            record.duplicates += 1
            self.counts.duplicate += 1
            return
        record.result = result
        self._tell(record)

    def expire(self, now_ns: int) -> None:
        """Time out what has waited too long, and settle what lost its result."""
        for record in list(self._pending.values()):
            if record.state == "completed":
                if now_ns - record.stages[-1][1] > RESULT_GRACE_NS:
                    record.has_result = False
                    record.reason = "completed, but its result report did not come"
                    self._tell(record)
            elif now_ns > record.deadline_ns:
                record.reason = (
                    f"no end within {(record.deadline_ns - record.queued_ns) / 1e9:g} s; "
                    f"the last stage was '{record.state}'"
                )
                self.advance(record, "timed out", now_ns)

    def shift(self, step_ns: int) -> None:
        """The date was set by so much: what is pending has waited no longer for that."""
        for record in self._pending.values():
            record.deadline_ns += step_ns
            record.queued_ns += step_ns
            record.stages = [(stage, at + step_ns) for stage, at in record.stages]

    def next_deadline_ns(self) -> int | None:
        """When `expire` has work next, at the earliest; None when nothing is pending."""
        return min((r.deadline_ns for r in self._pending.values()), default=None)

    def _match(self, request_id: bytes, destination: int) -> CommandRecord | None:
        record = self._by_request.get(request_id)
        if record is None:
            self.counts.unmatched += 1
            return None
        if destination != record.source:
            self.counts.foreign += 1
            return None
        return record

    def _tell(self, record: CommandRecord) -> None:
        record.revision += 1
        if record.is_settled:
            self._pending.pop(record.id, None)
        self._changed(record)
