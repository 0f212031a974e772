"""A job runner on a bench, with simulated storage, launcher and jobs, stepped by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from flight.components.job_runner.component import JobRunner
from flight.components.job_runner.ports import JobSettings
from flight.components.job_runner.records import JobPhase
from flight.components.job_runner.simulated import Behaviour, SimulatedLauncher
from flight.fault_tolerance.levels import Protection
from flight.jobs.declaration import JobDeclaration, Output
from flight.storage.file_names import file_path
from flight.storage.simulated import SimulatedStorage
from icd.fields import F64, U16, FileName, Limits, Text32, Unit
from tests.flight.support.component_harness import Asker, Bench

STEP_S = 0.05


@dataclass(frozen=True)
class Parameters:
    size: Annotated[U16, "how large", Unit("m"), Limits(1, 100)] = 10


@dataclass(frozen=True)
class Metrics:
    loss: Annotated[F64, "how wrong"] = 0.0


@dataclass(frozen=True)
class ReaderParameters:
    text: Annotated[Text32, FileName(), "what to read"]
    second: Annotated[Text32, FileName(), "what else to read"] = ""


PLAIN = JobDeclaration(
    7,
    "plain",
    "A job that counts.",
    Parameters,
    "nowhere:run",
    (Output("result.json", "what it counted"),),
    Metrics,
    memory_mb=100,
    wall_s=1000,
)
READER = JobDeclaration(8, "reader", "A job that reads.", ReaderParameters, "nowhere:run")
JOBS = {7: PLAIN, 8: READER}


class JobBench:
    """A payload's worth of jobs; `restart` is another executive on the same disk and launcher."""

    def __init__(self, behaviour: Behaviour | None = None, most_jobs: int = 256) -> None:
        self.storage = SimulatedStorage()
        self.launcher = SimulatedLauncher(self.storage, behaviour)
        self.most_jobs = most_jobs
        self.jobs = dict(JOBS)
        self.bench = Bench("jobs", 5)
        self.plug()

    def plug(self) -> None:
        """Begin with a new runner."""
        settings = JobSettings("state", "run", self.most_jobs)
        self.runner = JobRunner(
            self.bench.port,
            self.storage,
            self.launcher,
            self.launcher,
            self.jobs,
            file_path,
            settings,
        )
        self.bench.plug(self.runner)

    def restart(self) -> None:
        """The executive dies and comes back; storage forgets what it was asked."""
        self.storage.lose()
        self.bench.work.clear()
        self.plug()

    def step(self, seconds: float = STEP_S) -> None:
        """Everything around the runner, then the runner."""
        self.bench.now += round(seconds * 1e9)
        self.launcher.run(self.bench.now)
        self.storage.run(self.bench.now)
        self.bench.step()
        if not self.storage.delay_ns:
            self.storage.settle()

    def until(self, condition: Callable[[], Any], limit_s: float = 200.0) -> None:
        """Step until something is so."""
        for _ in range(round(limit_s / STEP_S)):
            if condition():
                return
            self.step()
        raise AssertionError(f"not so within {limit_s} s: {self.bench.events()[-8:]}")

    def until_phase(self, job: int, *phases: JobPhase) -> None:
        """Step until a job is in one of these phases."""
        self.until(lambda: job in self.runner.core.jobs and self.phase(job) in phases)

    def run_for(self, seconds: float) -> None:
        """Step for a while."""
        for _ in range(round(seconds / STEP_S)):
            self.step()

    def submit(
        self,
        kind: int = 7,
        arguments: bytes = b"\x00\x0a",
        priority: int = 10,
        wall_s: int = 0,
        memory_mb: int = 0,
        fragment: int | None = None,
        protection: Protection = Protection.ADAPTIVE,
    ) -> Asker:
        """Send a submit; its answer comes later."""
        if fragment is None:
            fragment = JOBS[kind].fragment().hash if kind in JOBS else 0
        limits = priority, wall_s, memory_mb
        return self.bench.do("submit", kind, fragment, *limits, protection, arguments)

    def submitted(self, **options: Any) -> int:
        """Submit a job and return its number once it is durable."""
        self.until(lambda: self.runner.core.table.is_restored)
        asker = self.submit(**options)
        self.until(lambda: asker.is_answered)
        assert asker.failure is None, asker.failure
        job: int = asker.result.job
        return job

    def phase(self, job: int) -> JobPhase:
        """The phase of a job."""
        return self.runner.core.jobs[job].phase

    def told(self, name: str) -> list[tuple[Any, ...]]:
        """The events of one name."""
        return self.bench.events(name)

    def product(self, job: int, name: str) -> bytes:
        """A published file."""
        return bytes(self.storage.files[f"state/files/products/job-{job}/{name}"])

    def manifest(self, job: int) -> dict[str, Any]:
        """A job's manifest."""
        content: dict[str, Any] = json.loads(self.product(job, "manifest.json"))
        return content

    def put(self, name: str, octets: bytes) -> None:
        """Put a file into the file store."""
        self.storage.perform("make_dir", path="state/files/inputs")
        assert self.storage.perform("write", path=f"state/files/{name}", data=octets).ok
