"""The job runner with the real storage worker, launcher and job processes."""

from __future__ import annotations

import json
import os
import select
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from flight.components.job_runner.component import JobRunner
from flight.components.job_runner.ports import JobSettings
from flight.components.job_runner.records import JobPhase
from flight.components.job_runner.worker.status_page import StatusPages
from flight.framework.ports import StorageResult, WorkerMessage
from flight.jobs.matmul import JOB as MATMUL
from flight.jobs.matmul import Parameters
from flight.storage.file_names import file_path
from tests.flight.support.component_harness import Bench
from tests.flight.support.worker_harness import WorkerBench

P = JobPhase
LIMIT_S = 120.0
HANG_S, DISK_INTERVAL_S = 3, 6
"""Indices of parameters of the runner."""

PATIENT_S, STRICT_S = 30.0, 1.0
"""A sound job may be silent for long on a busy machine; strict is for one that is stopped."""


class Line:
    """A worker, and storage, over the channel of a worker bench."""

    def __init__(self, bench: WorkerBench) -> None:
        self.name = "worker"
        self.pid = bench.process.pid
        self.last_beat: int | None = None
        self.channel = bench.channel
        self._handler: Callable[[WorkerMessage], None] = lambda _: None
        self._asked: dict[int, Callable[[StorageResult], None]] = {}
        self._serial = 0

    def send(self, kind: str, body: Mapping[str, Any]) -> bool:
        return self.channel.send(kind, dict(body))

    def on_message(self, handler: Callable[[WorkerMessage], None]) -> None:
        self._handler = handler

    def submit(
        self, operation: str, done: Callable[[StorageResult], None], **arguments: Any
    ) -> bool:
        self._serial += 1
        self._asked[self._serial] = done
        return self.send(operation, {"id": self._serial, **arguments})

    def receive(self) -> None:
        for message in self.channel.receive():
            body = dict(message.body)
            if message.kind == "done" and (done := self._asked.pop(body.pop("id"), None)):
                done(StorageResult(**body))
            elif message.kind not in ("done", "beat"):
                self._handler(WorkerMessage(self.name, message.kind, message.body))


class Payload:
    """A state and a run directory, two workers, and a runner that can be replaced."""

    def __init__(self, folder: Path) -> None:
        self.state, self.run = folder / "state", folder / "run"
        for path in (self.state, self.run):
            path.mkdir()
        folders = {"state_dir": str(self.state), "run_dir": str(self.run)}
        self.workers = [
            WorkerBench("flight.storage.worker.worker", folder, folders),
            WorkerBench(
                "flight.components.job_runner.worker.launcher",
                folder,
                {"run_dir": str(self.run)},
            ),
        ]
        (folder / "cache").mkdir()
        self.restart()

    def restart(self) -> None:
        """Another executive: nothing of the last one is left."""
        self.lines = [Line(worker) for worker in self.workers]
        storage, launcher = self.lines
        self.bench = Bench("jobs", 5)
        self.bench.now = time.monotonic_ns()
        self.runner = JobRunner(
            self.bench.port,
            storage,
            launcher,
            StatusPages(self.run),
            {2: MATMUL},
            file_path,
            JobSettings(str(self.state), str(self.run)),
        )
        self.runner.set_parameters([(HANG_S, PATIENT_S), (DISK_INTERVAL_S, 0.1)])
        self.bench.plug(self.runner)

    def until(self, condition: Callable[[], Any]) -> None:
        """Serve until something is so."""
        deadline = time.monotonic() + LIMIT_S
        while not condition():
            assert time.monotonic() < deadline, self.bench.events()
            select.select([line.channel for line in self.lines], [], [], 0.02)
            for line in self.lines:
                line.receive()
            self.bench.now = time.monotonic_ns()
            self.bench.step()

    def submitted(self, size: int, repeats: int) -> int:
        """Submit products of matrices; the job's number."""
        self.until(lambda: self.runner.core.table.is_synced)
        arguments = MATMUL.pack(Parameters(size=size, repeats=repeats))
        asker = self.bench.do("submit", 2, MATMUL.fragment().hash, 10, 0, 0, 1, arguments)
        self.until(lambda: asker.is_answered)
        assert asker.failure is None
        job: int = asker.result.job
        return job

    def until_phase(self, job: int, phase: JobPhase) -> None:
        """Serve until a job is in a phase."""
        self.until(
            lambda: job in self.runner.core.jobs and self.runner.core.jobs[job].phase is phase
        )

    def until_beating(self, job: int) -> None:
        """Serve until a job's process is at work."""
        core = self.runner.core
        self.until(lambda: core.jobs[job].phase is P.RUNNING and core.table.runs[job].heartbeat > 2)

    def until_retried(self, job: int) -> None:
        """Serve until another of a job's attempts is given up."""
        before = self.retries_of(job)
        self.until(lambda: self.retries_of(job) > before)

    def until_hung(self, job: int) -> None:
        """Serve until a job that was stopped is found hung; no sound one is under that limit."""
        self.runner.set_parameters([(HANG_S, STRICT_S)])
        self.until_retried(job)
        self.runner.set_parameters([(HANG_S, PATIENT_S)])

    def retries_of(self, job: int) -> int:
        """How many of a job's attempts were given up, as far as this executive told."""
        return sum(told[0] == job for told in self.bench.events("job_retried"))

    def result(self, job: int) -> dict[str, Any]:
        """What the job published, after a look at its manifest."""
        folder = self.state / "files" / "products" / f"job-{job}"
        manifest = json.loads((folder / "manifest.json").read_text())
        content = (folder / "result.json").read_bytes()
        assert manifest["files"]["result.json"]["size"] == len(content)
        result: dict[str, Any] = json.loads(content)
        return result

    def close(self) -> None:
        for worker in self.workers:
            worker.close()


@pytest.fixture
def payload(tmp_path: Path) -> Iterator[Payload]:
    made = Payload(tmp_path)
    yield made
    made.close()


@pytest.mark.slow
@pytest.mark.verifies("VA-JOB-03", "VA-JOB-04", "VA-SUP-02")
def test_a_job_that_is_killed_stopped_and_left_alone_ends_like_an_undisturbed_one(
    payload: Payload,
) -> None:
    calm = payload.submitted(512, 100)
    payload.until_phase(calm, P.DONE)
    job = payload.submitted(512, 100)
    record = payload.runner.core.jobs[job]
    payload.until_beating(job)
    os.kill(record.pid, signal.SIGKILL)
    payload.until_retried(job)
    payload.until_beating(job)
    os.kill(record.pid, signal.SIGSTOP)
    payload.until_hung(job)
    payload.until_beating(job)
    payload.restart()
    payload.until_phase(job, P.DONE)
    assert payload.result(job) == payload.result(calm)
    assert payload.bench.events("job_readopted")
    assert (payload.state / "files" / "logs" / f"job-{calm}.log").exists()


@pytest.mark.verifies("VA-JOB-05")
def test_a_running_job_is_paused_resumed_and_cancelled(payload: Payload) -> None:
    job = payload.submitted(512, 100_000)
    payload.until_phase(job, P.RUNNING)
    payload.bench.do("pause", job)
    payload.until_phase(job, P.PAUSED)
    payload.bench.do("resume", job)
    payload.until_phase(job, P.RUNNING)
    payload.bench.do("cancel", job)
    payload.until_phase(job, P.CANCELLED)
    assert payload.bench.events("job_cancelled") == [(job, "by telecommand")]
    payload.until(lambda: not (payload.run / "jobs" / str(job)).exists())
