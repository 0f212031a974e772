"""What a payload can be told and can report: the immutable picture that ground works from."""

from __future__ import annotations

import enum
import hashlib
import json
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from icd import space_packet
from icd.fields import CODES, Field
from icd.records import made
from icd.written import json_value

FORMAT = 1


@enum.unique
class Severity(enum.IntEnum):
    """Event severities; the number is the PUS 5 subtype."""

    INFO = 1
    LOW = 2
    MEDIUM = 3
    HIGH = 4


@enum.unique
class Mode(enum.IntEnum):
    """What the payload is allowed to do now."""

    NOMINAL = 0
    SAFE = 1


@dataclass(frozen=True)
class CommandEntry:
    """A telecommand; `opcode` is relative to its component."""

    opcode: int
    name: str
    description: str
    arguments: tuple[Field, ...] = ()
    results: tuple[Field, ...] = ()
    """What the result report (8, 129) of this command carries; empty: none is sent."""
    timeout_s: float = 10.0
    is_critical: bool = False
    """It must be armed first."""
    modes: tuple[str, ...] = tuple(mode.name for mode in Mode)
    """The modes in which it is accepted."""


@dataclass(frozen=True)
class EventEntry:
    """An event report; `template` names its arguments in braces."""

    number: int
    name: str
    severity: Severity
    template: str
    arguments: tuple[Field, ...] = ()


@dataclass(frozen=True)
class ReportEntry:
    """A report of a component that is neither housekeeping nor event: a table row, a segment."""

    number: int
    name: str
    description: str
    fields: tuple[Field, ...] = ()


@dataclass(frozen=True)
class ComponentDictionary:
    """Everything one component declares, under its instance name and APID."""

    name: str
    apid: int
    kind: str
    description: str
    commands: tuple[CommandEntry, ...] = ()
    events: tuple[EventEntry, ...] = ()
    reports: tuple[ReportEntry, ...] = ()
    housekeeping: tuple[Field, ...] = ()
    parameters: tuple[Field, ...] = ()


@dataclass(frozen=True)
class JobFragment:
    """What one kind of job takes and gives; a submit carries its number and its hash."""

    number: int
    name: str
    description: str
    parameters: tuple[Field, ...] = ()
    defaults: tuple[Any, ...] = ()
    """One default a parameter; None where the operator must give the value."""
    outputs: tuple[tuple[str, str], ...] = ()
    metrics: tuple[Field, ...] = ()

    @cached_property
    def hash(self) -> int:
        """32 bits over the number and the wire form of the parameters."""
        return zlib.crc32(_canonical([self.number, [_wire(f) for f in self.parameters]]))


@dataclass(frozen=True)
class Dictionary:
    """The dictionary of one deployment, with its two hashes."""

    components: tuple[ComponentDictionary, ...]
    jobs: tuple[JobFragment, ...] = ()

    @cached_property
    def wire_hash(self) -> str:
        """16 hexadecimal digits over what decoding needs: numbers, types, order, labels."""
        picture = [
            [
                component.apid,
                [
                    [c.opcode, _wires(c.arguments), _wires(c.results)]
                    for c in sorted(component.commands, key=lambda c: c.opcode)
                ],
                [
                    [e.number, int(e.severity), _wires(e.arguments)]
                    for e in sorted(component.events, key=lambda e: e.number)
                ],
                [
                    [r.number, _wires(r.fields)]
                    for r in sorted(component.reports, key=lambda r: r.number)
                ],
                _wires(component.housekeeping),
                _wires(component.parameters),
            ]
            for component in sorted(self.components, key=lambda c: c.apid)
        ]
        return hashlib.sha256(_canonical(picture)).hexdigest()[:16]

    @cached_property
    def text_hash(self) -> str:
        """16 hexadecimal digits over the whole dictionary, names, units and descriptions too."""
        return hashlib.sha256(_canonical(self._plain())).hexdigest()[:16]

    def component(self, name: str) -> ComponentDictionary:
        """The component of that instance name; raises KeyError with the known names."""
        for component in self.components:
            if component.name == name:
                return component
        known = ", ".join(c.name for c in self.components)
        raise KeyError(f"no component '{name}'; known are {known}")

    def to_json(self) -> str:
        """The dictionary file."""
        head = {"format": FORMAT, "wire_hash": self.wire_hash, "text_hash": self.text_hash}
        return json.dumps(head | self._plain(), indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Dictionary:
        """Read a dictionary file; raises ValueError when it is none, or was altered."""
        plain = json_value(text)
        if not isinstance(plain, dict) or "format" not in plain:
            raise ValueError("not a dictionary file: it has no format")
        if plain["format"] != FORMAT:
            raise ValueError(f"dictionary format {plain['format']}; this reads {FORMAT}")
        try:
            file = made(_File, plain, "it")
            read = cls(file.components, file.jobs)
            _check(read)
        except ValueError as error:
            raise ValueError(f"not a dictionary file: {error}") from None
        if (file.wire_hash, file.text_hash) != (read.wire_hash, read.text_hash):
            raise ValueError("the dictionary file was altered: its hashes do not match")
        return read

    def _plain(self) -> dict[str, Any]:
        return {
            "components": [asdict(component) for component in self.components],
            "jobs": [asdict(job) for job in self.jobs],
        }


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _wire(field: Field) -> list[Any]:
    return [field.code, field.count, field.is_array, list(field.labels)]


def _wires(fields: Iterable[Field]) -> list[list[Any]]:
    return [_wire(field) for field in fields]


@dataclass(frozen=True)
class _File:
    format: int
    wire_hash: str
    text_hash: str
    components: tuple[ComponentDictionary, ...]
    jobs: tuple[JobFragment, ...]


def _check(read: Dictionary) -> None:
    """Refuse what could not be decoded: a number out of its range or used twice, a type that is
    none. Raises ValueError."""
    _distinct("component", "name", [c.name for c in read.components])
    _numbers("component", "APID", space_packet.APID_IDENTITY - 1, [c.apid for c in read.components])
    for one in read.components:
        _numbers(one.name, "opcode", 255, [c.opcode for c in one.commands])
        _numbers(one.name, "event number", 65535, [e.number for e in one.events])
        _numbers(one.name, "report number", 65535, [r.number for r in one.reports])
        rows = [one.housekeeping, one.parameters, *(r.fields for r in one.reports)]
        rows += [e.arguments for e in one.events]
        rows += [row for c in one.commands for row in (c.arguments, c.results)]
        for row in rows:
            _check_row(one.name, row)
    _numbers("jobs", "number", 65535, [job.number for job in read.jobs])
    for job in read.jobs:
        _check_row(job.name, job.parameters)
        _check_row(job.name, job.metrics)


def _numbers(where: str, what: str, highest: int, numbers: list[int]) -> None:
    for number in numbers:
        if not 0 <= number <= highest:
            raise ValueError(f"{where}: {what} {number} is not in 0 … {highest}")
    _distinct(where, what, numbers)


def _distinct(where: str, what: str, values: Sequence[Any]) -> None:
    for value in values:
        if values.count(value) > 1:
            raise ValueError(f"{where}: {what} {value} is given twice")


def _check_row(where: str, row: tuple[Field, ...]) -> None:
    for field in row:
        if field.code not in CODES.values() or not 0 < field.count < 65536:
            raise ValueError(f"{where}: {field.name} has no wire type")
        if field.code == "o" and field is not row[-1]:
            raise ValueError(f"{where}: octets {field.name} must be the last field")
