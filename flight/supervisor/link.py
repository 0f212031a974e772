"""The link between the supervisor and the executive: JSON packets that can carry descriptors.

Standard library only, because the supervisor is: it must be small enough to never fail.
"""

from __future__ import annotations

import array
import json
import os
import socket
from typing import Any, NamedTuple

MAX_PACKET = 16 * 1024
MAX_DESCRIPTORS = 4


class Note(NamedTuple):
    """One packet as it arrived; the receiver owns the descriptors and closes them."""

    kind: str
    body: dict[str, Any]
    descriptors: tuple[int, ...]


class SupervisionLink:
    """One end of the link; never blocks, never raises on what the peer does."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._socket = sock
        self.closed = False
        self.malformed = 0

    @classmethod
    def from_fd(cls, fd: int) -> SupervisionLink:
        """Take over an inherited descriptor; raises OSError when it is not a socket."""
        return cls(socket.socket(fileno=fd))

    def send(self, kind: str, body: dict[str, Any], descriptors: tuple[int, ...] = ()) -> bool:
        """Send one packet with copies of the descriptors; False when full or the peer is gone."""
        packet = json.dumps([kind, body]).encode()
        if len(packet) > MAX_PACKET:
            raise ValueError(f"a {kind!r} note of {len(packet)} octets is over {MAX_PACKET}")
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
        try:
            self._socket.sendmsg([packet], rights if descriptors else [], socket.MSG_NOSIGNAL)
        except OSError:
            return False
        return True

    def receive(self, limit: int = 64) -> list[Note]:
        """Take up to ``limit`` waiting packets; sets ``closed`` when the peer is gone."""
        notes: list[Note] = []
        for _ in range(limit):
            arrived = self._receive_packet()
            if arrived is None:
                break
            packet, descriptors = arrived
            note = _decode(packet, descriptors)
            if note is None:
                self.malformed += 1
                close_all(descriptors)
            else:
                notes.append(note)
        return notes

    def fileno(self) -> int:
        """The descriptor to poll; -1 after ``close``."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close this end; the peer sees the end of the link."""
        self.closed = True
        self._socket.close()

    def _receive_packet(self) -> tuple[bytes, tuple[int, ...]] | None:
        if self.closed:
            return None
        room = socket.CMSG_SPACE(MAX_DESCRIPTORS * 4)
        try:
            packet, ancillary, _, _ = self._socket.recvmsg(
                MAX_PACKET + 1, room, socket.MSG_CMSG_CLOEXEC
            )
        except BlockingIOError:
            return None
        except OSError:
            packet, ancillary = b"", []
        if not packet:
            self.closed = True
            return None
        return packet, _descriptors(ancillary)


def close_all(descriptors: tuple[int, ...]) -> None:
    """Close descriptors that nobody wants."""
    for descriptor in descriptors:
        os.close(descriptor)


def _descriptors(ancillary: list[tuple[int, int, bytes]]) -> tuple[int, ...]:
    found = array.array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            found.frombytes(data[: len(data) - len(data) % found.itemsize])
    return tuple(found)


def _decode(packet: bytes, descriptors: tuple[int, ...]) -> Note | None:
    if len(packet) > MAX_PACKET:
        return None
    try:
        content = json.loads(packet)
    except (ValueError, RecursionError):
        return None
    if not isinstance(content, list) or len(content) != 2:
        return None
    kind, body = content
    if not isinstance(kind, str) or not isinstance(body, dict):
        return None
    return Note(kind, body, descriptors)
