"""A station of the simulated payload: encodes telecommands by the dictionary, reads what comes."""

from __future__ import annotations

from typing import Any, NamedTuple

from flight.deployment.simulated import STATION, SimulatedPayload
from icd import reports, telecommand, telemetry
from icd.codec import Codec
from icd.dictionary import ComponentDictionary, Severity
from icd.reports import Service, Stage
from icd.space_packet import APID_TIME

HEARTBEAT_S = 2.0


class SeenEvent(NamedTuple):
    """One event as it came; the name is COMPONENT.EVENT."""

    name: str
    severity: Severity
    values: dict[str, Any]


class SimulatedStation:
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
        entry = next(each for each in of.commands if each.name == command)
        body = reports.function(entry.opcode, Codec(entry.arguments).pack(values))
        return self.request(of.apid, Service.FUNCTION, reports.FUNCTION_PERFORM, body)

    def request(self, apid: int, service: int, subtype: int, body: bytes = b"") -> bytes:
        """Send any telecommand; its request id."""
        packet = telecommand.build(apid, self._count, service, subtype, body, source=STATION)
        self._count += 1
        self._uplink(packet)
        return packet[:4]

    def settle(self, seconds: float = 1.0) -> None:
        """In contact, let time pass and read everything."""
        while seconds > 0:
            self.payload.contact()
            self.payload.advance(min(seconds, HEARTBEAT_S))
            seconds -= HEARTBEAT_S
        self.payload.contact()
        for packet in self.payload.packets:
            self._hear(packet)
        self.payload.packets.clear()

    def _uplink(self, packet: bytes) -> None:
        self.payload.telecommand(packet)

    def _hear(self, packet: bytes) -> None:
        """Take one packet of telemetry; raises ValueError for one that is damaged."""
        self.packets += 1
        if int.from_bytes(packet[:2], "big") & 0x7FF == APID_TIME:
            reports.parse_time_packet(packet)
        else:
            self._read(telemetry.parse(packet))

    def _read(self, heard: telemetry.Telemetry) -> None:
        of = self._by_apid[heard.apid]
        match heard.service:
            case Service.VERIFICATION:
                self._read_verification(Stage(heard.subtype), heard.data)
            case Service.HOUSEKEEPING:
                self.housekeeping[of.name] = _named(of.housekeeping, heard.data[2:])
            case Service.EVENT:
                self._read_event(of, heard.data)
            case Service.COMPONENT_REPORT:
                number, body = reports.parse_numbered(heard.data)
                entry = next(each for each in of.reports if each.number == number)
                self.reports.append((f"{of.name}.{entry.name}", _named(entry.fields, body)))
            case Service.FUNCTION:
                command = next(each for each in of.commands if each.opcode == heard.data[4])
                self.results[heard.data[:4]] = _named(command.results, heard.data[5:])

    def _read_verification(self, stage: Stage, data: bytes) -> None:
        read = reports.parse_verification(stage, data)
        self.stages.setdefault(read.request_id, []).append(stage)
        self.reasons[read.request_id] = read.reason
        self.codes[read.request_id] = read.code

    def _read_event(self, of: ComponentDictionary, data: bytes) -> None:
        number, body = reports.parse_numbered(data)
        event = next(each for each in of.events if each.number == number)
        values = _named(event.arguments, body)
        self.events.append(SeenEvent(f"{of.name}.{event.name}", event.severity, values))


def _named(fields: Any, octets: bytes) -> dict[str, Any]:
    values = Codec(fields).unpack(octets)
    return {field.name: value for field, value in zip(fields, values, strict=True)}
