"""A station of the tests' own: it sends what a ground server would refuse to send."""

from __future__ import annotations

import json
import time

import zmq

from examples.session import Session
from icd import link, reports, telecommand, telemetry
from icd.link import Heartbeat, Kind, LinkMessage
from icd.reports import Service, Stage, Verification

WINDOW = 1000
PATIENCE_S = 90.0


class Station:
    """One key slot's voice on the link, packet by packet and octet by octet."""

    def __init__(self, endpoint: str, payload_id: int, slot: int, key: bytes | None) -> None:
        self.payload_id, self.slot, self.key = payload_id, slot, key
        self.sequence = time.time_ns() // 1000
        self.received = 0
        self._count = 0
        self._unanswered = 0
        """Heartbeats whose answer is still to come."""
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.connect(endpoint)

    @classmethod
    def of(cls, session: Session, slot: int = 2, key: bytes | None = None) -> Station:
        """A station at a session's payload, with the key of its slot (or a wrong one); raises
        KeyError for a slot without one."""
        ready = json.loads((session.run / "ready.json").read_text())
        if slot and key is None:
            keys = json.loads((session.state / "keys.json").read_text())["slots"]
            key = bytes.fromhex(keys[str(slot)])
        return cls(ready["endpoint"], ready["payload_id"], slot, key)

    def __enter__(self) -> Station:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()
        self._context.term()

    # --- out ---

    def frame(self, kind: Kind, body: bytes) -> bytes:
        """The octets of the next link message."""
        self.sequence += 1
        message = LinkMessage(kind, self.payload_id, self.slot, self.sequence, body)
        return link.pack(message, self.key)

    def send_octets(self, octets: bytes) -> None:
        """Put octets on the wire as they are."""
        self._socket.send(octets)

    def heartbeat(self) -> None:
        """Say that this station is here, and give credit."""
        beat = Heartbeat(self.slot or 1, self.received, WINDOW)
        self.send_octets(self.frame(Kind.HEARTBEAT, link.HEARTBEAT.pack(*beat)))
        self._unanswered += 1

    def packet(
        self, apid: int, service: int, subtype: int, data: bytes = b"", *, source: int | None = None
    ) -> bytes:
        """A whole telecommand packet of this station."""
        self._count = (self._count + 1) & 0x3FFF
        origin = (self.slot or 1) if source is None else source
        return telecommand.build(apid, self._count, service, subtype, data, source=origin)

    def function(self, apid: int, opcode: int, arguments: bytes = b"") -> bytes:
        """A telecommand packet that calls a component's command."""
        body = reports.function(opcode, arguments)
        return self.packet(apid, Service.FUNCTION, reports.FUNCTION_PERFORM, body)

    def no_operation(self) -> bytes:
        """The octets of a link message with a telecommand that does nothing."""
        return self.frame(Kind.TELECOMMAND, self.function(1, 3))

    # --- and what comes back ---

    def ask(self, packet: bytes, timeout_s: float = PATIENCE_S) -> tuple[Stage, Verification]:
        """Send a telecommand packet; the stage in which it ended, and the report of it."""
        self.heartbeat()
        self.send_octets(self.frame(Kind.TELECOMMAND, packet))
        deadline = time.monotonic() + timeout_s
        while (left := deadline - time.monotonic()) > 0:
            for report in self.telemetry(left):
                if report.service != Service.VERIFICATION:
                    continue
                stage = Stage(report.subtype)
                about = reports.parse_verification(stage, report.data)
                if about.request_id == packet[:4] and stage.is_final:
                    return stage, about
        raise TimeoutError(f"no end of telecommand {packet.hex()} within {timeout_s:g} s")

    def telemetry(self, timeout_s: float) -> list[telemetry.Telemetry]:
        """Telemetry packets that come next, time reports left out."""
        found = []
        if self._socket.poll(int(timeout_s * 1000)):
            message = self._receive()
            if message.kind is Kind.TELEMETRY:
                self.received = message.sequence
                if message.body[:2] != b"\0\0":
                    found.append(telemetry.parse(message.body))
        return found

    def is_answered(self, timeout_s: float = PATIENCE_S) -> bool:
        """Whether a heartbeat is answered by the payload's identity, and so all that came before.

        The answer to an earlier heartbeat may still be on its way, and says nothing of what was
        sent since.
        """
        self.heartbeat()
        deadline = time.monotonic() + timeout_s
        while self._unanswered and (left := deadline - time.monotonic()) > 0:
            if self._socket.poll(int(left * 1000)):
                self._receive()
        was_answered, self._unanswered = not self._unanswered, 0
        return was_answered

    def _receive(self) -> LinkMessage:
        message, _ = link.unpack(self._socket.recv())
        if message.kind is Kind.IDENTITY:
            self._unanswered = max(0, self._unanswered - 1)
        return message
