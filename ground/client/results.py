"""What clients get back: immutable pictures of commands, events and values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class CommandResult:
    """What became of a telecommand. `stages` are (stage, ground ns); `cursor` is the packet cursor
    when it was queued: everything it caused comes after."""

    id: int
    name: str
    state: str
    arguments: Mapping[str, Any]
    stages: tuple[tuple[str, int], ...]
    cursor: int
    code: int = 0
    reason: str = ""
    result: Mapping[str, Any] = field(default_factory=dict)
    is_late: bool = False
    duplicates: int = 0
    revision: int = 0
    is_settled: bool = False
    queued_ns: int = 0

    @property
    def ok(self) -> bool:
        """It completed."""
        return self.state == "completed"

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> CommandResult:
        """From the record that the server keeps."""
        return cls(
            record["id"],
            record["name"],
            record["state"],
            record["arguments"],
            tuple((stage, time) for stage, time in record["stages"]),
            record["cursor"],
            record["code"],
            record["reason"],
            record["result"] or {},
            record["is_late"],
            record["duplicates"],
            record["revision"],
            record.get("is_settled", True),
            record["queued_ns"],
        )


@dataclass(frozen=True)
class Event:
    """One event report. `time_ns` is on-board time (TAI since 1958), `received_ns` ground's."""

    cursor: int
    name: str
    severity: int
    text: str
    arguments: Mapping[str, Any]
    time_ns: int
    received_ns: int

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Event:
        return cls(**{name: row[name] for name in cls.__dataclass_fields__})


@dataclass(frozen=True)
class Value:
    """One housekeeping value with all that must be known of it before it is believed."""

    name: str
    raw: Any
    value: Any
    unit: str
    limit: str
    """'low' or 'high' when it breaks a warning limit."""
    validity: str
    """'valid', or 'stale' while the payload does not answer."""
    cursor: int
    time_ns: int
    received_ns: int
    description: str = ""

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Value:
        return cls(**{name: row[name] for name in cls.__dataclass_fields__})
