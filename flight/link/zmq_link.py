"""The ZeroMQ end of the link to ground: a ROUTER on which stations register by heartbeat."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import zmq

from flight.link.downlink import Downlink
from flight.link.ground_link import GroundLink
from icd.link import LARGEST

RECEIVE_LIMIT = 128


class ZmqLink:
    """Moves link messages between the socket, the uplink and the downlink; never waits."""

    def __init__(
        self, endpoint: str, downlink: Downlink, clock: Callable[[], int], last: str = ""
    ) -> None:
        """Bind to `endpoint`; where it leaves the port open, to `last` if that is still free, so
        that stations find a restarted executive where they left it."""
        self._downlink = downlink
        self._clock = clock
        self._context = zmq.Context()
        self.socket = self._context.socket(zmq.ROUTER)
        for option, value in (
            (zmq.LINGER, 200),
            (zmq.SNDHWM, 1000),
            (zmq.RCVHWM, 1000),
            (zmq.ROUTER_MANDATORY, 1),
            (zmq.MAXMSGSIZE, LARGEST),
            (zmq.IPV6, int(endpoint.startswith("tcp://["))),
        ):
            self.socket.setsockopt(option, value)
        self._bind(endpoint, last)
        self.endpoint = self.socket.getsockopt_string(zmq.LAST_ENDPOINT)

    def _bind(self, endpoint: str, last: str) -> None:
        host, _, port = endpoint.rpartition(":")
        if port in ("*", "0") and last.startswith(host + ":"):
            with suppress(zmq.ZMQError):
                self.socket.bind(last)
                return
        self.socket.bind(endpoint)

    def receive(self, ground: GroundLink) -> None:
        """Give what arrived to the payload's side of the link."""
        for _ in range(RECEIVE_LIMIT):
            try:
                parts = self.socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            ground.receive(parts[0], parts[1] if len(parts) == 2 else b"")

    def answer(self, routing: bytes, message: bytes) -> None:
        """Send one message to a station outside its queue: the identity."""
        self._send(routing, message)

    def flush(self) -> None:
        """Send what stations have credit for."""
        for station, packet, message in self._downlink.outgoing(self._clock()):
            if not self._send(station.routing, message):
                self._downlink.not_sent(station, packet)

    def _send(self, routing: bytes, message: bytes) -> bool:
        try:
            self.socket.send_multipart((routing, message), zmq.NOBLOCK)
        except zmq.ZMQError:
            return False
        return True

    def close(self) -> None:
        """Close socket and context."""
        self.socket.close()
        self._context.term()
