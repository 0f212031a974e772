"""Telemetry packets to values, by precompiled plans made once from a dictionary."""

from __future__ import annotations

import enum
import struct
from collections.abc import Callable, Mapping, Sequence
from operator import ge, itemgetter, le
from typing import Any, NamedTuple

from icd import reports, space_packet, telemetry
from icd.codec import Codec, FieldError
from icd.crc import crc16
from icd.dictionary import ComponentDictionary, Dictionary, EventEntry
from icd.fields import Field
from icd.reports import Service
from icd.space_packet import PacketError, PacketFault

_HEAD = struct.Struct(">HHHBBBHHIBH")
_DATA = _HEAD.size
_SMALLEST = _DATA + space_packet.CRC.size
_TELEMETRY_WORD = 0x0800
_SECOND = 1_000_000_000
_KNOWN_SERVICES = frozenset({Service.VERIFICATION, Service.TEST, Service.FUNCTION})
"""Read without a plan: their bodies are the same in every dictionary, or name a command."""
_new = tuple.__new__


@enum.unique
class Quality(enum.IntEnum):
    """What ground could make of a packet."""

    GOOD = 0
    UNDECODED = 1
    """Sound, but this dictionary does not know it."""
    MISFIT = 2
    """Sound, but its body does not fit the dictionary."""
    DAMAGED = 3
    """Not a packet: archived as it came."""


class Plan:
    """How the body of one kind of packet is read: its fields, limits and labels."""

    def __init__(
        self,
        component: str,
        kind: str,
        name: str,
        fields: Sequence[Field],
        offset: int,
        *,
        limits: bool = False,
        event: EventEntry | None = None,
    ) -> None:
        self.component, self.kind, self.name = component, kind, name
        self.fields = tuple(fields)
        self.offset = offset
        self.event = event
        self._codec = Codec(fields)
        self._struct = None if any(f.code in "so" or f.is_array for f in fields) else _flat(fields)
        checked = [(i, f) for i, f in enumerate(self.fields) if limits and _is_number(f)]
        lows = [(i, _aligned(f, f.low)) for i, f in checked if f.low is not None]
        highs = [(i, _aligned(f, f.high)) for i, f in checked if f.high is not None]
        self._pick_low = _picker([index for index, _ in lows])
        self._pick_high = _picker([index for index, _ in highs])
        self._lows = tuple(low for _, low in lows)
        self._highs = tuple(high for _, high in highs)
        self._labels = tuple(
            (index, dict(field.labels)) for index, field in enumerate(self.fields) if field.labels
        )

    def unpack(self, body: bytes) -> tuple[Any, ...]:
        """Raw values in declared order; raises FieldError when the octets do not fit."""
        if self._struct is not None:
            try:
                return self._struct.unpack(body)
            except struct.error:
                pass
        return self._codec.unpack(body)

    def is_within(self, values: tuple[Any, ...]) -> bool:
        """True when every limited value is a number within its limits."""
        return (self._pick_low is None or all(map(le, self._lows, self._pick_low(values)))) and (
            self._pick_high is None or all(map(ge, self._highs, self._pick_high(values)))
        )

    def breach(self, index: int, value: Any) -> str:
        """'low', 'high', 'not a number' or '' for one value."""
        field = self.fields[index]
        if not _is_number(field) or (field.low is None and field.high is None):
            return ""
        if value != value:
            return "not a number"
        if field.low is not None and value < field.low:
            return "low"
        return "high" if field.high is not None and value > field.high else ""

    def engineering(self, values: Sequence[Any]) -> list[Any]:
        """Values as an operator reads them: enumerations by label, flags as true and false, texts
        without what a terminal would obey."""
        shown = list(values)
        for index, labels in self._labels:
            shown[index] = labels.get(shown[index], f"unknown {shown[index]}")
        for index, field in enumerate(self.fields):
            if field.code == "?" and not field.is_array:
                shown[index] = bool(shown[index])
            elif field.code == "s":
                shown[index] = printable(shown[index])
        return shown

    def named(self, values: Sequence[Any]) -> dict[str, Any]:
        """Engineering values by field name."""
        return {
            field.name: value
            for field, value in zip(self.fields, self.engineering(values), strict=True)
        }

    def text(self, values: Sequence[Any]) -> str:
        """The words of an event: its template with the values filled in."""
        if self.event is None:
            return self.name
        shown = self.named(values)
        for candidate in (shown, dict(zip(shown, values, strict=True))):
            try:
                return self.event.template.format(**candidate)
            except (KeyError, IndexError, ValueError, TypeError, AttributeError):
                continue  # a format such as :#x fits the number, not the label
        return f"{self.event.template} {shown}"


class Decoded(NamedTuple):
    """One sound telemetry packet. `values` are raw, in the order of `plan.fields`."""

    apid: int
    sequence_count: int
    service: int
    subtype: int
    destination: int
    time_ns: int
    quality: int
    plan: Plan | None
    values: tuple[Any, ...]
    is_within: bool
    """False when a value is outside its limits."""

    def rows(self) -> list[dict[str, Any]]:
        """One row a field: name, raw and engineering value, unit, which limit is broken."""
        if self.plan is None:
            return []
        shown = self.plan.engineering(self.values)
        return [
            {
                "name": f"{self.plan.component}.{field.name}",
                "raw": raw,
                "value": value,
                "unit": field.unit,
                "limit": "" if self.is_within else self.plan.breach(index, raw),
                "description": field.description,
            }
            for index, (field, raw, value) in enumerate(
                zip(self.plan.fields, self.values, shown, strict=True)
            )
        ]


