"""What a fault of the emulated board leads to, end to end: XID in, job running again out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from examples.session import Session
from flight.recovery.table import XIDS, Level, Wait
from ground.client import Client
from tests.mission.conftest import STATIONS, cleanly
from tests.mission.watching import await_job, inject, until

pytestmark = [pytest.mark.control, pytest.mark.xdist_group("recovery")]
Measured = Callable[[str, float], None]
NOTED = "recovery.fault_noted"
ANSWERS = {
    "recovery.action_started",
    "recovery.heavy_action_started",
    NOTED,
    "recovery.deferred",
}
RECOVERY = '[recovery]\nmax_level = "L5"\n'


@pytest.fixture(scope="module")
def own() -> Iterator[Session]:
    """A payload that may do anything to its emulated board."""
    with cleanly("emulated-h100") as session:
        configuration = session.root / "payload.toml"
        configuration.write_text(RECOVERY + STATIONS)
        session.start_payload("--config", str(configuration))
        yield session


@pytest.fixture(scope="module")
def flown(own: Session) -> Iterator[Client]:
    """Its client, once the board is read."""
    with own.start_ground() as client:
        client.send("jobs.set", {"back_off_s": 0.1})
        client.wait_value("board.power_w", lambda watts: watts > 0, timeout_s=20)
        yield client


@pytest.mark.verifies("VA-RCV-01", "VA-RCV-02")
@pytest.mark.parametrize(
    ("code", "level", "limit_s"), [(31, 1, 15), (62, 3, 30), (143, 4, 45), (79, 5, 75)]
)
def test_an_xid_leads_to_its_action_and_the_job_goes_on(
    own: Session, flown: Client, measured: Measured, code: int, level: int, limit_s: float
) -> None:
    job = flown.submit("matmul", {"size": 96, "repeats": 1_000_000}).result["job"]
    row = await_job(flown, job, lambda row: row["phase"] == "RUNNING" and row["step"] > 0)
    try:
        cursor, since = flown.cursor(), time.monotonic()
        inject(own.run, "xid", str(code))
        name = "recovery.heavy_action_started" if level >= 3 else "recovery.action_started"
        flown.expect_event(name, where={"level": level}, after=cursor, timeout_s=15)
        flown.expect_event(
            "recovery.recovered", where={"level": level}, after=cursor, timeout_s=limit_s
        )
        measured(f"XID {code}, until the GPU is recovered by L{level}", time.monotonic() - since)
        await_job(
            flown,
            job,
            lambda now: now["phase"] == "RUNNING" and now["attempt"] > row["attempt"],
        )
        measured(f"XID {code}, until its job runs again", time.monotonic() - since)
        names = [event.name for event in flown.events(cursor)]
        assert names.count(name) == 1
        assert "recovery.action_failed" not in names
    finally:
        flown.send("jobs.cancel", {"job": job}, check=False)


@pytest.mark.slow
@pytest.mark.xdist_group("recovery table")
@pytest.mark.timeout(300)  # sixteen resets, a reload and a power-cycle take their time
@pytest.mark.verifies("VA-RCV-01")
def test_every_xid_of_the_table_is_met_by_its_action_on_the_emulated_board(
    own: Session, flown: Client
) -> None:
    flown.send("recovery.set", {"most_actions": 1000, "most_heavy": 1000})
    flown.send("jobs.set", {"retries": 100})
    job = flown.submit("matmul", {"size": 96, "repeats": 1_000_000}).result["job"]
    met: dict[int, str] = {}
    for code, row in sorted(XIDS.items()):
        flown.send("recovery.reset_strikes", {"device": 255, "code": 0})
        await_job(flown, job, lambda now: now["phase"] == "RUNNING")
        cursor = flown.cursor()
        inject(own.run, "xid", str(code))
        first = until(
            lambda at=cursor: [
                event for event in flown.events(at, wait_s=0.5) if event.name in ANSWERS
            ],
            10.0,
            f"an answer to XID {code}",
        )[0]
        met[code] = f"L{first.arguments.get('level', 0)}"
        if row.wait in (Wait.COMPANION, Wait.JOB_END) and row.level is Level.RESTART_JOB:
            met[code] = "L1"  # or its job went on by itself before the wait was over
        elif row.level > Level.LOG:
            # What comes along with it, such as the memory error behind XID 94, may be noted first.
            flown.expect_event("recovery.recovered", after=cursor, timeout_s=75)
            acted = [event for event in flown.events(cursor) if event.name in ANSWERS - {NOTED}]
            met[code] = f"L{acted[0].arguments['level']}"
        _await_idle(flown)
    flown.send("jobs.cancel", {"job": job})
    expected = {code: f"L{int(max(row.level, row.boundary))}" for code, row in XIDS.items()}
    assert met == expected


def _await_idle(payload: Client) -> None:
    """Wait until no recovery is at work, and none waits."""

    def is_idle() -> bool:
        cursor = payload.cmd("recovery.hk_now").cursor
        values = payload.values("recovery", after=cursor, wait_s=2)
        return values["recovery.phase"].value == "IDLE" and values["recovery.waiting"].value == 0

    until(is_idle, 15.0, "the end of every recovery")


@pytest.mark.xdist_group("recovery of a Jetson")
@pytest.mark.verifies("VA-RCV-01", "VA-RCV-08")
def test_on_a_jetson_rail_power_is_asked_of_the_host_bus(measured: Measured) -> None:
    with cleanly("emulated-orin") as session:
        configuration = session.root / "payload.toml"
        configuration.write_text(RECOVERY + STATIONS)
        session.start_payload("--config", str(configuration))
        with session.start_ground() as client:
            client.wait_value("board.power_w", lambda watts: watts > 0, timeout_s=20)
            cursor, since = client.cursor(), time.monotonic()
            client.send("commands.arm", {"apid": 8, "opcode": 3})
            client.send("recovery.act", {"level": 5, "device": 0})
            measured("rail power-cycle of an Orin by telecommand", time.monotonic() - since)
            client.expect_event("recovery.recovered", where={"level": 5}, after=cursor)
