"""Brings a ZeroMQ socket into the asyncio loop, many messages a wake-up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import zmq

BATCH = 512


class SocketDrain:
    """Delivers what a socket receives, in batches of at most 512, from the running loop.

    A ZeroMQ descriptor is edge-triggered and its edge is also eaten by a send: so the socket is
    read until it is empty, and `send` looks again afterwards. One future for each message, as
    zmq.asyncio makes, would cost ten times as much.
    """

    def __init__(
        self,
        socket: zmq.Socket[bytes],
        deliver: Callable[[list[Any]], None],
        *,
        multipart: bool = False,
    ) -> None:
        self._socket = socket
        self._deliver = deliver
        self._receive = socket.recv_multipart if multipart else socket.recv
        self._loop = asyncio.get_running_loop()
        self._descriptor = int(socket.getsockopt(zmq.FD))
        self._is_due = False
        self._is_closed = False
        self._loop.add_reader(self._descriptor, self._drain)
        self.look()

    def look(self) -> None:
        """Read again soon, whether or not the descriptor says so."""
        if not self._is_due and not self._is_closed:
            self._is_due = True
            self._loop.call_soon(self._drain)

    def send(self, frames: list[bytes]) -> bool:
        """Send at once; False when the queue is full. Raises ZMQError when a ROUTER knows no such
        peer."""
        try:
            self._socket.send_multipart(frames, zmq.NOBLOCK)
        except zmq.Again:
            return False
        finally:
            self.look()
        return True

    def close(self) -> None:
        """Stop reading and close the socket."""
        if not self._is_closed:
            self._is_closed = True
            self._loop.remove_reader(self._descriptor)
            self._socket.close(linger=0)

    def _drain(self) -> None:
        self._is_due = False
        if self._is_closed:
            return
        batch: list[Any] = []
        receive, add = self._receive, batch.append
        try:
            for _ in range(BATCH):
                add(receive(zmq.NOBLOCK))
            self.look()
        except zmq.Again:
            pass
        if batch:
            self._deliver(batch)
