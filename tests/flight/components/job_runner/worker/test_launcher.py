"""Jobs in processes of their own: run, resumed, paused, killed, limited, adopted."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toy_jobs import JOB, Parameters

from flight.commits.slots import CommitSlots, newest, path_of
from flight.components.job_runner.ports import Control, JobStatus, PagePhase
from flight.components.job_runner.worker.confinement import landlock_version
from flight.components.job_runner.worker.job import MEMORY_LOST
from flight.components.job_runner.worker.launcher import Launcher
from flight.components.job_runner.worker.processes import (
    LAUNCH_FILE,
    JobProcess,
    Limits,
    Processes,
)
from flight.components.job_runner.worker.status_page import StatusPage
from flight.edac.blocks import Verdict
from flight.edac.region_file import open_region
from flight.fault_tolerance.levels import Tally
from flight.framework.channel import Channel, Message, pair
from flight.workers.lifeline import Lifeline
from tests.flight.support.processes import is_alive, wait_for
from tests.flight.support.worker_harness import WorkerBench

PR_SET_CHILD_SUBREAPER = 36


class LauncherBench(WorkerBench):
    """A launcher process with toy jobs to launch."""

    def __init__(self, folder: Path) -> None:
        self.run = folder / "run"
        self.run.mkdir()
        super().__init__(
            "flight.components.job_runner.worker.launcher",
            folder,
            {"run_dir": str(self.run), "warm": ["toy_jobs"]},
        )
        self.hello()

    def folder(self, job_id: int = 7) -> Path:
        return self.run / "jobs" / str(job_id)

    def ask(self, toy: str, job_id: int = 7, steps: int = 10, **changes: Any) -> None:
        body = {
            "id": 100 + int(job_id),
            "job_id": job_id,
            "entry": f"toy_jobs:{toy}",
            "declaration": "toy_jobs:JOB",
            "parameters": JOB.pack(Parameters(steps=steps)),
            "folder": str(self.folder(job_id)),
            "inputs": {},
            "limits": {},
            "resume": None,
        }
        self.channel.send("launch", {**body, **changes})

    def launch(self, toy: str, job_id: int = 7, **changes: Any) -> int:
        self.ask(toy, job_id, **changes)
        body = self.expect("launched", job_id=job_id).body
        assert body["id"] == 100 + job_id
        assert body["start_time"] > 0
        return body["pid"]

    def ended(self, job_id: int = 7) -> dict[str, Any]:
        return self.expect("exited", job_id=job_id).body

    def status(self, job_id: int = 7) -> JobStatus:
        page = StatusPage.open(self.folder(job_id) / "status")
        try:
            status = page.read()
        finally:
            page.close()
        assert status is not None
        return status

    def tally(self, job_id: int = 7) -> Tally:
        return Tally(*self.status(job_id).tally)

    def until_message(self, text: str) -> None:
        wait_for(lambda: self.status().message == text)

    def await_phase(self, phase: PagePhase, job_id: int = 7) -> JobStatus:
        wait_for(lambda: self.status(job_id).phase == phase)
        return self.status(job_id)

    def control(self, control: Control, job_id: int = 7) -> None:
        page = StatusPage.open(self.folder(job_id) / "status")
        page.command(control)
        page.close()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[LauncherBench]:
    made = LauncherBench(tmp_path)
    yield made
    made.close()


@pytest.mark.verifies("VA-JOB-06")
def test_a_job_runs_to_its_end_and_leaves_its_product(bench: LauncherBench) -> None:
    pid = bench.launch("count")
    ended = bench.ended()
    assert (ended["pid"], ended["status"], ended["signal"], ended["reason"]) == (pid, 0, None, "")
    assert ended["rss_peak"] > 10 << 20
    status = bench.status()
    assert status.phase == PagePhase.DONE
    assert (status.pid, status.step, status.total) == (pid, 10, 10)
    assert status.metrics[0] == 10_000.0
    assert (status.commit_step, status.commit_count, status.message) == (10, 10, "counted")
    assert (bench.folder() / "out" / "result.txt").read_text() == "10000.0"
    assert not (bench.folder() / "out" / "other.txt").exists()
    assert bench.expect("warm").body == {"threads": 1}


@pytest.mark.verifies("VA-JOB-03")
def test_a_job_resumes_from_the_slot_that_is_whole(bench: LauncherBench) -> None:
    bench.launch("count", steps=6)
    bench.ended()
    torn = path_of(bench.folder(), bench.status().commit_slot)
    torn.write_bytes(torn.read_bytes()[:-100])
    bench.launch("count", steps=8)
    assert bench.ended()["status"] == 0
    log = (bench.folder() / "log").read_text()
    assert "passed over a commit" in log
    assert "resumed from step 5" in log
    assert bench.status().commit_count == 3
    assert (bench.folder() / "out" / "result.txt").read_text() == "8000.0"


@pytest.mark.verifies("VA-EDC-01")
def test_a_job_resumes_from_a_slot_that_was_hit_and_says_so(bench: LauncherBench) -> None:
    bench.launch("count", steps=6)
    bench.ended()
    hit = path_of(bench.folder(), bench.status().commit_slot)
    content = bytearray(hit.read_bytes())
    content[1000:1064] = bytes(64)
    hit.write_bytes(content)
    bench.launch("count", steps=8)
    assert bench.ended()["status"] == 0
    log = (bench.folder() / "log").read_text()
    assert "resumed from step 6" in log
    assert "blocks, set right" in log
    assert bench.tally().blocks_corrected == 1
    assert (bench.folder() / "out" / "result.txt").read_text() == "8000.0"


@pytest.mark.verifies("VA-EDC-07")
def test_what_hits_sealed_memory_is_set_right_before_it_is_used_or_committed(
    bench: LauncherBench,
) -> None:
    bench.launch("struck", steps=10)
    assert bench.ended()["status"] == 0
    assert (bench.folder() / "out" / "result.txt").read_text() == "1000000.0"
    tally = bench.tally()
    assert (tally.blocks_corrected, tally.blocks_lost) == (20, 0)
    assert tally.blocks_checked == 20 * 25
    assert tally.spent_ns > 0
    kept, _ = newest(
        [path_of(bench.folder(), slot) for slot in (0, 1)], {"numbers": np.zeros(10**5)}
    )
    assert kept is not None
    assert (kept.arrays["numbers"] == 10.0).all()


@pytest.mark.verifies("VA-EDC-07")
def test_memory_beyond_correction_ends_the_process_and_the_next_goes_on_from_the_commit(
    bench: LauncherBench,
) -> None:
    bench.launch("ruined", steps=4)
    assert bench.ended()["status"] == MEMORY_LOST
    status = bench.status()
    assert status.phase == PagePhase.FAILED
    assert status.message == (
        "MemoryLost: 1 blocks of 'numbers' have more wrong bits than can be corrected"
    )
    assert (status.commit_step, bench.tally().blocks_lost) == (2, 1)
    bench.launch("ruined", steps=4)
    assert bench.ended()["status"] == 0
    assert (bench.folder() / "out" / "result.txt").read_text() == "400000.0"


@pytest.mark.verifies("VA-EDC-08")
def test_what_a_job_only_reads_is_set_right_in_its_memory_from_outside(
    bench: LauncherBench,
) -> None:
    bench.launch("reader")
    bench.until_message("placed")
    region = open_region(bench.folder() / "regions" / "numbers")
    assert region.description.is_sealed
    assert region.description.pid == bench.status().pid
    region.data[500:564] = 0
    bench.until_message("wrong")
    with region.held():
        (mended,) = region.region().scrub()
    region.close()
    assert mended.verdict is Verdict.CORRECTED
    assert bench.ended()["status"] == 0
    assert (bench.folder() / "out" / "result.txt").read_text() == "False (1000, 100)"


def test_a_job_resumes_from_the_disk_when_its_folder_is_new(
    bench: LauncherBench, tmp_path: Path
) -> None:
    slots = CommitSlots(tmp_path, {"numbers": np.full(1000, 4.0)})
    slots.commit(4)
    slots.close()
    bench.launch("count", steps=5, resume=str(path_of(tmp_path, 0)))
    assert bench.ended()["status"] == 0
    assert bench.status().commit_count == 1
    assert (bench.folder() / "out" / "result.txt").read_text() == "5000.0"


@pytest.mark.verifies("VA-JOB-05")
def test_a_job_is_paused_goes_on_and_is_cancelled(bench: LauncherBench) -> None:
    bench.launch("patient")
    bench.await_phase(PagePhase.RUNNING)
    bench.control(Control.PAUSE)
    paused = bench.await_phase(PagePhase.PAUSED)
    wait_for(lambda: bench.status().heartbeat > paused.heartbeat)
    bench.control(Control.RUN)
    bench.await_phase(PagePhase.RUNNING)
    bench.control(Control.CANCEL)
    assert bench.ended()["status"] == 3
    assert bench.status().phase == PagePhase.CANCELLED


@pytest.mark.parametrize(
    ("toy", "message"),
    [
        ("broken", "ZeroDivisionError: the divisor is zero"),
        ("picky", "InputError: source is empty"),
        ("missing", "AttributeError: module 'toy_jobs' has no attribute 'missing'"),
    ],
)
def test_a_job_that_raises_is_failed_with_its_reason(
    bench: LauncherBench, toy: str, message: str
) -> None:
    bench.launch(toy)
    assert bench.ended()["status"] == 1
    assert bench.status().phase == PagePhase.FAILED
    assert bench.status().message == message
    assert "Traceback" in (bench.folder() / "log").read_text()


@pytest.mark.verifies("VA-LVL-01", "VA-LVL-09")
def test_a_job_begins_at_its_level_and_what_it_found_counts_also_when_it_fails(
    bench: LauncherBench,
) -> None:
    bench.launch("unlucky", level=2)
    bench.ended()
    status = bench.status()
    assert status.message == "ResultError: wrong at level DMR"
    assert (status.level, status.tally[:2]) == (2, (3, 1))


def test_an_entry_that_nobody_declares_is_failed(bench: LauncherBench) -> None:
    bench.launch("count", declaration=None)
    bench.ended()
    assert "no installed job has the entry 'toy_jobs:count'" in bench.status().message


def test_a_crash_is_reported_with_its_signal(bench: LauncherBench) -> None:
    bench.launch("suicidal")
    ended = bench.ended()
    assert (ended["status"], ended["signal"]) == (None, signal.SIGABRT)
    assert not list(bench.folder().glob("core*"))


@pytest.mark.verifies("VA-JOB-05")
def test_an_endless_loop_is_killed_when_asked(bench: LauncherBench) -> None:
    pid = bench.launch("stuck")
    wait_for(lambda: bench.status().message == "stuck")
    bench.channel.send("kill", {"job_id": 7, "signal": signal.SIGKILL})
    ended = bench.ended()
    assert (ended["signal"], ended["reason"]) == (signal.SIGKILL, "asked")
    assert not is_alive(pid)


def test_a_stopped_job_is_killed_when_asked(bench: LauncherBench) -> None:
    pid = bench.launch("patient")
    os.kill(pid, signal.SIGSTOP)
    bench.channel.send("kill", {"job_id": 7, "signal": signal.SIGKILL})
    assert bench.ended()["signal"] == signal.SIGKILL


@pytest.mark.verifies("VA-JOB-02")
@pytest.mark.parametrize(
    ("toy", "limits", "reason"),
    [
        ("hungry", {"memory_mb": 400}, "memory"),
        ("stuck", {"wall_s": 1}, "wall"),
        ("stuck", {"cpu_s": 1}, "cpu"),
    ],
)
def test_a_job_over_its_limit_is_ended_and_the_limit_is_named(
    bench: LauncherBench, toy: str, limits: dict[str, int], reason: str
) -> None:
    bench.launch(toy, limits=limits)
    ended = bench.ended()
    assert ended["reason"] == reason
    assert ended["signal"] == (signal.SIGXCPU if reason == "cpu" else signal.SIGKILL)


def test_what_a_job_forked_ends_with_it(bench: LauncherBench) -> None:
    bench.launch("forking")
    assert bench.ended()["status"] == 0
    left = int((bench.folder() / "out" / "result.txt").read_text())
    wait_for(lambda: not is_alive(left))


def test_a_job_cannot_reach_outside_or_it_says_so(bench: LauncherBench, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    (tmp_path / "input").write_text(str(outside))
    bench.launch("nosy", inputs={"source": str(tmp_path / "input")})
    assert bench.ended()["status"] == 0, bench.status().message
    worked = (bench.folder() / "out" / "result.txt").read_text().split()
    if landlock_version() == 0:
        assert bench.status().is_unconfined
        assert "write" in worked
    else:
        assert not bench.status().is_unconfined
        allowed = {"kill"} if landlock_version() < 6 else set()
        assert set(worked) <= allowed


@pytest.mark.verifies("VA-SEC-05")
@pytest.mark.parametrize(
    "change",
    [
        {"folder": "/tmp"},
        {"job_id": "7"},
        {"parameters": "text"},
        {"parameters": 1 << 40},
        {"limits": {"memory_mb": -1}},
        {"limits": [1]},
        {"inputs": 5},
        {"level": 9},
        {"level": "dmr"},
        {"entry": None, "folder": None},
    ],
)
def test_a_wrong_launch_is_refused_with_a_reason(
    bench: LauncherBench, change: dict[str, Any]
) -> None:
    bench.ask("count", **change)
    assert bench.expect("refused").body["text"]
    bench.launch("count", job_id=8)
    assert bench.ended(8)["status"] == 0


def test_a_job_that_runs_already_is_not_launched_twice(bench: LauncherBench) -> None:
    bench.launch("patient")
    bench.ask("patient")
    assert "already running" in bench.expect("refused", job_id=7).body["text"]


def test_ends_are_kept_until_they_are_acknowledged(bench: LauncherBench) -> None:
    bench.launch("count")
    ended = bench.ended()
    running = bench.launch("patient", job_id=8)
    bench.channel.send("hello", {})
    table = bench.expect("table", exited=[ended]).body
    assert [row[:2] for row in table["jobs"]] == [[8, running]]
    bench.channel.send("acknowledge", {"job_id": 7})
    bench.channel.send("hello", {})
    bench.expect("table", exited=[])
    for odd in ({}, {"job_id": [1]}, {"job_id": 99, "signal": "x"}):
        for kind in ("acknowledge", "kill", "nonsense"):
            bench.channel.send(kind, odd)
    bench.channel.send("hello", {})
    bench.expect("table")


@pytest.mark.verifies("VA-SUP-04")
@pytest.mark.parametrize("toy", ["stuck", "patient"])
def test_jobs_end_with_the_launcher_and_the_supervisor(bench: LauncherBench, toy: str) -> None:
    pid = bench.launch(toy)
    bench.await_phase(PagePhase.RUNNING)
    bench.process.kill()  # both die at once: only the lease is left
    bench.end_lease()
    wait_for(lambda: not is_alive(pid))
    assert bench.status().phase == PagePhase.RUNNING  # which reads as: interrupted


def test_jobs_are_ended_by_a_launcher_that_is_told_to_end(bench: LauncherBench) -> None:
    pid = bench.launch("stuck")
    bench.process.terminate()
    assert bench.process.wait(60) == 0
    assert not is_alive(pid)


def test_a_page_dates_its_job_as_the_launcher_does(bench: LauncherBench) -> None:
    bench.ask("patient")
    told = bench.expect("launched").body
    bench.await_phase(PagePhase.RUNNING)
    status = bench.status()
    assert (status.pid, status.start_time) == (told["pid"], told["start_time"])


def test_a_job_whose_pid_was_given_again_is_not_adopted(tmp_path: Path) -> None:
    (tmp_path / LAUNCH_FILE).write_text('{"limits": {}}')
    processes, own = Processes(), os.getpid()
    began = processes.start_time(own)
    assert JobProcess.adopt(7, own, began - 1, tmp_path, processes, now=1.0) is None
    job = JobProcess.adopt(7, own, began, tmp_path, processes, now=1.0)
    assert job is not None
    job.close()


@pytest.fixture
def subreaper() -> Iterator[None]:
    """This process adopts orphans, as the supervisor does."""
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    yield
    libc.prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


@pytest.mark.usefixtures("subreaper")
def test_jobs_survive_their_launcher_and_are_adopted_by_the_next(bench: LauncherBench) -> None:
    living = bench.launch("patient", limits={"memory_mb": 4000})
    dead = bench.launch("patient", job_id=8)
    for job_id in (7, 8):
        bench.await_phase(PagePhase.RUNNING, job_id)
    bench.process.kill()
    bench.process.wait(60)
    os.kill(dead, signal.SIGKILL)
    os.waitpid(dead, 0)
    beat = bench.status().heartbeat
    bench.channel.close()
    bench.seen.clear()
    bench.start()
    bench.hello()
    table = bench.expect("table").body
    assert [row[:2] for row in table["jobs"]] == [[7, living]]
    assert [(row["job_id"], row["reason"]) for row in table["exited"]] == [(8, "lost")]
    wait_for(lambda: bench.status().heartbeat > beat)
    bench.channel.send("kill", {"job_id": 7, "signal": signal.SIGKILL})
    wait_for(lambda: os.waitpid(living, os.WNOHANG) != (0, 0))
    ended = bench.ended()
    assert (ended["status"], ended["signal"], ended["reason"]) == (None, None, "asked")


class Immortal(Processes):
    """A process table in which a kill does nothing, as with a driver in D state."""

    def kill(self, pid: int, number: int) -> None:
        """Do nothing."""


def test_a_job_that_survives_its_kill_is_reported_once(tmp_path: Path) -> None:
    mine, theirs = pair()
    lease = os.pipe()
    channel, other = Channel(mine), Channel(theirs)
    launcher = Launcher(Lifeline(other, lease[0]), tmp_path, processes=Immortal())
    job = JobProcess(7, os.getpid(), tmp_path, Limits(), Immortal(), now=100.0)
    launcher._running[7] = job
    job.is_child = False
    job.kill(signal.SIGKILL, 100.0)
    launcher.handle(Message(1, 0, "kill", {"job_id": 7, "signal": signal.SIGKILL}))
    for now in (100.5, 101.9, 102.1, 103.0, 110.0):
        launcher.watch(now)
    told = [m.body for m in channel.receive() if m.kind == "unkillable"]
    assert told == [{"job_id": 7, "pid": os.getpid()}]
    job.close()
    for end in (channel, other):
        end.close()
    for fd in lease:
        os.close(fd)


def test_without_a_list_it_warms_every_installed_job_in_one_thread(tmp_path: Path) -> None:
    bench = WorkerBench(
        "flight.components.job_runner.worker.launcher", tmp_path, {"run_dir": str(tmp_path)}
    )
    try:
        bench.hello()
        assert bench.expect("warm", timeout_s=100.0).body == {"threads": 1}
        maps = Path(f"/proc/{bench.process.pid}/maps").read_text()
        assert "llvmlite" in maps
    finally:
        bench.close()
