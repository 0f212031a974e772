"""What the scrub worker may say, checked: it is not our process.

`regions {rows}`, `found {rows}`, `unusable {rows}`: see `regions.Row`, `Found`, `Unusable`.
`status {rate, octets, stripes, longest_us, is_crowded, unscrubbed}`, `ready {pid}`,
`done {id, ok, text, value}`.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flight.components.scrubber.regions import (
    MOST_REGIONS,
    Found,
    Kind,
    Row,
    State,
    Unusable,
    Verdict,
    is_name,
)

MOST_PROCESSES = 64
_HIGHEST = 1 << 63


class MessageError(ValueError):
    """A message of the worker makes no sense; the text says why."""


@dataclass(frozen=True)
class Status:
    """How the worker fares."""

    rate: float
    """Octets a second, measured since the last one."""
    octets: int
    """Walked since the worker started."""
    stripes: int
    longest_us: int
    """Longest stripe since the last one."""
    is_crowded: bool
    unscrubbed: tuple[tuple[str, int], ...]
    """(process, octets of its own that nobody checks)."""


@dataclass(frozen=True)
class Answer:
    """How something ended that was asked for."""

    number: int
    ok: bool
    text: str
    value: int


def regions(body: Mapping[str, Any]) -> tuple[Row, ...]:
    """Every region that the worker knows. Raises MessageError."""
    return tuple(_row(plain) for plain in _rows(body, 10))


def found(body: Mapping[str, Any]) -> tuple[Found, ...]:
    """Blocks found wrong. Raises MessageError."""
    return tuple(
        Found(
            _name(name),
            _member(Kind, kind),
            _whole(job),
            _whole(made),
            _whole(block),
            _member(Verdict, verdict),
            *(_whole(each) for each in rest),
        )
        for name, kind, job, made, block, verdict, *rest in _rows(body, 9)
    )


def unusable(body: Mapping[str, Any]) -> tuple[Unusable, ...]:
    """Regions that cannot be walked. Raises MessageError."""
    return tuple(
        Unusable(_name(name), _member(Kind, kind), _whole(job), _whole(made), _text(reason))
        for name, kind, job, made, reason in _rows(body, 5)
    )


def status(body: Mapping[str, Any]) -> Status:
    """How the worker fares. Raises MessageError."""
    rows = body.get("unscrubbed")
    if not isinstance(rows, list) or len(rows) > MOST_PROCESSES:
        raise MessageError("no list of processes")
    if not all(isinstance(row, list) and len(row) == 2 for row in rows):
        raise MessageError("a process has a name and octets")
    return Status(
        _number(body.get("rate")),
        _whole(body.get("octets")),
        _whole(body.get("stripes")),
        _whole(body.get("longest_us")),
        body.get("is_crowded") is True,
        tuple((_text(name), _whole(octets)) for name, octets in rows),
    )


def answer(body: Mapping[str, Any]) -> Answer:
    """The answer to a question. Raises MessageError."""
    text, value = _text(body.get("text", "")), body.get("value", 0)
    return Answer(_whole(body.get("id")), body.get("ok") is True, text, _whole(value))


def _row(plain: list[Any]) -> Row:
    name, kind, job, made, octets, state, passes, age_ms, corrected, lost = plain
    if type(age_ms) is not int or not -1 <= age_ms < _HIGHEST:
        raise MessageError(f"{age_ms!r} is no age")
    counts = (_whole(passes), age_ms, _whole(corrected), _whole(lost))
    return Row(
        _name(name),
        _member(Kind, kind),
        _whole(job),
        _whole(made),
        _whole(octets),
        _member(State, state),
        *counts,
    )


def _rows(body: Mapping[str, Any], length: int) -> list[list[Any]]:
    rows = body.get("rows")
    if not isinstance(rows, list) or len(rows) > MOST_REGIONS:
        raise MessageError(f"no list of up to {MOST_REGIONS} rows")
    if not all(isinstance(row, list) and len(row) == length for row in rows):
        raise MessageError(f"a row that does not have {length} values")
    return rows


def _name(value: Any) -> str:
    """A region's: `weights`, or `job-3.weights`."""
    if not isinstance(value, str) or not is_name(value):
        raise MessageError(f"{value!r} is no name of a region")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise MessageError(f"{value!r} is no text")
    return "".join(c for c in value[:160] if c.isprintable())


def _whole(value: Any) -> int:
    if type(value) is not int or not 0 <= value < _HIGHEST:
        raise MessageError(f"{value!r} is no count")
    return value


def _number(value: Any) -> float:
    if type(value) not in (int, float) or not 0 <= value < 2.0**60:
        raise MessageError(f"{value!r} is no amount")
    return float(value)


def _member(members: Any, value: Any) -> Any:
    if type(value) is not int or value not in {int(member) for member in members}:
        raise MessageError(f"{value!r} is none of {members.__name__}")
    member: enum.IntEnum = members(value)
    return member
