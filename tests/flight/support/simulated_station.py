"""A station of the simulated payload: encodes telecommands by the dictionary, reads what comes."""

from __future__ import annotations

from typing import Any, NamedTuple

from flight.deployment.simulated import STATION, SimulatedPayload
from icd import reports, telecommand, telemetry
from icd.codec import Codec
from icd.dictionary import Severity
from icd.reports import Service, Stage
from icd.space_packet import APID_TIME

HEARTBEAT_S = 2.0


class SeenEvent(NamedTuple):
    name: str
    severity: Severity
    values: dict[str, Any]


class Operator:
    """Sends by name, and keeps every packet that came, decoded."""

    def __init__(self, payload: SimulatedPayload) -> None:
        self.payload = payload
        self.stages: dict[bytes, list[Stage]] = {}
        self.reasons: dict[bytes, str] = {}
        self.codes: dict[bytes, int] = {}
        self.results: dict[bytes, dict[str, Any]] = {}
        self.events: list[SeenEvent] = []
        self.housekeeping: dict[str, dict[str, Any]] = {}
        self.reports: list[tuple[str, dict[str, Any]]] = []
        self.packets = 0
        self._count = 0
        self._by_apid = {c.apid: c for c in payload.deployment.dictionary.components}

    def send(self, name: str, *values: Any) -> bytes:
        """Send a command by its full name; its request id."""
        component, _, command = name.partition(".")
        of = self.payload.deployment.dictionary.component(component)
        entry = next(c for c in of.commands if c.name == command)
        body = reports.function(entry.opcode, Codec(entry.arguments).pack(values))
        return self.request(of.apid, Service.FUNCTION, reports.FUNCTION_PERFORM, body)

    def request(self, apid: int, service: int, subtype: int, body: bytes = b"") -> bytes:
        """Send any telecommand; its request id."""
        packet = telecommand.build(apid, self._count, service, subtype, body, source=STATION)
        self._count += 1
        self.payload.telecommand(packet)
        return packet[:4]

    def settle(self, seconds: float = 1.0) -> None:
        """In contact, let time pass and read everything."""
        while seconds > 0:
            self.payload.contact()
            self.payload.advance(min(seconds, HEARTBEAT_S))
            seconds -= HEARTBEAT_S
        self.payload.contact()
        for packet in self.payload.packets:
            self._read(packet)
        self.payload.packets.clear()

    def outcome(self, request_id: bytes) -> Stage:
        """The one final stage of a telecommand; fails when there is none, or more than one."""
        final = [stage for stage in self.stages.get(request_id, []) if stage.is_final]
        assert len(final) == 1, (request_id.hex(), self.stages.get(request_id))
        return final[0]

    def do(self, name: str, *values: Any, seconds: float = 1.0) -> tuple[Stage, str]:
        """Send, let time pass, and say how it ended and why."""
        request_id = self.send(name, *values)
        self.settle(seconds)
        return self.outcome(request_id), self.reasons.get(request_id, "")

    def result_of(self, request_id: bytes) -> dict[str, Any]:
        """What a command gave back."""
        return self.results[request_id]

    def seen(self, name: str) -> list[SeenEvent]:
        """Events of that name."""
        return [event for event in self.events if event.name == name]

    def _read(self, packet: bytes) -> None:
        self.packets += 1
        if int.from_bytes(packet[:2], "big") & 0x7FF == APID_TIME:
            reports.parse_time_packet(packet)
            return
        tm = telemetry.parse(packet)
        of = self._by_apid[tm.apid]
        match tm.service:
            case Service.VERIFICATION:
                stage = Stage(tm.subtype)
                read = reports.parse_verification(stage, tm.data)
                self.stages.setdefault(read.request_id, []).append(stage)
                self.reasons[read.request_id] = read.reason
                self.codes[read.request_id] = read.code
            case Service.HOUSEKEEPING:
                self.housekeeping[of.name] = _named(of.housekeeping, tm.data[2:])
            case Service.EVENT:
                number, body = reports.parse_numbered(tm.data)
                event = next(e for e in of.events if e.number == number)
                seen = SeenEvent(f"{of.name}.{event.name}", event.severity, {})
                self.events.append(seen._replace(values=_named(event.arguments, body)))
            case Service.COMPONENT_REPORT:
                number, body = reports.parse_numbered(tm.data)
                entry = next(r for r in of.reports if r.number == number)
                self.reports.append((f"{of.name}.{entry.name}", _named(entry.fields, body)))
            case Service.FUNCTION:
                entry = next(c for c in of.commands if c.opcode == tm.data[4])
                self.results[tm.data[:4]] = _named(entry.results, tm.data[5:])


def _named(fields: Any, octets: bytes) -> dict[str, Any]:
    values = Codec(fields).unpack(octets)
    return {field.name: value for field, value in zip(fields, values, strict=True)}
