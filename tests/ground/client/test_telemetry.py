"""Values, events and subscriptions, anchored on cursors."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from ground.client.client import Client, connect
from ground.client.client_async import connect_async
from ground.errors import CommandRefused, GroundError, TimedOut
from ground.server.config import ServerConfig
from icd import telemetry
from icd.dictionary import Dictionary
from tests.ground.conftest import RunningServer
from tests.ground.support.dictionaries import BOARD
from tests.ground.support.fake_payload import NOW, FakePayload

GOOD = (10.0, 20.0, 1, 0, True)


@pytest.mark.verifies("VA-GND-01")
def test_current_values_have_units_labels_limits_and_validity(
    client: Client, payload: FakePayload
) -> None:
    payload.do(lambda: payload.housekeeping(450.0, 20.0, 5, 1, False))
    client.wait_value("board.uptime", 5, after=0)
    values = client.values("board")
    power = values["board.power"]
    assert (power.value, power.unit, power.limit, power.validity) == (450.0, "W", "high", "valid")
    assert (values["board.state"].raw, values["board.state"].value) == (1, "BUSY")
    assert power.time_ns == pytest.approx(NOW, abs=60)


@pytest.mark.verifies("VA-GND-06")
def test_a_wait_for_a_value_sees_only_what_comes_after_its_anchor(
    client: Client, payload: FakePayload
) -> None:
    payload.do(lambda: payload.housekeeping(*GOOD))
    first = client.wait_value("board.uptime", 1, after=0)
    with pytest.raises(TimedOut, match=r"board\.uptime was not == 1 within 0.1 s"):
        client.wait_value("board.uptime", 1, after=first.cursor, timeout_s=0.1)
    payload.do(lambda: payload.housekeeping(*GOOD))
    assert client.wait_value("board.uptime", 1, after=first.cursor).cursor > first.cursor


@pytest.mark.verifies("VA-GND-06")
def test_a_wait_without_an_anchor_begins_now(client: Client, payload: FakePayload) -> None:
    payload.do(lambda: payload.housekeeping(*GOOD))
    client.wait_value("board.uptime", 1, after=0)
    with pytest.raises(TimedOut, match="it never came"):
        client.wait_value("board.uptime", 1, timeout_s=0.1)


def test_a_value_may_be_compared_or_tested_by_a_function(
    client: Client, payload: FakePayload
) -> None:
    payload.do(lambda: payload.housekeeping(*GOOD))
    assert client.wait_value("board.power", 5, comparison=">", after=0).value == 10.0
    assert client.wait_value("board.power", lambda watts: watts < 11, after=0).value == 10.0
    with pytest.raises(ValueError, match="give one of =="):
        client.wait_value("board.power", 5, comparison="=>", after=0)


def test_a_wrong_component_or_field_is_answered_with_the_known_ones(
    client: Client, payload: FakePayload
) -> None:
    with pytest.raises(GroundError, match="did you mean 'board'"):
        client.values("bord")
    payload.do(lambda: payload.housekeeping(*GOOD))
    with pytest.raises(TimedOut, match=r"no housekeeping field board\.powr; there are board"):
        client.wait_value("board.powr", 1, after=0)


@pytest.mark.verifies("VA-GND-06")
def test_an_event_is_expected_by_name_and_arguments_after_a_cursor(
    client: Client, payload: FakePayload
) -> None:
    payload.do(lambda: payload.event("jobs.job_done", 7))
    first = client.expect_event("jobs.job_done", where={"job": 7}, after=0)
    assert first.text == "job 7 is done"
    cursor = client.cursor()
    payload.do(lambda: payload.event("jobs.job_done", 8))
    payload.do(lambda: payload.event("jobs.job_done", 7))
    second = client.expect_event("jobs.job_done", where={"job": 7}, after=cursor)
    assert second.cursor > first.cursor
    with pytest.raises(TimedOut, match=r"no event jobs\.job_done"):
        client.expect_event("jobs.job_done", where={"job": 9}, after=0, timeout_s=0.05)


def test_events_are_listed_by_severity_in_order(client: Client, payload: FakePayload) -> None:
    payload.do(lambda: payload.event("board.hot", 3, 95.0, 7))
    payload.do(lambda: payload.event("jobs.job_done", 1))
    client.expect_event("jobs.job_done", after=0)
    assert [e.name for e in client.events()] == ["board.hot", "jobs.job_done"]
    assert [e.severity for e in client.events(severity=4)] == [4]


@pytest.mark.verifies("VA-GND-03")
def test_gaps_in_packets_are_counted_by_apid(client: Client, payload: FakePayload) -> None:
    def lose() -> None:
        payload.housekeeping(*GOOD)
        payload._counts[4] += 3
        payload.housekeeping(10.0, 20.0, 2, 0, True)

    payload.do(lose)
    client.wait_value("board.uptime", 2, after=0)
    status = client.status()["payloads"][0]
    assert (status["missing"], status["gaps"]["4"]["gaps"]) == (3, 1)


def test_lost_link_messages_are_counted(client: Client, payload: FakePayload) -> None:
    def lose() -> None:
        payload._stations[1][1] += 5
        payload.housekeeping(*GOOD)

    payload.do(lose)
    client.wait_value("board.uptime", 1, after=0)
    assert client.status()["payloads"][0]["link"]["lost"] == 5


@pytest.mark.verifies("VA-GND-01")
def test_an_unknown_dictionary_leaves_ping_and_says_what_to_do(
    configure: Callable[..., ServerConfig],
) -> None:
    payload = FakePayload(dictionary=Dictionary((BOARD,)))
    running = RunningServer(configure(payload))
    try:
        with connect(running.config.state) as client:
            assert running.server is not None
            while running.server.payloads["lab1"].identity is None:
                client.events(client.cursor(), wait_s=0.05)
            assert client.ping().ok
            payload.do(lambda: payload.housekeeping(*GOOD))
            with pytest.raises(CommandRefused, match="start the server with --dictionary FILE"):
                client.cmd("board.set_level", level=100)
            assert client.ping().ok
            status = client.status()["payloads"][0]
            assert status["qualities"] == {"undecoded": 1}
            assert not status["has_dictionary"]
    finally:
        running.close()
        payload.close()


def test_a_dictionary_given_once_is_known_for_ever(
    configure: Callable[..., ServerConfig], payload: FakePayload
) -> None:
    RunningServer(configure(payload)).close()
    again = RunningServer(configure(payload, dictionaries=()))
    try:
        with connect(again.config.state) as client:
            assert client.dictionary(wait_s=5.0).wire_hash == payload.dictionary.wire_hash
    finally:
        again.close()


def test_subscribers_are_pushed_events_and_commands(client: Client, payload: FakePayload) -> None:
    client.subscribe("event", "command")
    payload.do(lambda: payload.event("jobs.job_done", 3))
    client.ping()
    seen: list[tuple[str, str]] = []
    while ("lab1", "event") not in seen or ("lab1", "command") not in seen:
        seen += [(name, topic) for name, topic, _ in client.stream(5.0)]
    assert client.dropped == 0


def test_a_subscriber_that_is_gone_is_forgotten(client: Client, server: RunningServer) -> None:
    with connect(server.config.state) as other:
        other.subscribe("event", "command")
    for _ in range(100):  # each ping is news for subscribers
        client.ping()
        if client.status()["api"]["subscribers"] == 0:
            break
    assert client.status()["api"]["subscribers"] == 0


@pytest.mark.verifies("VA-GND-07")
def test_a_slow_subscriber_loses_the_oldest_and_is_told(
    client: Client, server: RunningServer
) -> None:
    client.subscribe("event")
    assert server.loop is not None
    assert server.server is not None
    publish = server.server.publish

    def flood() -> None:
        for number in range(2500):
            publish("lab1", "event", number)

    server.loop.call_soon_threadsafe(flood)
    items = client.stream(5.0)
    assert (len(items), items[0][2], client.dropped) == (2000, 500, 500)


def test_the_async_client_has_many_calls_under_way(state: Path, server: RunningServer) -> None:
    async def fly() -> None:
        async with await connect_async(state) as client:
            await client.dictionary(wait_s=5.0)
            results = await asyncio.gather(*(client.ping() for _ in range(20)))
            assert all(result.ok for result in results)
            assert len(await client.history()) == 20

    assert server.server is not None
    asyncio.run(fly())


def test_any_telemetry_body_leaves_the_server_answering(
    client: Client, payload: FakePayload
) -> None:
    def noise() -> None:
        for service in (1, 3, 5, 8, 9, 17, 20, 130):
            for subtype in (1, 2, 5, 7, 25, 129):
                for body in (b"", b"\0", b"\0\1", bytes(40)):
                    payload.raw(telemetry.build(4, 0, service, subtype, body, NOW))

    payload.do(noise)
    assert client.ping().ok


def test_parameters_are_asked_for_and_set_by_name(client: Client, payload: FakePayload) -> None:
    values = client.parameters("board")
    assert (values["board.period"].value, values["board.period"].unit) == (1.5, "s")
    assert values["board.depth"].value == 4
    client.cmd("board.set", depth=7)
    assert payload.taken[-1] == ("20,3", (b"\1\0\1\7",))
