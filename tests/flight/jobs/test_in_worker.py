"""Jobs in the process that runs them on board: confined, killed at any moment, resumed."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flight.components.job_runner.worker.status_page import StatusPage
from tests.flight.jobs.plain_gpt import hamlet

pytestmark = [pytest.mark.numerical, pytest.mark.portable]

ROOT = Path(__file__).parents[3]
DEADLINE_S = 60

Worker = subprocess.Popen[bytes]
Start = Callable[..., tuple[Worker, Path]]

TRAINING = (
    "configuration=tiny",
    "steps=400",
    "batch=4",
    "evaluation_interval=100",
    "commit_interval=25",
    "sample_length=30",
)


@pytest.fixture
def lease() -> Iterator[int]:
    """The reading end of a lease that holds as long as the test."""
    reading, writing = os.pipe()
    yield reading
    os.close(reading)
    os.close(writing)


@pytest.fixture
def start(tmp_path: Path, lease: int) -> Iterator[Start]:
    """Starts a worker in a folder of that name; none outlives the test."""
    started: list[Worker] = []

    def begin(job: str, name: str, *settings: str) -> tuple[Worker, Path]:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        program = "tests.flight.jobs.worker_program"
        command = [sys.executable, "-m", program, job, str(folder), str(lease), *settings]
        worker = subprocess.Popen(command, cwd=ROOT, pass_fds=(lease,), stderr=subprocess.PIPE)
        started.append(worker)
        return worker, folder

    yield begin
    for worker in started:
        if worker.poll() is None:
            worker.kill()
        worker.communicate(timeout=DEADLINE_S)


def finish(worker: Worker, folder: Path) -> dict[str, bytes]:
    """Wait for a good end; returns the products."""
    _, log = worker.communicate(timeout=DEADLINE_S)
    assert worker.returncode == 0, log.decode()
    return {path.name: path.read_bytes() for path in (folder / "out").iterdir()}


def kill_after_commit(worker: Worker, folder: Path) -> int:
    """Kill a worker once it has committed; returns the step of that commit."""
    end = os.pidfd_open(worker.pid)
    poll = select.poll()
    poll.register(end, select.POLLIN)
    try:
        deadline = time.perf_counter() + DEADLINE_S
        while time.perf_counter() < deadline:
            assert not poll.poll(5), "it ended before its first commit"
            if (step := committed(folder)) > 0:
                worker.send_signal(signal.SIGKILL)
                worker.communicate(timeout=DEADLINE_S)
                return step
    finally:
        os.close(end)
    raise AssertionError("no commit in time")


def committed(folder: Path) -> int:
    """The step of the last commit; 0 before there is one."""
    if not (folder / "status").is_file():
        return 0
    page = StatusPage.open(folder / "status")
    try:
        status = page.read()
    finally:
        page.close()
    return 0 if status is None or not status.commit_count else status.commit_step


@pytest.mark.native("its deadlines of a minute are for a processor ten times as fast")
@pytest.mark.slow
@pytest.mark.verifies("VA-JOB-04")
def test_a_training_that_was_killed_ends_with_the_octets_of_one_that_was_not(start: Start) -> None:
    settings = (f"text={hamlet()}", *TRAINING)
    expected = finish(*start("nanogpt", "calm", *settings))
    assert set(expected) == {"weights.npz", "sample.txt", "training.json"}
    step = kill_after_commit(*start("nanogpt", "storm", *settings))
    assert 0 < step < 400
    assert finish(*start("nanogpt", "storm", *settings)) == expected


@pytest.mark.native("its deadlines of a minute are for a processor ten times as fast")
def test_a_job_that_cannot_use_its_text_fails_with_the_sentence(
    start: Start, tmp_path: Path
) -> None:
    short = tmp_path / "short.txt"
    short.write_text("to be")
    worker, folder = start("nanogpt", "job", f"text={short}")
    worker.communicate(timeout=DEADLINE_S)
    assert worker.returncode == 1
    page = StatusPage.open(folder / "status")
    status = page.read()
    page.close()
    assert status is not None
    assert "5 characters; a context of 64 needs at least 650" in status.message
