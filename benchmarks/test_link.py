"""PING to completion over tcp loopback, beside a raw ZeroMQ round trip on the same machine."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import zmq

from examples.session import Session
from icd import link, reports, telecommand, telemetry
from icd.link import Kind, LinkMessage
from icd.reports import Service, Stage
from icd.telecommand import Ack

ROUNDS, WARM_UP = 3000, 200
WINDOW = 1 << 24


class RawStation:
    """The least that a station can be: a DEALER that pings and waits for completion."""

    def __init__(self, endpoint: str, key: bytes, payload_id: int) -> None:
        self._key, self._payload_id = key, payload_id
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.connect(endpoint)
        self._sequence = self._count = 0
        self._send(Kind.HEARTBEAT, link.HEARTBEAT.pack(1, 0, WINDOW))
        self._socket.recv()

    def ping(self) -> None:
        """Send a ping that asks for its completion only, and wait for that."""
        self._count += 1
        if self._count % 100 == 0:
            self._send(Kind.HEARTBEAT, link.HEARTBEAT.pack(1, 0, WINDOW))
        self._send(
            Kind.TELECOMMAND,
            telecommand.build(
                1, self._count, Service.TEST, reports.PING, source=1, ack=Ack.COMPLETION
            ),
        )
        while True:
            octets = self._socket.recv()
            packet = octets[link.HEADER.size :]
            is_verification = octets[1] == Kind.TELEMETRY and packet[7] == Service.VERIFICATION
            if is_verification and packet[8] == Stage.COMPLETED:
                telemetry.parse(packet)
                return

    def close(self) -> None:
        self._socket.close()
        self._context.term()

    def _send(self, kind: Kind, body: bytes) -> None:
        self._sequence += 1
        message = LinkMessage(kind, self._payload_id, 1, self._sequence, body)
        self._socket.send(link.pack(message, self._key))


@pytest.fixture(scope="module")
def station() -> Iterator[RawStation]:
    with Session() as session:
        ready = session.start_payload()
        keys = json.loads((session.state / "keys.json").read_text())["slots"]
        made = RawStation(ready["endpoint"], bytes.fromhex(keys["1"]), ready["payload_id"])
        yield made
        made.close()


ECHO = """
import zmq
router = zmq.Context().socket(zmq.ROUTER)
print(router.bind_to_random_port("tcp://127.0.0.1"), flush=True)
while True:
    router.send_multipart(router.recv_multipart())
"""


@pytest.fixture
def echo() -> Iterator[Callable[[], Any]]:
    """A raw round trip of 100 octets: a DEALER here, a ROUTER in another process."""
    with subprocess.Popen([sys.executable, "-c", ECHO], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        context = zmq.Context()
        dealer = context.socket(zmq.DEALER)
        dealer.connect(f"tcp://127.0.0.1:{port}")

        def round_trip() -> bytes:
            dealer.send(bytes(100))
            return dealer.recv()

        yield round_trip
        dealer.close(linger=0)
        context.term()
        process.kill()


@pytest.mark.benchmark(group="round trip")
def test_ping_to_completion(
    benchmark: Any, station: RawStation, echo: Callable[[], Any], goal: Any
) -> None:
    """A ping and a raw round trip in turn, so that both meet the same machine."""
    raw: list[float] = []

    def beside() -> None:
        began = time.perf_counter()
        echo()
        raw.append(time.perf_counter() - began)

    benchmark.pedantic(station.ping, setup=beside, rounds=ROUNDS, warmup_rounds=WARM_UP)
    pings = sorted(benchmark.stats.stats.data)
    ratio = statistics.median(pings) / statistics.median(raw)
    goal("PING to completion over a raw round trip, p50", ratio, at_most=5)
    benchmark.extra_info["raw_p50_us"] = statistics.median(raw) * 1e6
    benchmark.extra_info["ping_p50_us"] = statistics.median(pings) * 1e6
    benchmark.extra_info["ping_p99_us"] = pings[int(len(pings) * 0.99)] * 1e6
    print({k: v for k, v in benchmark.extra_info.items() if k.endswith("_us")})
