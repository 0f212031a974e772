"""One payload link: telecommands out, telemetry in, heartbeats that give the payload credit."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import zmq

from ground.errors import LinkDown
from ground.server.link_sequence import LinkSequence
from ground.zmq_asyncio import SocketDrain
from icd import identity, link
from icd.identity import Identity
from icd.link import Heartbeat, Kind, LinkError, LinkMessage
from icd.space_packet import PacketError

BEAT_S = 0.25
WINDOW = 8192
"""Telemetry messages that may be under way; the receive queue holds more than that."""
ANSWER_S = 0.6
"""A payload that answers no heartbeat for so long, or that comes back, may have restarted."""
SKIP = 2048
"""Above how far a restarted payload's anti-replay ceiling can be ahead of what it took."""
CLEAR_STATION = 1
"""The station id where no key slot names one."""
_HEADER_SIZE = link.HEADER.size


@dataclass(frozen=True)
class LinkSettings:
    """Where a payload is and how telecommands to it are authenticated."""

    name: str
    endpoint: str
    payload_id: int
    key_slot: int = link.CLEAR
    key: bytes | None = None

    @property
    def station(self) -> int:
        """Our station id: the key slot."""
        return self.key_slot or CLEAR_STATION


@dataclass
class LinkCounts:
    """What came and went, and what did not."""

    telemetry: int = 0
    lost: int = 0
    """Telemetry messages that the sequence says were sent and that never came."""
    repeated: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    sent: int = 0
    heartbeats: int = 0
    unsent: int = 0
    skips: int = 0
    identities: int = 0


class PayloadLink:
    """DEALER to the payload's ROUTER. `deliver` takes batches of telemetry packets, `identified`
    every identity packet. Octets that are no link message are counted, and never raise."""

    def __init__(
        self,
        context: zmq.Context[Any],
        settings: LinkSettings,
        sequence: LinkSequence,
        deliver: Callable[[list[bytes]], None],
        identified: Callable[[Identity], None],
    ) -> None:
        self.settings = settings
        self.counts = LinkCounts()
        self.identity: Identity | None = None
        self._sequence = sequence
        self._deliver = deliver
        self._identified = identified
        self._received = 0
        self._told = 0
        self._answered: float | None = None
        self._asked: float | None = None
        self._was_away = False
        self._loop = asyncio.get_running_loop()
        self._drain = SocketDrain(_dealer(context, settings.endpoint), self.receive)
        self._timer = self._loop.call_soon(self._beat)

    @property
    def is_alive(self) -> bool:
        """The payload answered a heartbeat within the last second or so."""
        return self.age_s is not None and self.age_s <= ANSWER_S + BEAT_S

    @property
    def age_s(self) -> float | None:
        """Seconds since the last answer; None when there was none."""
        return None if self._answered is None else self._loop.time() - self._answered

    def send(self, packet: bytes) -> None:
        """Send one telecommand packet; raises LinkDown when nobody would get it."""
        if not self.is_alive:
            age = "yet" if self.age_s is None else f"for {self.age_s:.0f} s"
            raise LinkDown(
                f"payload '{self.settings.name}' at {self.settings.endpoint} has not answered "
                f"{age}; nothing was sent"
            )
        if not self._send(Kind.TELECOMMAND, packet):
            raise LinkDown(f"the link to '{self.settings.name}' takes nothing now; send it again")
        self.counts.sent += 1

    def close(self) -> None:
        self._timer.cancel()
        self._drain.close()

    def receive(self, batch: list[bytes]) -> None:
        """Take link messages from the wire."""
        packets: list[bytes] = []
        unpack_header, wanted = link.HEADER.unpack_from, self.settings.payload_id
        for octets in batch:
            if len(octets) > _HEADER_SIZE:
                version, kind, payload_id, slot, sequence = unpack_header(octets)
                if (
                    version == link.VERSION
                    and kind == 2
                    and slot == link.CLEAR
                    and payload_id == wanted
                    and len(octets) <= link.LARGEST
                ):
                    if sequence != self._received + 1:
                        self._note_jump(sequence)
                    else:
                        self._received = sequence
                    packets.append(octets[_HEADER_SIZE:])
                    continue
            self._receive_other(octets)
        if packets:
            self.counts.telemetry += len(packets)
            self._deliver(packets)
        if self._received - self._told >= WINDOW // 2:
            self._send_heartbeat()

    def _note_jump(self, sequence: int) -> None:
        if sequence > self._received:
            self.counts.lost += sequence - self._received - 1
            self._received = sequence
        else:
            self.counts.repeated += 1

    def _receive_other(self, octets: bytes) -> None:
        try:
            message, _ = link.unpack(octets)
            if message.payload_id != self.settings.payload_id:
                self.counts.rejected["other payload"] += 1
            elif message.kind is Kind.IDENTITY:
                self._take_identity(identity.parse(message.body))
            else:
                self.counts.rejected["unexpected kind"] += 1
        except LinkError as error:
            self.counts.rejected[error.fault.value] += 1
        except PacketError as error:
            self.counts.rejected[f"identity {error.fault.value}"] += 1

    def _take_identity(self, who: Identity) -> None:
        if who.payload_id != self.settings.payload_id:
            self.counts.rejected["other payload"] += 1
            return
        self.counts.identities += 1
        self._answered = self._loop.time()
        self._asked = None
        self.identity = who
        self._identified(who)

    def _beat(self) -> None:
        self._timer = self._loop.call_later(BEAT_S, self._beat)
        now = self._loop.time()
        is_silent = self._asked is not None and now - self._asked > ANSWER_S
        if is_silent or self._was_away:
            self._sequence.advance(SKIP)
            self.counts.skips += 1
            self._asked = None
            self._was_away = False
        if self._send_heartbeat() and self._asked is None:
            self._asked = now

    def _send_heartbeat(self) -> bool:
        self._told = self._received
        beat = Heartbeat(self.settings.station, self._received, WINDOW)
        is_sent = self._send(Kind.HEARTBEAT, link.HEARTBEAT.pack(*beat))
        self.counts.heartbeats += is_sent
        return is_sent

    def _send(self, kind: Kind, body: bytes) -> bool:
        slot, key = self.settings.key_slot, self.settings.key
        try:
            sequence = self._sequence.take()
        except OSError:
            self.counts.unsent += 1
            return False
        message = LinkMessage(kind, self.settings.payload_id, slot, sequence, body)
        is_sent = self._drain.send([link.pack(message, key)])
        if not is_sent:
            self.counts.unsent += 1
            self._was_away = True  # who comes back may have restarted
        return is_sent


def _dealer(context: zmq.Context[Any], endpoint: str) -> zmq.Socket[bytes]:
    socket: zmq.Socket[bytes] = context.socket(zmq.DEALER)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.IMMEDIATE, 1)  # no telecommand waits for a payload that is not there
    socket.setsockopt(zmq.SNDHWM, 256)
    socket.setsockopt(zmq.RCVHWM, WINDOW + 1000)
    socket.setsockopt(zmq.MAXMSGSIZE, link.LARGEST)
    socket.setsockopt(zmq.IPV6, int(endpoint.startswith("tcp://[")))
    socket.setsockopt(zmq.RECONNECT_IVL, 50)
    socket.setsockopt(zmq.RECONNECT_IVL_MAX, 100)
    try:
        socket.connect(endpoint)
    except zmq.ZMQError:
        socket.close()
        raise
    return socket
