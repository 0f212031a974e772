"""Memory goes wrong in a flying payload, and is right again: the scrubber end to end."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from examples.session import Session
from flight.edac import region_file
from ground.client.client import Client
from tests.mission.conftest import cleanly, start
from tests.mission.watching import await_end, await_job, command_again, kill, until

pytestmark = [pytest.mark.control, pytest.mark.xdist_group("scrubber")]
BLOCK = 32 << 10
LENGTH = 20 * BLOCK + 5
LONG = {"size": 96, "repeats": 1_000_000}
Measured = Callable[[str, float], None]


@pytest.fixture(scope="module", params=["emulated-h100", "emulated-orin"])
def own(request: pytest.FixtureRequest) -> Iterator[Session]:
    """A payload of each kind, whose memory is damaged."""
    with cleanly(request.param) as session:
        start(session)
        yield session


@pytest.fixture(scope="module")
def flown(own: Session) -> Iterator[Client]:
    """Its client, with a file registered as the region named weights."""
    original = own.root / "weights.bin"
    original.write_bytes(os.urandom(LENGTH))
    with own.start_ground() as client:
        client.send("watchdog.set", {"silence_s": 1.5, "period_s": 0.5})
        client.put(original, "nets/weights.bin", timeout_s=90)
        client.send("scrubber.register", {"file": "nets/weights.bin", "name": "weights"})
        yield client


def flip(path: Path, *octets: int) -> None:
    """What an upset does from outside: one bit of each of these octets of data."""
    with path.open("r+b") as file:
        for octet in octets:
            file.seek(region_file.PAGE + octet)
            old = file.read(1)[0]
            file.seek(region_file.PAGE + octet)
            file.write(bytes([old ^ 0x20]))


def content(session: Session) -> bytes:
    return (session.run / "regions" / "weights").read_bytes()[region_file.PAGE :][:LENGTH]


def scrub(client: Client, region: str = "weights") -> None:
    client.send("scrubber.scrub_now", {"region": region})


@pytest.mark.verifies("VA-SCR-02")
def test_a_bit_that_flips_in_memory_is_set_right_counted_and_told(
    own: Session, flown: Client, measured: Measured
) -> None:
    cursor, since = flown.cursor(), time.monotonic()
    flip(own.run / "regions" / "weights", 7 * BLOCK + 123)
    told = flown.expect_event(
        "scrubber.block_corrected", where={"region": "weights"}, after=cursor, timeout_s=90
    )
    measured(f"flipped bit to its correction told, {own.board}", time.monotonic() - since)
    assert (told.arguments["block"], told.arguments["bits"]) == (7, 1)
    assert content(own) == (own.root / "weights.bin").read_bytes()
    flown.send("scrubber.hk_now")
    assert flown.values("scrubber", after=cursor, wait_s=5.0)["scrubber.corrected"].value >= 1


@pytest.mark.verifies("VA-SCR-02", "VA-SCR-03")
def test_a_lost_block_is_told_and_read_from_its_golden_copy(own: Session, flown: Client) -> None:
    cursor = flown.cursor()
    flip(own.run / "regions" / "weights", 3 * BLOCK, 3 * BLOCK + 64)
    scrub(flown)
    lost = flown.expect_event("scrubber.block_lost", after=cursor, timeout_s=90)
    assert (lost.arguments["region"], lost.arguments["block"]) == ("weights", 3)
    flown.expect_event("scrubber.reloaded", after=cursor, timeout_s=90)
    assert content(own) == (own.root / "weights.bin").read_bytes()


@pytest.mark.verifies("VA-SCR-07")
def test_an_injected_error_is_found_told_and_counted(flown: Client) -> None:
    flown.send("scrubber.make_test_region", {"size": 1 << 20})
    cursor = flown.cursor()
    place = {"block": 5, "first_bit": 77, "bits": 9, "distance": 1}
    flown.send("scrubber.inject_error", {"region": "test", **place})
    scrub(flown, "test")
    told = flown.expect_event("scrubber.block_corrected", where={"region": "test"}, after=cursor)
    assert (told.arguments["block"], told.arguments["bits"]) == (5, 9)
    refused = flown.send("scrubber.inject_error", {"region": "weights", **place}, check=False)
    assert "test" in refused.reason


@pytest.mark.verifies("VA-SCR-03")
def test_lost_memory_of_a_running_job_sends_it_back_to_its_commit(
    own: Session, flown: Client
) -> None:
    job = flown.submit("matmul", LONG).result["job"]
    try:
        await_job(flown, job, lambda row: row["phase"] == "RUNNING" and row["commit_step"] > 0)
        cursor = flown.cursor()
        # Planted by this test, which is its owner: what a job of that number would seal.
        path = own.run / "jobs" / str(job) / "regions" / "planted"
        region = region_file.create(path, "planted", 4 * BLOCK)
        region.seal()
        flip(path, BLOCK, BLOCK + 64)
        rolled = flown.expect_event("scrubber.job_rolled_back", after=cursor, timeout_s=90)
        assert rolled.arguments["job"] == job
        again = flown.expect_event(
            "jobs.job_started", where={"job": job}, after=cursor, timeout_s=90
        )
        assert again.arguments["attempt"] == 2
        assert again.arguments["step"] > 0
        path.unlink(missing_ok=True)
        region.close()
    finally:
        flown.send("jobs.cancel", {"job": job}, check=False)


def worker(session: Session, *, other_than: int = 0) -> int:
    """The scrub worker's process, once it is another one."""

    def pid() -> int:
        found: int = session.ready()["workers"].get("scrub", 0)
        return 0 if found == other_than else found

    return until(pid, 15.0, "another scrub worker")


