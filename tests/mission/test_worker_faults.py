"""Workers, jobs and the companion killed, stopped and starved: each is noticed and put right."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from examples.session import Session
from ground.client.client import Client
from tests.mission.conftest import cleanly, start
from tests.mission.watching import await_done, await_end, await_job, command_again, kill, until

pytestmark = [pytest.mark.control, pytest.mark.xdist_group("workers")]
WORKERS = ("storage", "board", "launcher")
LONG = {"size": 96, "repeats": 1_000_000}
Measured = Callable[[str, float], None]


@pytest.fixture(scope="module")
def own(board_name: str) -> Iterator[Session]:
    """A payload whose workers die, but not those of other modules."""
    with cleanly(board_name) as session:
        start(session)
        yield session


@pytest.fixture(scope="module")
def flown(own: Session) -> Iterator[Client]:
    """Its client; the watchdog and the job runner are told to be quick."""
    with own.start_ground() as client:
        client.send("watchdog.set", {"silence_s": 1.5, "period_s": 0.5})
        client.send("jobs.set", {"back_off_s": 0.1, "disk_interval_s": 0.1})
        yield client


def _worker(session: Session, name: str, *, other_than: int = 0) -> int:
    def pid() -> int:
        found: int = session.ready()["workers"].get(name, 0)
        return 0 if found == other_than else found

    return until(pid, 15.0, f"a worker {name} other than {other_than}")


def _works(payload: Client) -> None:
    """Every worker does its work: storage answers, the board is read, a job runs."""
    command_again(payload, time.monotonic())
    assert payload.send("files.free").result["free"] > 0
    payload.send("board.read_now")
    job = payload.submit("matmul", {"size": 32, "repeats": 1}).result["job"]
    await_done(payload, job, 30.0)


@contextmanager
def _running(payload: Client) -> Iterator[tuple[int, dict[str, Any]]]:
    """A job that runs, with a commit on disk: its number and its row. Cancelled in the end."""
    job: int = payload.submit("matmul", LONG).result["job"]
    try:
        yield (
            job,
            await_job(
                payload, job, lambda row: row["phase"] == "RUNNING" and row["commit_step"] > 0
            ),
        )
    finally:
        payload.send("jobs.cancel", {"job": job}, check=False)
    await_job(payload, job, lambda row: row["phase"] == "CANCELLED")


@pytest.mark.parametrize("name", WORKERS)
@pytest.mark.verifies("VA-SUP-03", "VA-SUP-07")
def test_a_killed_worker_is_started_again_and_everything_works(
    own: Session, flown: Client, name: str, measured: Measured
) -> None:
    first = _worker(own, name)
    since = time.monotonic()
    kill(first)
    _worker(own, name, other_than=first)
    measured(f"worker {name} killed, until the next runs", time.monotonic() - since)
    _works(flown)


@pytest.mark.parametrize("name", WORKERS)
@pytest.mark.verifies("VA-SUP-03", "VA-SUP-07")
def test_an_executive_that_hears_of_an_end_and_of_the_replacement_at_once_runs_on(
    own: Session, flown: Client, name: str
) -> None:
    executive = own.ready()["executive_pid"]
    for _ in range(2):  # the second is polled after the supervisor, the first before it
        first = _worker(own, name)
        os.kill(executive, signal.SIGSTOP)
        try:
            kill(first)
            _worker(own, name, other_than=first)
        finally:
            os.kill(executive, signal.SIGCONT)
        command_again(flown, time.monotonic())
    _works(flown)
    assert own.ready()["executive_pid"] == executive


@pytest.mark.parametrize("name", WORKERS)
@pytest.mark.verifies("VA-SUP-03")
def test_a_stopped_worker_is_noticed_killed_and_replaced(
    own: Session, flown: Client, name: str, measured: Measured
) -> None:
    first = _worker(own, name)
    cursor, since = flown.cursor(), time.monotonic()
    os.kill(first, signal.SIGSTOP)
    flown.expect_event("watchdog.worker_silent", where={"worker": name}, after=cursor, timeout_s=90)
    await_end(first, 15.0)
    _worker(own, name, other_than=first)
    flown.expect_event("watchdog.worker_back", where={"worker": name}, after=cursor, timeout_s=90)
    measured(f"worker {name} stopped, until the next is back", time.monotonic() - since)
    _works(flown)


@pytest.mark.verifies("VA-SUP-03", "VA-BRD-02")
def test_the_companion_is_started_again_and_readings_become_valid_again(
    own: Session, flown: Client
) -> None:
    companion = next(
        pid
        for pid, words in own.survivors().items()
        if "-m sim_hw board" in words and str(own.run) in words
    )
    kill(companion)
    until(
        lambda: any(
            "-m sim_hw board" in words and pid != companion
            for pid, words in own.survivors().items()
        ),
        15.0,
        "a new companion",
    )
    flown.send("board.read_now")
    cursor = flown.cursor()
    flown.send("board.hk_now")
    assert flown.values("board", after=cursor, wait_s=5.0)["board.validity"].value[0] == 0
    _works(flown)


@pytest.mark.verifies("VA-JOB-03")
def test_a_job_whose_process_is_killed_goes_on_from_its_last_commit(flown: Client) -> None:
    with _running(flown) as (job, row):
        cursor = flown.cursor()
        kill(row["pid"])
        retried = flown.expect_event("jobs.job_retried", where={"job": job}, after=cursor)
        assert "SIGKILL" in retried.arguments["reason"]
        again = flown.expect_event("jobs.job_started", where={"job": job}, after=cursor)
        assert again.arguments["attempt"] == 2
        assert again.arguments["step"] >= row["commit_step"]
        assert again.arguments["pid"] != row["pid"]


@pytest.mark.verifies("VA-JOB-03")
def test_a_job_whose_process_is_stopped_is_found_hung_and_tried_again(flown: Client) -> None:
    with _running(flown) as (job, row):
        cursor = flown.cursor()
        os.kill(row["pid"], signal.SIGSTOP)
        flown.send("jobs.set", {"hang_s": 1.0})  # not before: a sound job may be silent for longer
        try:
            retried = flown.expect_event(
                "jobs.job_retried", where={"job": job}, after=cursor, timeout_s=90
            )
        finally:
            flown.send("jobs.set", {"hang_s": 30.0})
        assert "heartbeat" in retried.arguments["reason"]
        flown.expect_event("jobs.job_started", where={"job": job}, after=cursor, timeout_s=90)
        await_end(row["pid"])


@pytest.mark.verifies("VA-JOB-03")
def test_a_job_that_is_killed_at_every_attempt_fails_in_the_end(flown: Client) -> None:
    # 8192 in double precision takes longer for its first product than this story lasts.
    settings = {"size": 8192, "repeats": 1, "precision": "FLOAT64"}
    cursor = flown.cursor()
    job = flown.submit("matmul", settings).result["job"]
    attempts = 0
    while True:
        flown.expect_event("jobs.job_starting", where={"job": job}, after=cursor, timeout_s=90)
        row = await_job(flown, job, lambda row: row["pid"] > 0)
        cursor = flown.cursor()
        kill(row["pid"])
        attempts += 1
        end = until(
            lambda at=cursor: next(
                (
                    event
                    for event in flown.events(at, wait_s=0.5)
                    if event.arguments.get("job") == job
                    and event.name in ("jobs.job_failed", "jobs.job_retried")
                ),
                None,
            ),
            20.0,
            "the end of the attempt",
        )
        if end.name == "jobs.job_failed":
            break
        assert attempts < 20
    assert "SIGKILL" in end.arguments["reason"]


@pytest.mark.verifies("VA-SUP-02", "VA-SUP-03")
def test_a_job_runs_on_or_resumes_when_its_launcher_is_killed(own: Session, flown: Client) -> None:
    with _running(flown) as (job, row):
        kill(_worker(own, "launcher"))
        command_again(flown, time.monotonic())
        await_job(flown, job, lambda now: now["step"] > row["step"] and now["phase"] == "RUNNING")


@pytest.mark.verifies("VA-STO-01")
def test_a_file_on_its_way_up_arrives_whole_though_storage_is_killed(
    own: Session, flown: Client, tmp_path: Any
) -> None:
    original = tmp_path / "up.bin"
    original.write_bytes(os.urandom(3_000_000))
    killed: list[int] = []

    def progress(done: int, total: int) -> None:
        if not killed and done > total // 4:
            killed.append(_worker(own, "storage"))
            kill(killed[0])

    flown.put(original, "faults/up.bin", progress, timeout_s=90)
    flown.get("faults/up.bin", tmp_path / "down.bin", timeout_s=90)
    assert (tmp_path / "down.bin").read_bytes() == original.read_bytes()
    assert killed
