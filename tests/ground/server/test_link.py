"""The link: sequence, heartbeats, a payload that restarts, and whatever octets may come."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zmq
from hypothesis import given
from hypothesis import strategies as st

from ground.client.client import Client, connect
from ground.errors import LinkDown
from ground.server.config import ServerConfig
from ground.server.link import LinkSettings, PayloadLink
from ground.server.link_sequence import AHEAD, LinkSequence
from icd import identity, link
from icd.identity import Identity
from icd.link import Kind, LinkMessage
from tests.flight.link.test_zmq_link import has_ipv6
from tests.ground.conftest import RunningServer
from tests.ground.support.fake_payload import FakePayload


def test_a_sequence_goes_on_above_everything_it_ever_gave_out(tmp_path: Path) -> None:
    path = tmp_path / "links" / "one.sequence"
    first = LinkSequence(path, 100)
    given_out = [first.take() for _ in range(3)]
    assert given_out == [100, 101, 102]
    again = LinkSequence(path, 5)
    assert again.take() == 100 + AHEAD


def test_a_sequence_persists_its_ceiling_before_it_is_passed(tmp_path: Path) -> None:
    path = tmp_path / "one.sequence"
    sequence = LinkSequence(path, 0)
    for _ in range(AHEAD + 1):
        assert sequence.take() < int(path.read_text())
    sequence.advance(10 * AHEAD)
    assert sequence.take() < int(path.read_text())


def test_a_lost_state_folder_does_not_bring_old_numbers_back(
    configure: Callable[..., ServerConfig], payload: FakePayload, state: Path
) -> None:
    for _ in range(2):
        running = RunningServer(configure(payload))
        with connect(state) as client:
            client.dictionary(wait_s=5.0)
            assert client.ping().ok
        running.close()
        for path in (state / "links").iterdir():
            path.unlink()
    assert payload.rejected == {}


def test_a_payload_whose_ceiling_is_ahead_is_found_by_skipping(
    configure: Callable[..., ServerConfig], payload: FakePayload, state: Path
) -> None:
    (state / "links").mkdir()
    (state / "links" / "payload-1-slot-1.sequence").write_text("10000")
    payload.do(lambda: setattr(payload, "last_sequence", 11_000))
    running = RunningServer(configure(payload))
    with connect(state) as client:
        client.dictionary(wait_s=5.0)
        assert client.ping().ok
        assert client.status()["payloads"][0]["link"]["skips"] >= 1
    running.close()


@pytest.mark.skipif(not has_ipv6(), reason="this computer has no IPv6 loopback address")
def test_a_payload_is_commanded_by_ipv6(
    configure: Callable[..., ServerConfig], state: Path
) -> None:
    payload = FakePayload(endpoint="tcp://[::1]:*")
    running = RunningServer(configure(payload))
    with connect(state) as client:
        client.dictionary(wait_s=5.0)
        assert client.ping().ok
    running.close()
    payload.close()


def test_a_restarted_payload_is_commanded_again(client: Client, payload: FakePayload) -> None:
    client.ping()
    payload.close()
    again = FakePayload(endpoint=payload.endpoint, boot_count=2, ceiling=payload.last_sequence)
    try:
        boot = 0
        while boot != 2:
            identity_now = client.status()["payloads"][0]["identity"]
            boot = identity_now["boot_count"]
        assert client.ping().ok
        assert client.status()["payloads"][0]["missing"] == 0
    finally:
        again.close()


def test_nothing_is_sent_while_no_payload_answers(client: Client, payload: FakePayload) -> None:
    payload.close()
    while client.status()["payloads"][0]["is_alive"]:
        client.events(client.cursor(), wait_s=0.05)
    result = client.history()
    with pytest.raises(LinkDown, match="nothing was sent"):
        client.ping()
    assert client.history() == result


def _drowned(batches: list[list[bytes]]) -> tuple[PayloadLink, list[bytes]]:
    delivered: list[bytes] = []

    async def take() -> PayloadLink:
        context: zmq.Context[Any] = zmq.Context()
        settings = LinkSettings("x", "tcp://127.0.0.1:1", 1)
        sequence = LinkSequence(Path("no-such-folder/x"), 0)
        one = PayloadLink(context, settings, sequence, delivered.extend, lambda _: None)
        try:
            for batch in batches:
                one.receive(batch)
        finally:
            one.close()
            context.destroy(linger=0)
        return one

    return asyncio.run(take()), delivered


@given(st.lists(st.binary(max_size=60), max_size=20))
def test_random_octets_on_the_link_are_counted_and_never_raise(octets: list[bytes]) -> None:
    one, delivered = _drowned([octets])
    counted = one.counts.telemetry + one.counts.identities + sum(one.counts.rejected.values())
    assert counted == len(octets)
    assert len(delivered) == one.counts.telemetry


@given(
    st.integers(0, 255),
    st.integers(0, 255),
    st.integers(0, 2),
    st.integers(0, 3),
    st.integers(0, 2**64 - 1),
    st.binary(max_size=60),
)
def test_any_header_is_taken_or_counted(
    version: int, kind: int, payload_id: int, slot: int, sequence: int, body: bytes
) -> None:
    octets = link.HEADER.pack(version, kind, payload_id, slot, sequence) + body
    one, delivered = _drowned([[octets]])
    assert len(delivered) + one.counts.identities + sum(one.counts.rejected.values()) == 1


def test_messages_for_other_payloads_are_counted_and_not_taken() -> None:
    who = Identity(2, 1, "x", "00" * 8, "00" * 8)
    alien = link.pack(LinkMessage(Kind.TELEMETRY, 2, 0, 1, b"packet"))
    liar = link.pack(LinkMessage(Kind.IDENTITY, 1, 0, 0, identity.build(who, 0)))
    one, delivered = _drowned([[alien, liar]])
    assert delivered == []
    assert one.counts.rejected == {"other payload": 2}