@pytest.mark.verifies("VA-SCR-05", "VA-SUP-03")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
def test_a_worker_that_is_killed_or_stopped_is_replaced_and_memory_kept_right(
    own: Session, flown: Client, number: signal.Signals
) -> None:
    first = worker(own)
    cursor = flown.cursor()
    if number is signal.SIGKILL:
        kill(first)
    else:
        os.kill(first, number)
        flown.expect_event(
            "watchdog.worker_silent", where={"worker": "scrub"}, after=cursor, timeout_s=90
        )
        await_end(first, 15.0)
    worker(own, other_than=first)
    flip(own.run / "regions" / "weights", 11 * BLOCK)
    found = {"region": "weights", "block": 11}
    flown.expect_event("scrubber.block_corrected", where=found, after=cursor, timeout_s=90)


@pytest.mark.verifies("VA-SCR-05")
def test_a_region_that_is_cut_short_is_told_and_made_anew(own: Session, flown: Client) -> None:
    cursor = flown.cursor()
    os.truncate(own.run / "regions" / "weights", 8192)
    flown.expect_event("scrubber.region_unusable", after=cursor, timeout_s=90)
    flown.expect_event("scrubber.reloaded", after=cursor, timeout_s=90)
    until(
        lambda: content(own) == (own.root / "weights.bin").read_bytes(), 10.0, "the content again"
    )


@pytest.mark.verifies("VA-SCR-06")
def test_the_next_executive_keeps_regions_and_the_rate(own: Session, flown: Client) -> None:
    flown.send("scrubber.set_rate", {"rate": 64.0})
    before = own.kill_executive()
    own.ready(after_pid=before)
    command_again(flown, time.monotonic())
    cursor = flown.cursor()

    def rate() -> float:
        flown.send("scrubber.hk_now")
        values = flown.values("scrubber", after=cursor, wait_s=5.0)
        return float(values["scrubber.rate"].value) * (values["scrubber.regions"].value > 0)

    assert until(rate, 20.0, "regions in housekeeping") == 64.0
    scrub(flown)


@pytest.mark.verifies("VA-SCR-09")
def test_tables_show_all_memory(flown: Client) -> None:
    assert flown.send("scrubber.list_regions").result["rows"] >= 2
    assert flown.send("scrubber.list_memory_errors").result["rows"] >= 5
