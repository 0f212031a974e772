"""Telecommands from a client to a payload and back, stage by stage."""

from __future__ import annotations

import pytest

from ground.client.client import Client
from ground.client.results import CommandResult
from ground.errors import CommandFailed, CommandRefused
from icd.reports import Stage
from tests.ground.support.fake_payload import FakePayload


def names(result: CommandResult) -> list[str]:
    return [stage for stage, _ in result.stages]


def test_a_ping_completes_through_all_stages(client: Client, payload: FakePayload) -> None:
    result = client.ping()
    assert names(result) == ["queued", "sent", "accepted", "started", "completed"]
    assert payload.taken == [("17,1", (b"",))]


def test_a_command_arrives_with_its_typed_arguments(client: Client, payload: FakePayload) -> None:
    client.cmd("board.set_state", state="BUSY", hold=True)
    assert payload.taken == [("board.set_state", (1, True))]


def test_results_come_back_by_name(client: Client, payload: FakePayload) -> None:
    payload.handlers["board.measure"] = lambda tc, _: payload.complete(tc, 12.5)
    assert client.cmd("board.measure").result == {"power": 12.5}


@pytest.mark.verifies("VA-GND-02")
def test_a_refused_command_never_reaches_the_payload(client: Client, payload: FakePayload) -> None:
    with pytest.raises(CommandRefused, match="give 16 … 8192 W"):
        client.cmd("board.set_level", level=9)
    assert payload.taken == []


def test_a_failure_raises_with_its_reason_unless_told_not_to(
    client: Client, payload: FakePayload
) -> None:
    payload.handlers["board.measure"] = lambda tc, _: payload.fail(tc, "the sensor is off")
    with pytest.raises(CommandFailed, match="refused: the sensor is off") as failed:
        client.cmd("board.measure")
    assert failed.value.result.state == "failed"
    assert client.cmd("board.measure", check=False).code == 40


def test_every_stage_is_shown_once_and_in_order(client: Client, payload: FakePayload) -> None:
    def walk(tc: object, values: tuple[int, ...]) -> None:
        payload.stages(tc, Stage.ACCEPTED, Stage.STARTED)  # type: ignore[arg-type]
        for step in range(1, values[0] + 1):
            payload.stages(tc, Stage.PROGRESS, step=step)  # type: ignore[arg-type]
        payload.stages(tc, Stage.COMPLETED)  # type: ignore[arg-type]

    payload.handlers["board.walk"] = walk
    shown: list[CommandResult] = []
    result = client.cmd("board.walk", steps=3, on_stage=shown.append)
    assert names(result) == ["queued", "sent", "accepted", "started", *["progress"] * 3,
                             "completed"]  # fmt: skip
    assert shown[-1] == result


def test_silence_is_timed_out_and_a_late_answer_is_still_taken(
    client: Client, payload: FakePayload
) -> None:
    held: list[object] = []
    payload.handlers["board.silent"] = lambda tc, _: held.append(tc)
    result = client.send("board.silent", timeout_s=0.3, check=False)
    while not result.is_settled:
        result = client.history()[-1]
    assert result.state == "timed out"
    assert "no end within 0.3 s; the last stage was 'sent'" in result.reason
    payload.do(lambda: payload.complete(held[0]))  # type: ignore[arg-type]
    client.ping()  # answered after it, by the same queue
    late = next(r for r in client.history() if r.name == "board.silent")
    assert (late.state, late.is_late) == ("completed", True)


def test_waiting_for_acceptance_does_not_wait_for_the_end(
    client: Client, payload: FakePayload
) -> None:
    payload.handlers["board.walk"] = lambda tc, _: payload.stages(tc, Stage.ACCEPTED)
    assert client.cmd("board.walk", steps=1, wait="accepted").state == "accepted"


def test_duplicate_reports_are_counted_and_change_nothing(
    client: Client, payload: FakePayload
) -> None:
    def twice(tc: object, _: object) -> None:
        payload.complete(tc)  # type: ignore[arg-type]
        payload.stages(tc, Stage.COMPLETED)  # type: ignore[arg-type]

    payload.handlers["board.walk"] = twice
    client.cmd("board.walk", steps=1)
    client.ping()
    assert client.history()[0].duplicates == 1
    assert client.status()["payloads"][0]["commands"]["duplicate"] == 1


@pytest.mark.verifies("VA-GND-04")
def test_history_shows_arguments_and_outcome_oldest_first(
    client: Client, payload: FakePayload
) -> None:
    client.cmd("board.set_state", state="LOST", hold=False)
    client.ping()
    listed = client.history()
    assert [(r.name, r.state) for r in listed] == [
        ("board.set_state", "completed"),
        ("ping", "completed"),
    ]
    assert listed[0].arguments == {"state": "LOST", "hold": False}
    assert len(client.history(limit=1)) == 1
    assert payload.rejected == {}
