"""Decides which link messages are taken: for us, authentic, and newer than any before."""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable, Mapping

from icd import link
from icd.link import Kind, LinkError, LinkFault, LinkMessage

AHEAD = 1024
"""How far the persisted ceiling is kept ahead of the last accepted sequence."""
MOST_HELD = 64


@enum.unique
class Rejection(enum.IntEnum):
    """Why a link message was not taken; each is counted, none is answered."""

    MALFORMED = 0
    OTHER_PAYLOAD = 1
    UNKNOWN_SLOT = 2
    NOT_AUTHENTIC = 3
    REPLAYED = 4
    CLEAR_REFUSED = 5
    HOLD_FULL = 6
    WRONG_KIND = 7
    TOO_MANY_STATIONS = 8


Persist = Callable[[int, int, Callable[[], None]], None]
"""(key slot, ceiling, done): make the ceiling durable, then call `done`."""


class Uplink:
    """Authentication and anti-replay of everything a station sends.

    A message is executed only below a ceiling that is already durable, so that after a power-off
    nothing old is fresh again. The ceiling is moved ahead in good time; a message beyond it is
    held until the move is durable. After a restart the ceiling itself is the last number taken.
    """

    def __init__(
        self,
        payload_id: int,
        keys: Mapping[int, bytes],
        ceilings: Mapping[int, int],
        persist: Persist,
        take: Callable[[bytes, LinkMessage], None],
        reject: Callable[[Rejection], None],
        *,
        accept_clear: bool = False,
    ) -> None:
        self._payload_id = payload_id
        self._keys = dict(keys)
        self._last = {slot: ceilings.get(slot, 0) for slot in keys}
        self._ceiling = dict(self._last)
        self._asked = dict(self._last)
        self._held: dict[int, deque[tuple[bytes, LinkMessage]]] = {s: deque() for s in keys}
        self._persist, self._take, self._reject = persist, take, reject
        self._accept_clear = accept_clear

    def receive(self, routing: bytes, octets: bytes) -> None:
        """Take one message from the wire, hold it, or reject it; never raises for bad octets."""
        try:
            message, mac = link.unpack(octets)
        except LinkError as error:
            wrong = error.fault is LinkFault.KIND
            self._reject(Rejection.WRONG_KIND if wrong else Rejection.MALFORMED)
            return
        if message.payload_id != self._payload_id:
            self._reject(Rejection.OTHER_PAYLOAD)
        elif message.kind not in (Kind.TELECOMMAND, Kind.HEARTBEAT):
            self._reject(Rejection.WRONG_KIND)
        elif message.key_slot == link.CLEAR:
            if self._accept_clear:
                self._take(routing, message)
            else:
                self._reject(Rejection.CLEAR_REFUSED)
        else:
            self._receive_protected(routing, octets, message, mac)

    def _receive_protected(
        self, routing: bytes, octets: bytes, message: LinkMessage, mac: bytes
    ) -> None:
        key = self._keys.get(message.key_slot)
        if key is None:
            self._reject(Rejection.UNKNOWN_SLOT)
        elif not mac or not link.verify(octets, key):
            self._reject(Rejection.NOT_AUTHENTIC)
        elif message.sequence <= self._last[message.key_slot]:
            self._reject(Rejection.REPLAYED)
        else:
            self._in_order(routing, message)

    def _in_order(self, routing: bytes, message: LinkMessage) -> None:
        slot, sequence = message.key_slot, message.sequence
        held = self._held[slot]
        if held or sequence > self._ceiling[slot]:
            if len(held) >= MOST_HELD:
                self._reject(Rejection.HOLD_FULL)
                return
            held.append((routing, message))
            self._last[slot] = sequence
        else:
            self._last[slot] = sequence
            self._take(routing, message)
        if sequence + AHEAD // 2 > self._asked[slot]:
            self._move_ceiling(slot, sequence + AHEAD)

    def _move_ceiling(self, slot: int, ceiling: int) -> None:
        self._asked[slot] = ceiling

        def durable() -> None:
            self._ceiling[slot] = max(self._ceiling[slot], ceiling)
            held = self._held[slot]
            while held and held[0][1].sequence <= self._ceiling[slot]:
                self._take(*held.popleft())

        self._persist(slot, ceiling, durable)
