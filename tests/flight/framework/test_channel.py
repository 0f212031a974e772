"""The packet channel between processes: bounded, whole packets, a visible end."""

from __future__ import annotations

import os
import select
from collections.abc import Iterator

import msgpack
import pytest

from flight.framework.channel import MAX_PACKET, Channel, pair


@pytest.fixture
def ends() -> Iterator[tuple[Channel, Channel]]:
    one, other = (Channel(end) for end in pair())
    yield one, other
    one.close()
    other.close()


def send_raw(channel: Channel, packet: bytes) -> None:
    os.write(channel.fileno(), packet)


def test_a_message_arrives_whole_with_epoch_and_sequence(ends: tuple[Channel, Channel]) -> None:
    one, other = ends
    one.epoch = 7
    assert one.send("write", {"id": 1, "data": b"\x00\xff"})
    assert one.send("beat", {})
    first, second = other.receive()
    assert first == (7, 0, "write", {"id": 1, "data": b"\x00\xff"})
    assert second.sequence == 1


@pytest.mark.verifies("VA-EXE-04")
def test_a_full_queue_refuses_and_counts_and_takes_again_when_read(
    ends: tuple[Channel, Channel],
) -> None:
    one, other = ends
    sent = 0
    while one.send("data", {"data": bytes(30_000)}):
        sent += 1
    assert sent >= 2
    assert one.dropped == 1
    assert len(other.receive(limit=1000)) == sent
    assert one.send("beat", {})


def test_a_packet_over_the_limit_is_the_callers_mistake(ends: tuple[Channel, Channel]) -> None:
    with pytest.raises(ValueError, match="send it in pieces"):
        ends[0].send("data", {"data": bytes(MAX_PACKET)})


@pytest.mark.verifies("VA-SEC-05")
@pytest.mark.parametrize(
    "packet",
    [
        b"\xc1",
        b"not msgpack at all",
        msgpack.packb([1, 0, 0, "beat"]),
        msgpack.packb([2, 0, 0, "beat", {}]),
        msgpack.packb([1, "0", 0, "beat", {}]),
        msgpack.packb([1, True, 0, "beat", {}]),
        msgpack.packb([1, 0, 0, 5, {}]),
        msgpack.packb([1, 0, 0, "beat", []]),
        msgpack.packb([1, 0, 0, "beat", {b"key": 1}]),
        msgpack.packb([1, 0, 0, "beat", {}]) + b"\x00",
        msgpack.packb({1: 2}),
        b"\x91" * 5000,
        b"\xdd\xff\xff\xff\xff",
        bytes(MAX_PACKET + 1),
    ],
)
def test_a_malformed_packet_is_counted_and_the_next_one_arrives(
    ends: tuple[Channel, Channel], packet: bytes
) -> None:
    one, other = ends
    send_raw(one, packet)
    one.send("beat", {})
    assert [message.kind for message in other.receive()] == ["beat"]
    assert other.malformed == 1


def test_what_the_peer_sent_before_its_end_is_still_read(ends: tuple[Channel, Channel]) -> None:
    one, other = ends
    one.send("last", {})
    one.close()
    assert not other.send("too late", {})
    assert [message.kind for message in other.receive(limit=1)] == ["last"]
    assert not other.closed
    assert other.receive() == []
    assert other.closed


def test_the_end_of_the_peer_wakes_a_poll(ends: tuple[Channel, Channel]) -> None:
    one, other = ends
    poll = select.poll()
    poll.register(other, select.POLLIN)
    assert poll.poll(0) == []
    one.close()
    assert poll.poll(1000)


@pytest.mark.verifies("VA-SUP-07")
def test_a_restarted_reader_discards_answers_to_its_predecessor() -> None:
    mine, theirs = pair()
    with mine, theirs:
        reader, writer = Channel(mine, epoch=4, only_epoch=True), Channel(theirs, epoch=3)
        writer.send("done", {"id": 1})
        writer.send("done", {"id": 2}, epoch=4)
        assert [message.body["id"] for message in reader.receive()] == [2]
        assert reader.foreign == 1


def test_an_inherited_descriptor_becomes_a_channel() -> None:
    mine, theirs = pair()
    with mine:
        channel = Channel.from_fd(theirs.detach(), epoch=1)
        channel.send("hello", {})
        assert Channel(mine).receive()[0].kind == "hello"
        channel.close()
    assert channel.receive() == []
    assert not channel.send("beat", {})