class Decoder:
    """Decodes the telemetry of one payload; without a dictionary, headers only."""

    def __init__(self, dictionary: Dictionary | None = None) -> None:
        self.dictionary = dictionary
        self._plans: dict[int, Plan] = {}
        self._numbered: dict[int, dict[int, Plan]] = {}
        self._results: dict[tuple[int, int], Plan] = {}
        for component in dictionary.components if dictionary else ():
            self._compile(component)

    def decode(self, packet: bytes) -> Decoded:
        """Check a packet and decode it; raises PacketError for octets that are none."""
        if len(packet) < _SMALLEST:
            return _odd(packet)
        word, sequence, length, pus, service, subtype, _, destination, seconds, high, low = (
            _HEAD.unpack_from(packet)
        )
        if (
            crc16(packet)
            or length + 7 != len(packet)
            or word & 0xF800 != _TELEMETRY_WORD
            or sequence < 0xC000
            or pus >> 4 != telemetry.PUS_VERSION
        ):
            return _odd(packet)
        apid = word & 0x7FF
        time_ns = seconds * _SECOND - (-((high << 16 | low) * _SECOND) >> 24)
        key = apid << 16 | service << 8 | subtype
        plan = self._plans.get(key)
        values: tuple[Any, ...] = ()
        quality, is_within = 0, True
        try:
            if plan is None and key in self._numbered:
                plan = self._numbered[key].get(packet[_DATA] << 8 | packet[_DATA + 1])
            if plan is None:
                quality = 0 if service in _KNOWN_SERVICES else 1
            else:
                values = plan.unpack(packet[_DATA + plan.offset : -2])
                is_within = plan.is_within(values)
        except (FieldError, IndexError):
            plan, quality = None, 2
        count = sequence & 0x3FFF
        return _new(
            Decoded,
            (apid, count, service, subtype, destination, time_ns, quality, plan, values, is_within),
        )

    def result(self, body: bytes) -> tuple[bytes, dict[str, Any]] | None:
        """Request id and named results of a result report (8, 129); None when unknown."""
        if len(body) < 5:
            return None
        plan = self._results.get((int.from_bytes(body[:2], "big") & 0x7FF, body[4]))
        if plan is None:
            return None
        try:
            return body[:4], plan.named(plan.unpack(body[5:]))
        except FieldError:
            return None

    def _compile(self, component: ComponentDictionary) -> None:
        base = component.apid << 16
        name = component.name
        if component.housekeeping:
            key = base | Service.HOUSEKEEPING << 8 | reports.HK_REPORT
            fields = component.housekeeping
            self._plans[key] = Plan(name, "housekeeping", "housekeeping", fields, 2, limits=True)
        if component.parameters:
            key = base | Service.PARAMETER << 8 | reports.PARAMETER_REPORT
            self._plans[key] = Plan(name, "parameters", "parameters", component.parameters, 1)
        for event in component.events:
            key = base | Service.EVENT << 8 | event.severity
            plan = Plan(name, "event", event.name, event.arguments, 2, event=event)
            self._numbered.setdefault(key, {})[event.number] = plan
        for report in component.reports:
            key = base | Service.COMPONENT_REPORT << 8 | reports.COMPONENT_REPORT
            plan = Plan(name, "report", report.name, report.fields, 2)
            self._numbered.setdefault(key, {})[report.number] = plan
        for command in component.commands:
            if command.results:
                plan = Plan(name, "result", command.name, command.results, 5)
                self._results[component.apid, command.opcode] = plan


def printable(text: str) -> str:
    """A text from on board as it may be shown: a job may have written it."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def body_of(packet: bytes) -> bytes:
    """The octets of a sound telemetry packet between its headers and its CRC."""
    return packet[_DATA:-2]


def _odd(packet: bytes) -> Decoded:
    """A packet that is no PUS telemetry: the time report, or nothing we know."""
    header = space_packet.check(packet)
    if header.apid == space_packet.APID_TIME and not header.has_secondary:
        try:
            _, time_ns = reports.parse_time_packet(packet)
        except ValueError as error:
            raise PacketError(PacketFault.LENGTH, str(error)) from error
        count = header.sequence_count
        return Decoded(0, count, Service.TIME, reports.TIME_REPORT, 0, time_ns, 0, None, (), True)
    telemetry.parse(packet)
    raise PacketError(PacketFault.HEADER, "not a telemetry packet of this link")


def _flat(fields: Sequence[Field]) -> struct.Struct:
    return struct.Struct(">" + "".join("B" if f.code == "?" else f.code for f in fields))


def _is_number(field: Field) -> bool:
    return not field.is_array and field.code not in "so"


def _aligned(field: Field, limit: float) -> float:
    """The limit in the field's own type: comparing like with like is twice as fast."""
    return float(limit) if field.code in "fd" or not float(limit).is_integer() else int(limit)


def _picker(indices: list[int]) -> Callable[[tuple[Any, ...]], Sequence[Any]] | None:
    if not indices:
        return None
    if len(indices) == 1:
        only = indices[0]
        return lambda values: (values[only],)
    return itemgetter(*indices)


def decoders(dictionaries: Mapping[str, Dictionary]) -> dict[str, Decoder]:
    """One decoder for each wire hash."""
    return {wire_hash: Decoder(dictionary) for wire_hash, dictionary in dictionaries.items()}
