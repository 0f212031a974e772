"""What a payload can be told and can report: the immutable picture that ground works from."""

from __future__ import annotations

import enum
import hashlib
import json
import zlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from icd.fields import Field

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
        try:
            plain = json.loads(text)
            if plain["format"] != FORMAT:
                raise ValueError(f"dictionary format {plain['format']}; this reads {FORMAT}")
            read = cls(
                tuple(_component(c) for c in plain["components"]),
                tuple(_fragment(j) for j in plain["jobs"]),
            )
            hashes = plain["wire_hash"], plain["text_hash"]
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a dictionary file: {error!r}") from error
        if hashes != (read.wire_hash, read.text_hash):
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


def _fields(plain: list[dict[str, Any]]) -> tuple[Field, ...]:
    return tuple(
        Field(**(f | {"labels": tuple((number, label) for number, label in f["labels"])}))
        for f in plain
    )


def _component(plain: dict[str, Any]) -> ComponentDictionary:
    commands = tuple(
        CommandEntry(
            **(
                c
                | {
                    "arguments": _fields(c["arguments"]),
                    "results": _fields(c["results"]),
                    "modes": tuple(c["modes"]),
                }
            )
        )
        for c in plain["commands"]
    )
    events = tuple(
        EventEntry(
            **(e | {"severity": Severity(e["severity"]), "arguments": _fields(e["arguments"])})
        )
        for e in plain["events"]
    )
    reports = tuple(ReportEntry(**(r | {"fields": _fields(r["fields"])})) for r in plain["reports"])
    rest = {
        "commands": commands,
        "events": events,
        "reports": reports,
        "housekeeping": _fields(plain["housekeeping"]),
        "parameters": _fields(plain["parameters"]),
    }
    return ComponentDictionary(**(plain | rest))


def _fragment(plain: dict[str, Any]) -> JobFragment:
    return JobFragment(
        **(
            plain
            | {
                "parameters": _fields(plain["parameters"]),
                "defaults": tuple(plain["defaults"]),
                "outputs": tuple((name, text) for name, text in plain["outputs"]),
                "metrics": _fields(plain["metrics"]),
            }
        )
    )
