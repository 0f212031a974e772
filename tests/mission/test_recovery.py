"""What a fault of the emulated board leads to, end to end: XID in, job running again out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from examples.session import Session
from flight.components.recovery.fault_table import JETSON, XIDS, Level, Wait
from ground.client.client import Client
from tests.mission.conftest import STATIONS, cleanly
from tests.mission.watching import await_job, command_again, inject, run, until

pytestmark = [pytest.mark.control, pytest.mark.xdist_group("recovery")]
Measured = Callable[[str, float], None]
NOTED = "recovery.fault_noted"
ANSWERS = {
    "recovery.action_started",
    "recovery.heavy_action_started",
    NOTED,
    "recovery.deferred",
}
HEAVY = "recovery.heavy_action_started"
STARTED = {"recovery.action_started", HEAVY}
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
        client.wait_value("board.power_w", lambda watts: watts > 0, timeout_s=90)
        yield client


@pytest.mark.verifies("VA-RCV-01", "VA-RCV-02")
@pytest.mark.parametrize(("code", "level"), [(31, 1), (62, 3), (143, 4), (79, 5)])
def test_an_xid_leads_to_its_action_and_the_job_goes_on(
    own: Session, flown: Client, measured: Measured, code: int, level: int
) -> None:
    job = flown.submit("matmul", {"size": 96, "repeats": 1_000_000}).result["job"]
    row = await_job(flown, job, lambda row: row["phase"] == "RUNNING" and row["step"] > 0)
    try:
        cursor, since = flown.cursor(), time.monotonic()
        inject(own.run, "xid", str(code))
        name = "recovery.heavy_action_started" if level >= 3 else "recovery.action_started"
        flown.expect_event(name, where={"level": level}, after=cursor, timeout_s=90)
        flown.expect_event("recovery.recovered", where={"level": level}, after=cursor, timeout_s=90)
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
            flown.expect_event("recovery.recovered", after=cursor, timeout_s=90)
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
            client.wait_value("board.power_w", lambda watts: watts > 0, timeout_s=90)
            cursor, since = client.cursor(), time.monotonic()
            client.send("commands.arm", {"apid": 8, "opcode": 3})
            client.send("recovery.act", {"level": 5, "device": 0})
            measured("rail power-cycle of an Orin by telecommand", time.monotonic() - since)
            client.expect_event("recovery.recovered", where={"level": 5}, after=cursor)


@pytest.fixture(scope="module")
def orin() -> Iterator[tuple[Session, Client]]:
    """An emulated Orin of our own, and a client of its payload."""
    with cleanly("emulated-orin") as session:
        configuration = session.root / "payload.toml"
        configuration.write_text('[recovery]\nmax_level = "L7"\n' + STATIONS)
        session.start_payload("--config", str(configuration))
        with session.start_ground() as client:
            client.send("jobs.set", {"back_off_s": 0.1, "retries": 100})
            client.send("recovery.set", {"most_actions": 1000, "most_heavy": 1000})
            client.wait_value("board.power_w", lambda watts: watts > 0, timeout_s=90)
            yield session, client


def trouble(session: Session, *words: str) -> None:
    """Do something to the emulated Orin."""
    done = run("sim_hw", "inject-orin", "--dir", str(session.run / "board"), *words)
    assert done.returncode == 0, done.stderr


def heat(session: Session, client: Client, to_c: float) -> None:
    """Let the GPU's sensor show so much."""
    client.send("board.read_now")
    cursor = client.cursor()
    client.send("board.hk_now")
    now_c = client.values("board", after=cursor, wait_s=5)["board.temperature_c"].value
    trouble(session, "temperature", "--", str(to_c - now_c))


GPU_ZONE = "sys/devices/virtual/thermal/thermal_zone1/temp"
ORIN_TROUBLE: dict[int, Callable[[Session, Client], None]] = {
    1: lambda session, _: trouble(session, "over-current", "VDD_CPU_CV", "warning"),
    2: lambda session, _: trouble(session, "over-current", "VDD_GPU_SOC", "critical"),
    3: lambda session, _: trouble(session, "over-current", "VIN_SYS_5V0", "warning"),
    4: lambda session, client: heat(session, client, 100.0),
    5: lambda session, client: heat(session, client, 103.4),
    6: lambda session, _: trouble(session, "file", GPU_ZONE, "--text", "105000"),
    7: lambda session, _: trouble(session, "ecc", "--corrected", "3"),
    8: lambda session, _: trouble(session, "ecc", "--uncorrected", "1"),
}
"""What makes the driver report each fault of `hal.jetson.faults.JetsonFault`."""


