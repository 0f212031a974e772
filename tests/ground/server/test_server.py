"""The server: two payloads, restarts, one server a folder, and configurations it cannot serve."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import msgpack
import pytest
import zmq

from ground.client.client import Client, connect
from ground.errors import ConfigurationError, GroundError, NoServer
from ground.server.config import PayloadConfig, ServerConfig, key_of, parse_payload
from ground.server.server import GroundServer
from tests.ground.conftest import RunningServer, write_keys
from tests.ground.support.fake_payload import FakePayload


@pytest.fixture
def two(configure: Callable[..., ServerConfig]) -> Iterator[tuple[FakePayload, FakePayload]]:
    one, other = FakePayload(1), FakePayload(7)
    running = RunningServer(configure(one, other))
    yield one, other
    running.close()
    one.close()
    other.close()


@pytest.mark.verifies("VA-GND-05")
def test_two_payloads_are_told_apart(two: tuple[FakePayload, FakePayload], state: Path) -> None:
    one, other = two
    with connect(state, "lab7") as client:
        client.dictionary(wait_s=5.0)
        client.cmd("board.set_level", level=100)
        other.do(lambda: other.event("jobs.job_done", 4))
        client.expect_event("jobs.job_done", after=0)
        assert client.values() == {}
    with connect(state, "lab1") as client:
        client.dictionary(wait_s=5.0)
        one.do(lambda: one.housekeeping(1.0, 2.0, 3, 0, True))
        client.wait_value("board.uptime", 3, after=0)
        assert client.events() == []
        assert client.history() == []
    assert (one.taken, other.taken) == ([], [("board.set_level", (100,))])


def test_which_payload_must_be_said_when_there_are_several(
    two: tuple[FakePayload, FakePayload], state: Path
) -> None:
    assert two
    with connect(state) as client, pytest.raises(GroundError, match="give --payload: lab1, lab7"):
        client.ping()
    with connect(state, "lab77") as client, pytest.raises(GroundError, match="did you mean 'lab7'"):
        client.ping()


@pytest.mark.verifies("VA-GND-04")
def test_history_events_and_cursors_go_on_after_a_restart(
    configure: Callable[..., ServerConfig], payload: FakePayload, state: Path
) -> None:
    first = RunningServer(configure(payload))
    with connect(state) as client:
        client.dictionary(wait_s=5.0)
        before = client.ping()
        payload.do(lambda: payload.event("jobs.job_done", 4))
        event = client.expect_event("jobs.job_done", after=0)
    first.close()
    second = RunningServer(configure(payload))
    with connect(state) as client:
        client.dictionary(wait_s=5.0)
        after = client.ping()
        assert after.id > before.id
        assert after.cursor > event.cursor
        assert [r.id for r in client.history()] == [before.id, after.id]
        assert [e.cursor for e in client.events()] == [event.cursor]
        assert client.expect_event("jobs.job_done", after=0).arguments == {"job": 4}
    second.close()


def test_a_command_under_way_is_followed_over_a_restart(
    configure: Callable[..., ServerConfig], payload: FakePayload, state: Path
) -> None:
    held: list[object] = []
    payload.handlers["board.walk"] = lambda tc, _: held.append(tc)
    first = RunningServer(configure(payload))
    with connect(state) as client:
        client.dictionary(wait_s=5.0)
        client.cmd("board.walk", steps=1, wait="sent")
        client.ping()
    first.close()
    second = RunningServer(configure(payload))
    with connect(state) as client:
        client.dictionary(wait_s=5.0)
        payload.do(lambda: payload.complete(held[0]))  # type: ignore[arg-type]
        client.ping()
        walk = next(r for r in client.history() if r.name == "board.walk")
        assert walk.state == "completed"
    second.close()


def test_a_client_outlives_a_restart_of_the_server(
    configure: Callable[..., ServerConfig], payload: FakePayload, state: Path
) -> None:
    first = RunningServer(configure(payload))
    with connect(state) as client:
        client.dictionary(wait_s=5.0)
        first.close()
        second = RunningServer(configure(payload))
        client.dictionary(wait_s=5.0)
        assert client.ping().ok
        second.close()


def test_requests_that_make_no_sense_are_counted_or_answered(
    client: Client, server: RunningServer
) -> None:
    with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
        socket.setsockopt(zmq.LINGER, 0)
        socket.connect(client.endpoint)
        for octets in (b"", b"\xc1", msgpack.packb([1]), msgpack.packb({"id": 1, "method": 5})):
            socket.send(octets)
        for number, method, args in (
            (1, "sned", {}),
            (2, "send", {"nam": "ping"}),
            (3, "send", {"name": "ping", "wait": "ended"}),
            (4, "values", {"payload": 5}),
            (5, "subscribe", {"topics": 7}),
        ):
            socket.send(msgpack.packb({"id": number, "method": method, "args": args}))
        answers = {}
        while len(answers) < 5:
            assert socket.poll(5000)
            answer = msgpack.unpackb(socket.recv())
            answers[answer["id"]] = answer["message"]
    assert "did you mean 'send'" in answers[1]
    assert "nam" in answers[2]
    assert "give one of sent, accepted, started, completed" in answers[3]
    assert "no payload" in answers[4]
    assert "topics" in answers[5]
    assert client.status()["api"]["malformed"] == 4
    assert server.server is not None


def test_a_state_folder_open_to_others_is_refused_and_left_as_it_is(
    configure: Callable[..., ServerConfig], payload: FakePayload, tmp_path: Path
) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    with pytest.raises(ConfigurationError, match=r"chmod 700 .*shared"):
        GroundServer(configure(payload, state=shared))
    assert stat.S_IMODE(shared.stat().st_mode) == 0o777


def test_the_state_folder_is_private(server: RunningServer, state: Path) -> None:
    assert server.config.state == state
    assert stat.S_IMODE(state.stat().st_mode) == 0o700


def test_a_second_server_in_the_same_folder_is_refused(server: RunningServer) -> None:
    with pytest.raises(ConfigurationError, match="another ground server already uses"):
        GroundServer(server.config)


def test_a_closed_server_leaves_no_socket_behind(
    configure: Callable[..., ServerConfig], payload: FakePayload, state: Path
) -> None:
    RunningServer(configure(payload)).close()
    assert not (state / "api").exists()
    with pytest.raises(NoServer, match="start one: ground serve --state"):
        connect(state)


def test_a_state_path_too_long_for_a_socket_is_said() -> None:
    with pytest.raises(ConfigurationError, match="give a shorter --state"):
        ServerConfig(Path("/tmp") / ("x" * 110), (PayloadConfig("lab", "tcp://127.0.0.1:1"),))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("lab", "write NAME=ENDPOINT"),
        ("=tcp://127.0.0.1:1", "write NAME=ENDPOINT"),
        ("lab@x=tcp://127.0.0.1:1", "must be 0 … 65535"),
        ("lab@70000=tcp://127.0.0.1:1", "must be 0 … 65535"),
        ("lab=nowhere", "neither an endpoint such as"),
    ],
)
def test_a_wrong_payload_option_says_what_to_write(text: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        parse_payload(text)


def test_a_payload_is_named_by_endpoint_or_ready_file(tmp_path: Path) -> None:
    ready = tmp_path / "ready.json"
    ready.write_text('{"endpoint": "tcp://127.0.0.1:9", "payload_id": 5}')
    assert parse_payload("lab@7=tcp://127.0.0.1:1") == PayloadConfig("lab", "tcp://127.0.0.1:1", 7)
    assert parse_payload(f"lab={ready}") == PayloadConfig("lab", "tcp://127.0.0.1:9", 5)


def test_keys_are_needed_private_and_whole(tmp_path: Path) -> None:
    lab = PayloadConfig("lab", "tcp://127.0.0.1:1")
    with pytest.raises(ConfigurationError, match="give --keys FILE"):
        key_of(lab, insecure=False)
    assert key_of(lab, insecure=True) == (0, None)
    path = write_keys(tmp_path / "keys.json")
    with pytest.raises(ConfigurationError, match="has no slot 3"):
        key_of(replace(lab, keys=path, key_slot=3), insecure=False)
    path.chmod(0o644)
    with pytest.raises(ConfigurationError, match="write: chmod 600"):
        key_of(replace(lab, keys=path), insecure=False)
    path.chmod(0o600)
    path.write_text('{"slots": {"1": "abcd"}}')
    with pytest.raises(ConfigurationError, match="64 hex digits"):
        key_of(replace(lab, keys=path), insecure=False)
    path.write_text("hello")
    with pytest.raises(ConfigurationError, match="is no keys file"):
        key_of(replace(lab, keys=path), insecure=False)


def test_doubled_names_and_ids_are_refused(tmp_path: Path) -> None:
    lab = PayloadConfig("lab", "tcp://127.0.0.1:1")
    with pytest.raises(ConfigurationError, match="two payloads have the name lab"):
        ServerConfig(tmp_path, (lab, replace(lab, payload_id=2)))
    with pytest.raises(ConfigurationError, match="two payloads have the id 1"):
        ServerConfig(tmp_path, (lab, replace(lab, name="other")))
    with pytest.raises(ConfigurationError, match="no payload; name one"):
        ServerConfig(tmp_path)


def test_an_endpoint_that_is_none_is_said(
    configure: Callable[..., ServerConfig], payload: FakePayload
) -> None:
    config = configure(payload)
    wrong = replace(config.payloads[0], endpoint="tcp://nowhere")
    with pytest.raises(ConfigurationError, match="write tcp://HOST:PORT"):
        RunningServer(replace(config, payloads=(wrong,)))


def test_a_wrong_dictionary_file_is_refused_at_the_start(
    configure: Callable[..., ServerConfig], payload: FakePayload, tmp_path: Path
) -> None:
    path = tmp_path / "wrong.json"
    path.write_text("{}")
    with pytest.raises(ConfigurationError, match="cannot read dictionary"):
        RunningServer(configure(payload, dictionaries=(path,)))


def test_a_client_without_a_server_named_is_told_how(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VANALLEN_GROUND", raising=False)
    with pytest.raises(NoServer, match="set VANALLEN_GROUND=DIR"):
        connect()
    assert "VANALLEN_GROUND" not in os.environ
