"""A station in contact with the simulated payload, over a link that may lose or damage messages."""

from __future__ import annotations

from collections.abc import Callable

from flight.deployment.simulated import KEY, STATION, SimulatedPayload
from flight.deployment.simulated_station import HEARTBEAT_S, SimulatedStation
from icd import link, telemetry
from icd.link import Heartbeat, Kind, LinkMessage
from icd.space_packet import PacketError

_WINDOW = 1 << 30

Suffer = Callable[[str, bytes], list[bytes]]
"""("uplink" or "downlink", a message) -> what arrives of it."""


class Station(SimulatedStation):
    """Also notes what it misses, and what comes damaged or twice."""

    def __init__(self, payload: SimulatedPayload, suffer: Suffer) -> None:
        super().__init__(payload)
        self.malformed = 0
        """Packets whose checksum or form was wrong."""
        self.twice = 0
        """Packets whose sequence count came before."""
        self._suffer = suffer
        self._sequence = 0
        self._counts: dict[int, set[int]] = {}

    def contact(self) -> None:
        """One heartbeat, what the payload has to say, and two seconds pass."""
        beat = Heartbeat(STATION, 0, _WINDOW)
        self._send_message(Kind.HEARTBEAT, link.HEARTBEAT.pack(*beat))
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

    def _uplink(self, packet: bytes) -> None:
        self._send_message(Kind.TELECOMMAND, packet)

    def _send_message(self, kind: Kind, body: bytes) -> None:
        self._sequence += 1
        to = self.payload.configuration.payload_id
        message = link.pack(LinkMessage(kind, to, STATION, self._sequence, body), KEY)
        for arrived in self._suffer("uplink", message):
            self.payload.receive(arrived)

    def _hear(self, packet: bytes) -> None:
        try:
            super()._hear(packet)
        except (PacketError, ValueError):
            self.malformed += 1

    def _read(self, heard: telemetry.Telemetry) -> None:
        counts = self._counts.setdefault(heard.apid, set())
        if heard.sequence_count in counts:
            self.twice += 1
            return
        counts.add(heard.sequence_count)
        super()._read(heard)
