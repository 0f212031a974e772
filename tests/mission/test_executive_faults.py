"""The executive and its supervisor killed, stopped and restarted while jobs run."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from examples.session import Session
from ground.client.client import Client
from tests.mission.conftest import start
from tests.mission.station import Station
from tests.mission.watching import (
    await_done,
    await_end,
    await_job,
    command_again,
    is_alive,
    kill,
    run,
    until,
)

Flying = tuple[Session, Client]
Measured = Callable[[str, float], None]
pytestmark = pytest.mark.control
TRAINING = {
    "configuration": "TINY",
    "steps": 2000,
    "commit_interval": 10,
    "sample_length": 20,
    "evaluation_interval": 500,
}


def _train(payload: Client, until_commit: bool = False) -> tuple[int, dict[str, Any]]:
    """Submit a training; its number and its row, once it runs (and has a commit on disk)."""
    payload.send("jobs.set", {"disk_interval_s": 0.1, "back_off_s": 0.1})
    job: int = payload.submit("nanogpt", TRAINING).result["job"]
    row = await_job(
        payload,
        job,
        lambda row: (
            row["pid"] > 0 and row["step"] > 0 and (row["commit_step"] > 0 or not until_commit)
        ),
    )
    return job, row


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The weights of the same training, run by hand from end to end."""
    out = tmp_path_factory.mktemp("undisturbed")
    settings = [word for name, value in TRAINING.items() for word in ("--set", f"{name}={value}")]
    done = run("flight", "jobs", "run", "nanogpt", *settings, "--out", str(out))
    assert done.returncode == 0, done.stderr
    return (out / "weights.npz").read_bytes()


def _weights(payload: Client, job: int, folder: Path) -> bytes:
    path = folder / f"weights-{job}.npz"
    payload.get(f"products/job-{job}/weights.npz", path)
    return path.read_bytes()


@pytest.mark.verifies("VA-SUP-01", "VA-SUP-02", "VA-EXE-09", "VA-SEC-02")
def test_a_killed_executive_commands_again_and_its_job_never_noticed(
    flying: Flying, measured: Measured
) -> None:
    session, payload = flying
    job, before = _train(payload)
    anchor = payload.cursor()
    payload.send("commands.hk_now")
    last = max(v.time_ns for v in payload.values("commands", after=anchor, wait_s=5.0).values())
    cursor = payload.cursor()
    since = time.monotonic()
    dead = session.kill_executive()
    took = command_again(payload, since)
    measured("executive killed, until it completes a telecommand", took)
    assert session.ready(after_pid=dead)["executive_pid"] != dead
    readopted = payload.expect_event("jobs.job_readopted", where={"job": job}, after=cursor)
    assert readopted.arguments["pid"] == before["pid"]
    assert readopted.time_ns > last, "on-board time ran backwards"
    done = await_done(payload, job)
    assert done["attempt"] == before["attempt"] == 1


@pytest.mark.verifies("VA-SUP-01")
def test_a_stopped_executive_is_killed_after_its_silence_and_replaced(
    flying: Flying, measured: Measured
) -> None:
    session, payload = flying
    stopped = session.ready()["executive_pid"]
    since = time.monotonic()
    os.kill(stopped, signal.SIGSTOP)
    await_end(stopped)
    killed = time.monotonic() - since
    assert killed > 1.5, "not before it was silent for two seconds"
    took = command_again(payload, since)
    measured("executive stopped, until it is killed", killed)
    measured("executive stopped, until the next completes a telecommand", took)


