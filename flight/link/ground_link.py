"""Joins uplink, downlink and command handler: what a station's messages lead to."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Protocol

from flight.framework.executive import Executive, Slot
from flight.link.downlink import Downlink
from flight.link.uplink import Persist, Rejection, Uplink
from icd import link
from icd.identity import Identity
from icd.link import Heartbeat, Kind, LinkMessage


class TelecommandTaker(Protocol):
    """What the link leads to; implemented by the command handler."""

    def take(self, packet: bytes, station: int | None) -> None:
        """One telecommand packet, and whose key it came with; None on a link in clear."""

    def frame_rejected(self, why: Rejection) -> None:
        """A message from the wire that was refused before it was a telecommand."""


class GroundLink:
    """The payload's side of the link, without its transport.

    `receive` takes what arrived; `answer` is called with the identity message that a heartbeat
    is answered with. A station may only speak for itself: its id is its key slot.
    """

    def __init__(
        self,
        executive: Executive,
        handler: Slot[TelecommandTaker],
        downlink: Downlink,
        identity: Identity,
        keys: Mapping[int, bytes],
        ceilings: Mapping[int, int],
        persist: Persist,
        *,
        accept_clear: bool = False,
    ) -> None:
        self._executive = executive
        self._handler = handler
        self._downlink = downlink
        self._identity = identity
        self.answer: Callable[[bytes, bytes], None] = lambda _routing, _message: None
        self._uplink = Uplink(
            identity.payload_id,
            keys,
            ceilings,
            persist,
            self._take,
            self._reject,
            accept_clear=accept_clear,
        )

    def receive(self, routing: bytes, octets: bytes) -> None:
        """Take one message from the wire; never raises for bad octets."""
        self._uplink.receive(routing, octets)

    def _take(self, routing: bytes, message: LinkMessage) -> None:
        if message.kind is Kind.HEARTBEAT:
            self._take_heartbeat(routing, message)
            return
        station = None if message.key_slot == link.CLEAR else message.key_slot
        self._executive.do_now(self._handler, lambda handler: handler.take(message.body, station))
        # Carried out before the next is looked at: an arming holds for the command behind it.
        self._executive.drain()

    def _take_heartbeat(self, routing: bytes, message: LinkMessage) -> None:
        try:
            beat = Heartbeat(*link.HEARTBEAT.unpack(message.body))
        except struct.error:
            self._reject(Rejection.MALFORMED)
            return
        if message.key_slot not in (link.CLEAR, beat.station):
            self._reject(Rejection.NOT_AUTHENTIC)
        elif self._downlink.heard(routing, beat, self._executive.now):
            self.answer(routing, self._downlink.identity_message(self._identity))
        else:
            self._reject(Rejection.TOO_MANY_STATIONS)

    def _reject(self, why: Rejection) -> None:
        self._executive.do_now(self._handler, lambda handler: handler.frame_rejected(why))
