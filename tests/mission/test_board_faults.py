"""What the world does to the board, and how it shows on ground."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator

import pytest

from examples.session import Session
from ground.client.client import Client
from ground.client.results import Value
from tests.mission.conftest import cleanly, start
from tests.mission.watching import await_job, command_again, inject, until

pytestmark = [pytest.mark.control, pytest.mark.xdist_group("board faults")]
VALID, STALE, ERROR, LOST = 0, 1, 3, 5
Measured = Callable[[str, float], None]


@pytest.fixture(scope="module")
def own() -> Iterator[Session]:
    """A payload on an emulated board to do harm to."""
    with cleanly("emulated-h100") as session:
        start(session)
        yield session


@pytest.fixture(scope="module")
def flown(own: Session) -> Iterator[Client]:
    """Its client, once the board is read."""
    with own.start_ground() as client:
        client.send("board.set", {"stale_s": 2.0})
        client.send("watchdog.set", {"silence_s": 2.0, "period_s": 0.5})
        client.send("jobs.set", {"back_off_s": 0.1})
        client.wait_value("board.power_w", lambda watts: watts > 0, timeout_s=90)
        yield client


def _housekeeping(payload: Client) -> dict[str, Value]:
    """What the board monitor says now."""
    cursor = payload.cursor()
    payload.send("board.hk_now")
    return payload.values("board", after=cursor, wait_s=5.0)


def _validity(payload: Client, wanted: int, timeout_s: float = 20.0) -> None:
    until(
        lambda: _housekeeping(payload)["board.validity"].value[0] == wanted,
        timeout_s,
        f"readings of validity {wanted}",
    )


@pytest.mark.verifies("VA-SIM-03", "VA-BRD-01")
def test_an_xid_is_an_event_with_its_number(own: Session, flown: Client) -> None:
    for code, event in ((31, "xid_minor"), (63, "xid_minor"), (62, "xid")):
        cursor = flown.cursor()
        inject(own.run, "xid", str(code))
        came = until(
            lambda at=cursor: [
                e for e in flown.events(at, wait_s=0.5) if e.name.startswith("board.xid")
            ],
            10.0,
            f"an event on XID {code}, such as {event}",
        )
        assert came[0].arguments["code"] == code
    inject(own.run, "restore")  # 62 leaves a GPU that computes nothing before it is reset


@pytest.mark.verifies("VA-SIM-03", "VA-TLM-02", "VA-JOB-03")
def test_a_lost_gpu_is_an_event_its_readings_read_lost_and_its_job_does_not_end_well(
    own: Session, flown: Client
) -> None:
    settings = {"size": 96, "repeats": 1_000_000}
    job = flown.submit("matmul", settings).result["job"]
    await_job(flown, job, lambda row: row["phase"] == "RUNNING" and row["step"] > 0)
    cursor = flown.cursor()
    inject(own.run, "lost")
    flown.expect_event("board.device_lost", where={"device": "GPU 0"}, after=cursor, timeout_s=90)
    fatal = flown.expect_event("board.xid_fatal", after=cursor, timeout_s=90)
    assert fatal.arguments["code"] == 79
    retried = flown.expect_event("jobs.job_retried", where={"job": job}, after=cursor, timeout_s=90)
    assert "lost" in retried.arguments["reason"].lower()
    _validity(flown, LOST)
    assert flown.ping().ok
    cursor = flown.cursor()
    inject(own.run, "restore")
    flown.expect_event("board.device_back", where={"device": "GPU 0"}, after=cursor, timeout_s=90)
    _validity(flown, VALID)
    row = next(row for row in flown.jobs(refresh=True) if row["job"] == job)
    if row["phase"] != "FAILED":
        flown.send("jobs.cancel", {"job": job}, check=False)


@pytest.mark.verifies("VA-BRD-05")
def test_a_hot_board_raises_one_warning_until_it_is_cool_again(own: Session, flown: Client) -> None:
    flown.send("board.set", {"calm_s": 0.0})
    cursor = flown.cursor()
    limit = flown.parameters("board")["board.warning_c"].value
    inject(own.run, "temperature", "80")
    flown.expect_event("board.temperature_warning", after=cursor, timeout_s=90)
    for _ in range(3):
        flown.send("board.read_now")
        assert _housekeeping(flown)["board.temperature_c"].value > limit
    inject(own.run, "temperature", "0")
    flown.expect_event("board.temperature_normal", after=cursor, timeout_s=90)
    names = [event.name for event in flown.events(cursor)]
    assert names.count("board.temperature_warning") == 1


@pytest.mark.verifies("VA-BRD-02", "VA-SUP-03")
def test_when_the_driver_hangs_readings_turn_stale_the_server_is_replaced_and_commands_work(
    own: Session, flown: Client, measured: Measured
) -> None:
    first = own.ready()["workers"]["board"]
    cursor, since = flown.cursor(), time.monotonic()
    inject(own.run, "hang")
    flown.expect_event("board.readings_stale", after=cursor, timeout_s=90)
    _validity(flown, STALE)
    flown.expect_event("watchdog.worker_silent", where={"worker": "board"}, after=cursor)
    until(lambda: own.ready()["workers"].get("board", first) != first, 15.0, "a new board server")
    measured("driver hung, until the board server is replaced", time.monotonic() - since)
    slips = flown.cmd("executive.hk_now").cursor
    assert flown.ping().ok
    before = flown.values("executive", after=slips, wait_s=5)["executive.slips"].value
    inject(own.run, "unhang")
    flown.expect_event("board.readings_back", after=cursor, timeout_s=90)
    measured("driver hung, until readings are back after it goes on", time.monotonic() - since)
    _validity(flown, VALID)
    assert before < 20


def _companion(own: Session) -> int:
    return next(
        pid
        for pid, words in own.survivors().items()
        if "-m sim_hw board" in words and str(own.run) in words
    )


@pytest.mark.verifies("VA-BRD-17")
def test_an_emulator_that_is_stopped_gives_no_values_and_both_are_told(
    own: Session, flown: Client
) -> None:
    cursor = flown.cursor()
    os.kill(_companion(own), signal.SIGSTOP)
    try:
        mute = flown.expect_event("board.device_mute", after=cursor, timeout_s=90)
        assert mute.arguments["device"] == "GPU 0"
        assert "Timeout" in mute.arguments["reason"]
        _validity(flown, ERROR)
    finally:
        os.kill(_companion(own), signal.SIGCONT)
    flown.expect_event("board.device_answers", after=cursor, timeout_s=90)
    _validity(flown, VALID)


@pytest.mark.verifies("VA-BRD-14")
def test_an_xid_while_no_executive_runs_is_told_once_by_the_next_one(
    own: Session, flown: Client
) -> None:
    for code in (63, 121):
        cursor = flown.cursor()
        killed = own.kill_executive()
        inject(own.run, "xid", str(code))
        own.ready(after_pid=killed)
        told = flown.expect_event("board.xid_minor", after=cursor, timeout_s=90)
        assert told.arguments["code"] == code
        killed = own.kill_executive()  # one that knows that it was told
        own.ready(after_pid=killed)
        command_again(flown, time.monotonic())
        assert flown.ping().ok
        found = [e for e in flown.events(cursor) if e.name == "board.xid_minor"]
        assert [event.arguments["code"] for event in found] == [code]
        housekeeping = _housekeeping(flown)
        assert housekeeping["board.faults_lost"].value == 0
