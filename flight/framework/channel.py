"""One end of a bounded packet channel between two processes on board.

A channel is an AF_UNIX ``SOCK_SEQPACKET`` pair: packets keep their borders, the kernel bounds the
queue, nothing has a name in the file system, and the end of the peer is visible. Packets are
msgpack lists ``[1, epoch, sequence, kind, body]`` of at most 64 KiB. Why not ZeroMQ here:
docs/decisions/0004-seqpacket-between-processes.md.
"""

from __future__ import annotations

import errno
import socket
from typing import Any, NamedTuple

import msgpack

VERSION = 1
MAX_PACKET = 64 * 1024
_UNPACK_ERRORS = (ValueError, TypeError, RecursionError, msgpack.exceptions.UnpackException)
_FULL = (errno.EAGAIN, errno.EWOULDBLOCK, errno.ENOBUFS)


class Message(NamedTuple):
    """One packet as it arrived: the sender's epoch and sequence number, its kind and its body."""

    epoch: int
    sequence: int
    kind: str
    body: dict[str, Any]


class Channel:
    """One end of a packet channel; never blocks, never raises on what the peer does.

    ``epoch`` is put on every packet sent: the executive's boot epoch, or the one a worker echoes.
    With ``only_epoch`` packets of another epoch are discarded and counted in ``foreign``: a
    restarted executive never sees an answer to its predecessor.
    """

    def __init__(self, sock: socket.socket, epoch: int = 0, *, only_epoch: bool = False) -> None:
        sock.setblocking(False)
        self._socket = sock
        self._sequence = 0
        self._only_epoch = only_epoch
        self.epoch = epoch
        self.closed = False
        self.dropped = 0
        self.malformed = 0
        self.foreign = 0

    @classmethod
    def from_fd(cls, fd: int, epoch: int = 0, *, only_epoch: bool = False) -> Channel:
        """Take over an inherited descriptor; raises OSError when it is not a socket."""
        return cls(socket.socket(fileno=fd), epoch, only_epoch=only_epoch)

    def send(self, kind: str, body: dict[str, Any], *, epoch: int | None = None) -> bool:
        """Send one packet; False when the queue is full or the peer is gone (``dropped``).

        Raises ValueError for a packet over 64 KiB: that is a mistake of the caller.
        """
        stamp = self.epoch if epoch is None else epoch
        packet = msgpack.packb([VERSION, stamp, self._sequence, kind, body])
        if len(packet) > MAX_PACKET:
            raise ValueError(
                f"a {kind!r} message of {len(packet)} octets does not fit a packet of "
                f"{MAX_PACKET}; send it in pieces"
            )
        if not self._send_packet(packet):
            self.dropped += 1
            return False
        self._sequence += 1
        return True

    def receive(self, limit: int = 64) -> list[Message]:
        """Take up to ``limit`` waiting packets; sets ``closed`` when the peer is gone."""
        messages: list[Message] = []
        for _ in range(limit):
            packet = self._receive_packet()
            if packet is None:
                break
            message = _decode(packet)
            if message is None:
                self.malformed += 1
            elif self._only_epoch and message.epoch != self.epoch:
                self.foreign += 1
            else:
                messages.append(message)
        return messages

    def fileno(self) -> int:
        """The descriptor to poll; -1 after ``close``."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close this end; the peer sees the end of the channel."""
        self.closed = True
        self._socket.close()

    def _send_packet(self, packet: bytes) -> bool:
        if self.closed:
            return False
        try:
            self._socket.send(packet, socket.MSG_NOSIGNAL)
        except OSError as error:
            if error.errno not in _FULL:
                # What the peer sent before it went can still be read: receive() says `closed`.
                self.closed = error.errno == errno.EBADF
            return False
        return True

    def _receive_packet(self) -> bytes | None:
        if self.closed:
            return None
        try:
            packet = self._socket.recv(MAX_PACKET + 1)
        except BlockingIOError:
            return None
        except OSError:
            packet = b""
        if not packet:
            self.closed = True
            return None
        return packet


def pair() -> tuple[socket.socket, socket.socket]:
    """Make a connected pair of packet sockets, non-blocking and not inheritable."""
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    one.setblocking(False)
    other.setblocking(False)
    return one, other


def _decode(packet: bytes) -> Message | None:
    if len(packet) > MAX_PACKET:
        return None
    try:
        content = msgpack.unpackb(packet)
    except _UNPACK_ERRORS:
        return None
    if not isinstance(content, list) or len(content) != 5 or content[0] != VERSION:
        return None
    _, epoch, sequence, kind, body = content
    if type(epoch) is not int or type(sequence) is not int or not isinstance(kind, str):
        return None
    if not isinstance(body, dict) or not all(isinstance(key, str) for key in body):
        return None
    return Message(epoch, sequence, kind, body)
