"""Decode rate, ingest rate with archive, and ping through the server, on this machine.

Run with `make bench`, or `pytest benchmarks/test_ground.py`. The figures of the last run are in
docs/ground.md. Two of them have bars: decoding 200,000 packets/s, ingesting 100,000.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from pathlib import Path
from typing import Any

import pytest
import zmq

from ground.server import archive_queries
from ground.server.config import PayloadConfig, ServerConfig
from ground.server.decode import Decoder
from ground.server.server import GroundServer
from icd import identity, link, reports, telemetry
from icd.codec import Codec
from icd.dictionary import ComponentDictionary, Dictionary
from icd.fields import Field
from icd.identity import Identity
from icd.link import Heartbeat, Kind, LinkMessage

CODES = "BHIQfdBHIfffHHIBBfff"
LIMITED = 6
FIELDS = tuple(
    Field(f"f{i}", code, low=0.0, high=1e9) if i < LIMITED else Field(f"f{i}", code)
    for i, code in enumerate(CODES)
)
DICTIONARY = Dictionary((ComponentDictionary("board", 4, "Board", "x", housekeeping=FIELDS),))
PACKETS = 200_000


def packet(count: int = 0) -> bytes:
    """Twenty fields, six of them limited."""
    body = reports.housekeeping(Codec(FIELDS).pack([1] * len(FIELDS)))
    return telemetry.build(4, count, 3, reports.HK_REPORT, body, 2 * 10**18)


def test_decode_with_limits(benchmark: Any, goal: Any) -> None:
    """Check, decode and limit-check one 92-octet housekeeping packet of 20 fields."""
    decode, octets = Decoder(DICTIONARY).decode, packet()
    assert decode(octets).is_within

    def thousand() -> None:
        for _ in range(1000):
            decode(octets)

    benchmark(thousand)
    rate = 1000 / benchmark.stats.stats.min
    benchmark.extra_info["packets_per_s"] = round(rate)
    goal("decode with limits", rate, at_least=200_000, unit="packets/s")


def test_ingest_with_archive(
    tmp_path_factory: pytest.TempPathFactory, benchmark: Any, goal: Any
) -> None:
    """Packets from another process over tcp, through link, decoder and archive, none lost."""
    state = tmp_path_factory.mktemp("g")
    rates = benchmark.pedantic(lambda: asyncio.run(_ingest(state)), rounds=3, iterations=1)
    benchmark.extra_info["packets_per_s"] = rates
    goal("ingest with archive", rates, at_least=100_000, unit="packets/s")


async def _ingest(state: Path) -> int:
    parent, child = multiprocessing.get_context("spawn").Pipe()
    sender = multiprocessing.get_context("spawn").Process(target=_send, args=(child, PACKETS))
    sender.start()
    try:
        endpoint = await asyncio.to_thread(parent.recv)
        dictionary = state / "dictionary.json"
        dictionary.write_text(DICTIONARY.to_json())
        lab = PayloadConfig("lab", endpoint)
        server = GroundServer(ServerConfig(state, (lab,), (dictionary,), insecure=True))
        try:
            server.start()
            payload = server.payloads["lab"]
            before, dropped = server.archive.state.written, server.archive.state.dropped
            arrived = payload.changed.wait_for(lambda: payload.packets >= 1, 10.0)
            assert await arrived
            start, first = time.perf_counter(), payload.packets
            assert await payload.changed.wait_for(lambda: payload.packets >= PACKETS, 60.0)
            await asyncio.to_thread(server.archive.flush, 60.0)
            seconds = time.perf_counter() - start
            assert payload.link is not None
            assert (payload.link.counts.lost, payload.gaps.missing) == (0, 0)
            assert server.archive.state.dropped == dropped
            assert server.archive.state.written - before >= PACKETS
            return round((PACKETS - first) / seconds)
        finally:
            await server.finish()
    finally:
        sender.terminate()
        await asyncio.to_thread(sender.join, 10.0)


def _send(pipe: Any, packets: int) -> None:
    """A payload that does nothing but send, as its credit allows, until it is terminated."""
    context = zmq.Context()
    socket = context.socket(zmq.ROUTER)
    socket.setsockopt(zmq.SNDHWM, 20_000)
    port = socket.bind_to_random_port("tcp://127.0.0.1")
    pipe.send(f"tcp://127.0.0.1:{port}")
    who = Identity(1, 1, "bench", DICTIONARY.wire_hash, DICTIONARY.text_hash)
    hello = link.pack(LinkMessage(Kind.IDENTITY, 1, 0, 0, identity.build(who, 0)))
    bodies = [packet(count) for count in range(1 << 14)]
    sent, allowed, routing = 0, 0, b""
    while True:
        if socket.poll(0 if sent < min(allowed, packets) else 5000):
            routing, octets = socket.recv_multipart()
            beat = Heartbeat(*link.HEARTBEAT.unpack(link.unpack(octets)[0].body))
            allowed = beat.received + beat.window
            socket.send_multipart([routing, hello])
        for _ in range(min(256, allowed - sent, packets - sent)):
            sent += 1
            head = link.HEADER.pack(link.VERSION, Kind.TELEMETRY, 1, 0, sent)
            socket.send_multipart([routing, head + bodies[(sent - 1) & 0x3FFF]])


def test_query_of_archived_packets(tmp_path: Path, benchmark: Any) -> None:
    """Reading archived packets back, as `ground decode` does."""
    from ground.server.archive import PACKETS as TABLE
    from ground.server.archive import Archive

    archive = Archive(tmp_path / "archive.sqlite")
    octets = packet()
    rows = [(10**18 + n, n, 1, 0, 4, 3, 25, n & 0x3FFF, "lab", 0, octets) for n in range(20_000)]
    archive.add(TABLE, rows)
    archive.close()
    read = benchmark(lambda: sum(1 for _ in archive_queries.packets(archive.path)))
    assert read == 20_000
