"""What is kept of recoveries, so that the next executive neither forgets nor repeats one.

An action that may have begun is kept as `acting`: the next executive verifies it. One that has not
is kept as `waiting`: the next executive begins it. What becomes durable before it is begun (level
L5 and above) counts as begun from then on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from flight.components.recovery.cases import Case, Deferral, Phase
from flight.components.recovery.fault_table import Kind, Level, row_of
from flight.components.recovery.stimuli import Process
from flight.components.recovery.strikes import Cause

P = Phase
Key = tuple[Cause, int, int]
"""A fault: its cause, who counted it, its number there."""
MOST_SEEN = 64
MOST_CASES = 64
_BEGUN = (P.SAVING, P.ACTING, P.VERIFYING)
_SINCE = "before the executive restarted"


@dataclass
class Found:
    """What a predecessor left."""

    acting: Case | None = None
    waiting: list[Case] = field(default_factory=list)
    deferrals: dict[int, Deferral] = field(default_factory=dict)
    seen: list[Key] = field(default_factory=list)


def pack_all(
    cases: Iterable[Case], deferrals: Mapping[int, Deferral], seen: Iterable[Key]
) -> dict[str, Any]:
    """All of it, as JSON takes it. What ground ordered is ground's to order again."""
    kept = list(cases)
    acting = next((case for case in kept if case.phase in _BEGUN), None)
    waiting = [
        [*_cause(c.cause), int(c.level), c.opened, _jobs(c.jobs)]
        for c in kept
        if c.phase not in (*_BEGUN, P.CLOSED) and c.order is None
    ]
    if acting is not None and acting.floor > acting.level and acting.joined:
        worse = _cause(acting.joined[-1])  # it came meanwhile
        waiting.append([*worse, int(acting.floor), acting.opened, _jobs(acting.jobs)])
    return {
        "acting": None if acting is None else _acting(acting),
        "waiting": waiting[-MOST_CASES:],
        "deferred": [
            [*_cause(d.cause), int(d.level), 0, _jobs(d.jobs)] for d in deferrals.values()
        ],
        "seen": [[*_cause(cause), *numbers] for cause, *numbers in list(seen)[-MOST_SEEN:]],
    }


def unpack_all(saved: Mapping[str, Any], now: int) -> Found:
    """What was kept; what makes no sense is left out. `now` is on-board ns."""
    found = Found(_acting_case(saved.get("acting"), now))
    for row in _rows(saved.get("waiting"), 6):
        if (case := _waiting_case(row, now)) is not None:
            found.waiting.append(case)
    for row in _rows(saved.get("deferred"), 6):
        if (case := _waiting_case(row, now)) is not None:
            found.deferrals[case.device] = Deferral(case.cause, case.level, case.jobs)
    for row in _rows(saved.get("seen"), 5):
        cause = _cause_of(row)
        if cause is not None and _are_whole(row[3:]):
            found.seen.append((cause, row[3], row[4]))
    return found


def _acting(case: Case) -> list[int]:
    slot = -1 if case.slot is None else case.slot
    return [*_cause(case.cause), int(case.level), slot]


def _acting_case(row: Any, now: int) -> Case | None:
    if not isinstance(row, list) or len(row) != 5:
        return None
    cause, level = _cause_of(row), _level_of(row[3])
    if cause is None or level is None or not _are_whole(row[4:]):
        return None
    if level in (Level.LOG, Level.SAFE_MODE):
        return None
    reason = f"{cause.words}, {_SINCE}"
    case = Case(cause, row_of(cause.kind, cause.code), level, now, reason)
    case.slot = row[4] if row[4] >= 0 else None
    return case


def _waiting_case(row: list[Any], now: int) -> Case | None:
    cause, level, opened, jobs = _cause_of(row), _level_of(row[3]), row[4], row[5]
    if cause is None or level is None or not _are_whole([opened]):
        return None
    kind = row_of(cause.kind, cause.code)
    reason = f"{cause.words}: {kind.meaning}, {_SINCE}"
    processes = frozenset((job, attempt) for job, attempt in _rows(jobs, 2))
    return Case(cause, kind, level, min(opened, now), reason, jobs=processes)


def _cause(cause: Cause) -> list[int]:
    return [cause.device, int(cause.kind), cause.code]


def _cause_of(row: list[Any]) -> Cause | None:
    device, kind, code = row[:3]
    if not _are_whole(row[:3]) or kind not in {known.value for known in Kind}:
        return None
    return Cause(device, Kind(kind), code)


def _level_of(value: Any) -> Level | None:
    is_one = type(value) is int and Level.LOG <= value <= Level.SAFE_MODE
    return Level(value) if is_one else None


def _jobs(jobs: Iterable[Process]) -> list[list[int]]:
    return sorted([job, attempt] for job, attempt in jobs)


def _rows(value: Any, length: int) -> list[Any]:
    rows = value[-1024:] if isinstance(value, list) else []
    return [row for row in rows if isinstance(row, list) and len(row) == length]


def _are_whole(values: Iterable[Any]) -> bool:
    return all(type(value) is int for value in values)
