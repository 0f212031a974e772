"""A station in contact with the simulated payload, over a link that may lose or damage messages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flight.deployment.simulated import KEY, STATION, SimulatedPayload
from icd import link, reports, telecommand, telemetry
from icd.codec import Codec
from icd.link import Heartbeat, Kind, LinkMessage
from icd.reports import Service, Stage
from icd.space_packet import APID_TIME, PacketError

HEARTBEAT_S = 2.0
_WINDOW = 1 << 30

Suffer = Callable[[str, bytes], list[bytes]]
"""("uplink" or "downlink", a message) -> what arrives of it."""


class Station:
    """Sends telecommands by name, and notes what it hears and what it misses."""

    def __init__(self, payload: SimulatedPayload, suffer: Suffer) -> None:
        self.payload = payload
        self.stages: dict[bytes, set[Stage]] = {}
        self.results: dict[bytes, dict[str, Any]] = {}
        self.events: dict[str, int] = {}
        self.housekeeping: dict[str, dict[str, Any]] = {}
        self.malformed = 0
        """Packets whose checksum or form was wrong."""
        self.twice = 0
        """Packets whose sequence count came before."""
        self._suffer = suffer
        self._sequence = 0
        self._count = 0
        self._counts: dict[int, set[int]] = {}
        self._by_apid = {c.apid: c for c in payload.deployment.dictionary.components}

    def send(self, name: str, *values: Any) -> bytes:
        """Send a command by its full name; its request id."""
        component, _, command = name.partition(".")
        of = self.payload.deployment.dictionary.component(component)
        entry = next(each for each in of.commands if each.name == command)
        body = reports.function(entry.opcode, Codec(entry.arguments).pack(values))
        packet = telecommand.build(
            of.apid, self._count, Service.FUNCTION, reports.FUNCTION_PERFORM, body, source=STATION
        )
        self._count += 1
        self._uplink(Kind.TELECOMMAND, packet)
        return packet[:4]

    def contact(self) -> None:
        """One heartbeat, what the payload has to say, and two seconds pass."""
        beat = Heartbeat(STATION, 0, _WINDOW)
        self._uplink(Kind.HEARTBEAT, link.HEARTBEAT.pack(*beat))
        self.payload.collect()
        for packet in self.payload.packets:
            for arrived in self._suffer("downlink", packet):
                self._hear(arrived)
        self.payload.packets.clear()
        self.payload.advance(HEARTBEAT_S)

    @property
    def missing(self) -> int:
        """Packets that the sequence counts tell of and that never came; order says nothing."""
        return sum(max(counts) + 1 - len(counts) for counts in self._counts.values())

    def _uplink(self, kind: Kind, body: bytes) -> None:
        self._sequence += 1
        to = self.payload.configuration.payload_id
        message = link.pack(LinkMessage(kind, to, STATION, self._sequence, body), KEY)
        for arrived in self._suffer("uplink", message):
            self.payload.receive(arrived)

    def _hear(self, packet: bytes) -> None:
        try:
            if int.from_bytes(packet[:2], "big") & 0x7FF == APID_TIME:
                reports.parse_time_packet(packet)
                return
            heard = telemetry.parse(packet)
        except (PacketError, ValueError):
            self.malformed += 1
            return
        count = int.from_bytes(packet[2:4], "big") & 0x3FFF
        counts = self._counts.setdefault(heard.apid, set())
        if count in counts:
            self.twice += 1
            return
        counts.add(count)
        self._read(heard)

    def _read(self, heard: telemetry.Telemetry) -> None:
        of = self._by_apid[heard.apid]
        match heard.service:
            case Service.VERIFICATION:
                stage = Stage(heard.subtype)
                read = reports.parse_verification(stage, heard.data)
                self.stages.setdefault(read.request_id, set()).add(stage)
            case Service.HOUSEKEEPING:
                self.housekeeping[of.name] = _named(of.housekeeping, heard.data[2:])
            case Service.EVENT:
                number, _ = reports.parse_numbered(heard.data)
                name = next(event.name for event in of.events if event.number == number)
                self.events[f"{of.name}.{name}"] = self.events.get(f"{of.name}.{name}", 0) + 1
            case Service.FUNCTION:
                entry = next(each for each in of.commands if each.opcode == heard.data[4])
                self.results[heard.data[:4]] = _named(entry.results, heard.data[5:])


def _named(fields: Any, octets: bytes) -> dict[str, Any]:
    values = Codec(fields).unpack(octets)
    return {field.name: value for field, value in zip(fields, values, strict=True)}