@pytest.mark.xdist_group("bits")
@pytest.mark.verifies("VA-SUP-04", "VA-JOB-03", "VA-JOB-04")
def test_when_the_supervisor_is_killed_all_end_and_a_restart_resumes_the_job_from_disk(
    flying: Flying, undisturbed: bytes, tmp_path: Path
) -> None:
    session, payload = flying
    job, row = _train(payload, until_commit=True)
    pids = [session.ready()["executive_pid"], row["pid"], *session.ready()["workers"].values()]
    session.end("payload", signal.SIGKILL)
    until(lambda: not any(map(is_alive, pids)), 10.0, f"end of {pids}")
    ground = str(session.ground)
    until(
        lambda: all(ground in words for words in session.survivors().values()),
        5.0,
        f"end of {session.survivors()}",
    )
    cursor = payload.cursor()
    start(session)
    command_again(payload, time.monotonic())
    begun = payload.expect_event("jobs.job_started", where={"job": job}, after=cursor, timeout_s=90)
    assert begun.arguments["step"] > 0, "it began anew"
    await_done(payload, job)
    assert _weights(payload, job, tmp_path) == undisturbed


@pytest.mark.xdist_group("bits")
@pytest.mark.verifies("VA-JOB-03", "VA-JOB-04", "VA-STO-02")
def test_after_a_power_off_a_training_goes_on_and_ends_with_the_bits_of_an_undisturbed_one(
    flying: Flying, undisturbed: bytes, tmp_path: Path
) -> None:
    session, payload = flying
    job, row = _train(payload, until_commit=True)
    ready = session.ready()
    everything = [ready["pid"], ready["executive_pid"], *ready["workers"].values(), row["pid"]]
    for pid in everything:
        os.kill(pid, signal.SIGKILL)
    session.end("payload", signal.SIGKILL)
    until(lambda: not any(map(is_alive, everything)), 10.0, "the end of everything")
    payload.close()
    session.end("ground")
    until(lambda: not session.survivors(), 5.0, f"end of {session.survivors()}")
    shutil.rmtree(session.run)
    start(session)
    with session.start_ground() as again:
        rows = again.jobs(refresh=True)
        assert next(row for row in rows if row["job"] == job)["attempt"] <= 2
        done = await_done(again, job)
        assert done["attempt"] == 2
        assert _weights(again, job, tmp_path) == undisturbed
        assert again.status()["payloads"][0]["identity"]["boot_count"] == 2


@pytest.mark.verifies("VA-SUP-02", "VA-GND-01")
def test_supervisor_executive_and_ground_may_be_restarted_in_any_order_while_a_job_runs(
    session: Session,
) -> None:
    start(session)
    payload = session.start_ground()
    job, _ = _train(payload, until_commit=True)
    order = random.Random(2026).sample(["supervisor", "executive", "ground"] * 2, 6)
    for what in order:
        if what == "executive":
            session.ready(after_pid=session.kill_executive())
        elif what == "supervisor":
            session.end("payload", signal.SIGKILL)
            start(session)
        else:
            payload.close()
            session.end("ground", signal.SIGKILL)
            payload = session.start_ground(wait=False)
        command_again(payload, time.monotonic())
    await_done(payload, job)
    payload.close()


@pytest.mark.verifies("VA-SEC-02")
def test_frames_recorded_before_a_restart_of_the_executive_are_refused_after_it(
    flying: Flying,
) -> None:
    session, payload = flying
    with Station.of(session) as recorded:
        recorded.heartbeat()
        frames = [recorded.no_operation() for _ in range(5)]
        for frame in frames:
            recorded.send_octets(frame)
        assert recorded.is_answered()
        dead = session.kill_executive()
        session.ready(after_pid=dead)
        command_again(payload, time.monotonic())
        cursor = payload.cursor()
        for frame in frames:
            recorded.send_octets(frame)
        refused = payload.expect_event("commands.link_message_rejected", after=cursor, timeout_s=90)
        assert refused.arguments["why"] == "REPLAYED"
        payload.send("commands.hk_now")
        payload.wait_value("commands.frames_replayed", 5, comparison=">=", after=cursor)


def test_an_executive_killed_again_and_again_is_found_by_ground_every_time(
    flying: Flying,
) -> None:
    session, payload = flying
    for _ in range(3):
        command_again(payload, time.monotonic())
        kill(session.ready()["executive_pid"])
    assert command_again(payload, time.monotonic()) < 5.0
    assert payload.status()["payloads"][0]["identity"]["boot_count"] == 4