@pytest.mark.slow
@pytest.mark.xdist_group("recovery of a Jetson")
@pytest.mark.timeout(200)
@pytest.mark.verifies("VA-RCV-01", "VA-RCV-05")
def test_every_fault_of_a_jetson_is_met_by_its_action_on_the_emulated_orin(
    orin: tuple[Session, Client],
) -> None:
    session, client = orin
    job = client.submit("matmul", {"size": 96, "repeats": 1_000_000}).result["job"]
    met: dict[int, list[int]] = {}
    for (_, code), row in JETSON.items():
        client.send("recovery.reset_strikes", {"device": 255, "code": 0})
        await_job(client, job, lambda now: now["phase"] == "RUNNING")
        cursor = client.cursor()
        ORIN_TROUBLE[code](session, client)
        if row.level > Level.LOG:
            level = int(row.level)
            if level == Level.RAIL_POWER_CYCLE:
                client.expect_event(HEAVY, where={"level": level}, after=cursor, timeout_s=90)
                trouble(session, "file", GPU_ZONE, "--mend")  # it cools down without power
            client.expect_event(
                "recovery.recovered", where={"level": level}, after=cursor, timeout_s=90
            )
        else:
            client.expect_event(NOTED, after=cursor, timeout_s=90)
        _await_idle(client)
        events = client.events(cursor)
        started = [event.arguments["level"] for event in events if event.name in STARTED]
        met[code] = sorted(set(started))
        assert len(started) == len(met[code]), f"an action of code {code} was taken twice"
        for rail in ("VDD_CPU_CV", "VDD_GPU_SOC", "VIN_SYS_5V0"):
            trouble(session, "over-current", rail, "none")
        trouble(session, "temperature", "--", "0")
    client.send("jobs.cancel", {"job": job})
    # What is above its critical trip is above its hot trip, too.
    assert met == {1: [], 2: [1], 3: [], 4: [], 5: [1], 6: [1, 5], 7: [], 8: [1]}


@pytest.mark.slow
@pytest.mark.xdist_group("recovery of a Jetson")
@pytest.mark.timeout(200)
@pytest.mark.verifies("VA-RCV-09", "VA-RCV-12", "VA-RCV-13")
def test_the_other_slot_of_the_emulated_orin_is_booted_and_confirmed_or_left(
    orin: tuple[Session, Client], measured: Measured
) -> None:
    session, client = orin
    since = time.monotonic()
    cursor = boot_other_slot(session, client)
    client.expect_event("recovery.recovered", where={"level": 6}, after=cursor, timeout_s=90)
    measured("other slot of an Orin, until it was found to be well", time.monotonic() - since)
    client.expect_event("recovery.slot_confirmed", after=cursor, timeout_s=90)
    assert reading(client, "boot_slot") == 1.0
    assert boot_cause(client) == "COMMANDED"
    trouble(session, "slot", "0", "broken")
    cursor = boot_other_slot(session, client)
    client.expect_event("recovery.resumed", after=cursor, timeout_s=90)
    failed = client.expect_event(
        "recovery.action_failed", where={"level": 6}, after=cursor, timeout_s=90
    )
    assert "slot 1 runs" in failed.arguments["reason"]
    assert reading(client, "boot_slot") == 1.0


def boot_other_slot(session: Session, client: Client) -> int:
    """Command L6, and wait for the next supervisor's executive; the cursor before it."""
    _await_idle(client)
    before = session.ready()["executive_pid"]
    cursor = client.cursor()
    client.send("commands.arm", {"apid": 8, "opcode": 3})
    client.send("recovery.act", {"level": 6, "device": 0}, wait="started")
    client.expect_event(HEAVY, where={"level": 6}, after=cursor)
    session.ready(after_pid=before)
    command_again(client, time.monotonic(), timeout_s=90)
    return cursor


def reading(client: Client, name: str) -> float:
    """The newest value of a reading of the board, which may only be about to have one."""

    def found() -> list[float]:
        cursor = client.cursor()
        client.send("board.list_readings")
        rows = client.reports("board.reading", after=cursor, wait_s=5)["rows"]
        return [float(row["value"]) for row in rows if row["name"] == name]

    return until(found, 20.0, f"a reading {name}")[0]


def boot_cause(client: Client) -> str:
    cursor = client.cursor()
    client.send("executive.hk_now")
    return str(client.values("executive", after=cursor, wait_s=5)["executive.boot_cause"].value)
