"""The ZeroMQ end of the link: stations register by heartbeat, and none holds up another."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
import zmq

from flight.link.zmq_link import ZmqLink
from icd import link, telemetry
from icd.link import Kind, LinkMessage
from tests.flight.link.test_ground_link import KEYS, PAYLOAD
from tests.flight.link.test_ground_link import Station as Ends
from tests.flight.support.small_executive import START


class Payload:
    """A station link on a free port, with stations that connect to it."""

    def __init__(self) -> None:
        self.ends = Ends()
        self.link = ZmqLink("tcp://127.0.0.1:*", self.ends.downlink, lambda: START)
        self.ends.link.answer = self.link.answer
        self._context = zmq.Context()
        self._sockets: list[zmq.Socket[bytes]] = []
        self._sequence = 0

    def connect(self) -> zmq.Socket[bytes]:
        station = self._context.socket(zmq.DEALER)
        station.linger = 0
        station.ipv6 = True
        station.connect(self.link.endpoint)
        self._sockets.append(station)
        return station

    def send(self, socket: zmq.Socket[bytes], kind: Kind, body: bytes, slot: int = 1) -> None:
        """Send one message, and let the payload take it."""
        self._sequence += 1
        message = LinkMessage(kind, PAYLOAD, slot, self._sequence, body)
        socket.send(link.pack(message, KEYS[slot]))
        assert self.link.socket.poll(10_000)
        self.link.receive(self.ends.link)

    def beat(self, socket: zmq.Socket[bytes], station: int = 1, received: int = 0) -> None:
        self.send(socket, Kind.HEARTBEAT, link.HEARTBEAT.pack(station, received, 100), station)

    def close(self) -> None:
        for station in self._sockets:
            station.close()
        self.link.close()
        self._context.term()


@pytest.fixture
def payload() -> Iterator[Payload]:
    payload = Payload()
    yield payload
    payload.close()


def receive(socket: zmq.Socket[bytes]) -> LinkMessage:
    assert socket.poll(10_000), "nothing arrived"
    return link.unpack(socket.recv())[0]


@pytest.mark.verifies("VA-LINK-08")
def test_it_is_bound_to_the_loopback_interface_on_a_free_port(payload: Payload) -> None:
    assert payload.link.endpoint.startswith("tcp://127.0.0.1:")
    assert int(payload.link.endpoint.rpartition(":")[2]) > 0


@pytest.mark.verifies("VA-LINK-07")
def test_a_heartbeat_is_answered_and_telemetry_follows(payload: Payload) -> None:
    socket = payload.connect()
    payload.ends.downlink.housekeeping(2, b"\xaa")
    payload.beat(socket)
    assert receive(socket).kind is Kind.IDENTITY
    payload.link.flush()
    message = receive(socket)
    assert (message.kind, message.sequence) == (Kind.TELEMETRY, 1)
    assert telemetry.parse(message.body).data == b"\0\1\xaa"


def test_messages_of_several_parts_are_counted_as_malformed(payload: Payload) -> None:
    socket = payload.connect()
    socket.send_multipart([b"one", b"two"])
    assert payload.link.socket.poll(10_000)
    payload.link.receive(payload.ends.link)
    assert payload.ends.craft.handler.hk.frames_rejected == 1


@pytest.mark.verifies("VA-LINK-06")
def test_a_station_that_went_away_does_not_hold_up_another(payload: Payload) -> None:
    gone, there = payload.connect(), payload.connect()
    payload.beat(gone, 1)
    payload.beat(there, 2)
    payload.ends.downlink.stations[1].routing = b"nobody"  # as after its connection broke
    for number in range(3):
        payload.ends.downlink.report(6, number, b"", None)
    payload.link.flush()
    assert receive(there).kind is Kind.IDENTITY
    assert [receive(there).sequence for _ in range(3)] == [1, 2, 3]
    waiting = payload.ends.downlink.stations[1]
    assert (len(waiting.queue), waiting.sent) == (3, 0)
    payload.beat(gone, 1)  # it comes back, and nothing was lost
    payload.link.flush()
    assert [receive(gone).kind for _ in range(5)][-3:] == [Kind.TELEMETRY] * 3


def test_a_restarted_one_is_found_at_its_old_endpoint(payload: Payload) -> None:
    old = payload.link.endpoint
    payload.link.close()
    payload.link = ZmqLink("tcp://127.0.0.1:*", payload.ends.downlink, lambda: START, old)
    assert payload.link.endpoint == old


def test_an_old_endpoint_that_is_taken_gives_way_to_a_free_one(payload: Payload) -> None:
    taken = payload.link.endpoint
    other = ZmqLink("tcp://127.0.0.1:*", payload.ends.downlink, lambda: START, taken)
    assert other.endpoint != taken
    other.close()


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as trial:
            trial.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.skipif(not has_ipv6(), reason="this computer has no IPv6 loopback address")
def test_a_station_reaches_a_payload_by_ipv6(payload: Payload) -> None:
    payload.link.close()
    payload.link = ZmqLink("tcp://[::1]:*", payload.ends.downlink, lambda: START)
    payload.ends.link.answer = payload.link.answer
    assert payload.link.endpoint.startswith("tcp://[::1]:")
    payload.beat(payload.connect())
    old = payload.link.endpoint
    payload.link.close()
    payload.link = ZmqLink("tcp://[::1]:*", payload.ends.downlink, lambda: START, old)
    assert payload.link.endpoint == old
