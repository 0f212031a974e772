"""Small jobs, good and bad, that the worker tests launch."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np

from flight.jobs.api import InputError, Job, ResultError
from flight.jobs.declaration import JobDeclaration, Output
from icd.fields import F64, U32, FileName, Text32


@dataclass(frozen=True)
class Parameters:
    """What the toys are told."""

    steps: Annotated[U32, "steps to do"] = 10
    source: Annotated[Text32, FileName(), "a file to read"] = ""


@dataclass(frozen=True)
class Metrics:
    """What the toys tell."""

    total: Annotated[F64, "sum of the state"] = 0.0


JOB = JobDeclaration(
    number=200,
    name="toy",
    description="A toy.",
    parameters=Parameters,
    entry="toy_jobs:count",
    outputs=(Output("result.txt", "the sum"), Output("other.txt", "never written")),
    metrics=Metrics,
)


def count(job: Job) -> None:
    """Add one to every number each step, commit each step, write the sum."""
    numbers = np.zeros(1000)
    job.state(numbers=numbers)
    for step in range(job.step, job.parameters.steps):
        job.beat()
        numbers += 1.0
        job.metric(total=float(numbers.sum()))
        job.progress(step + 1, job.parameters.steps)
        job.commit(step + 1)
    job.log("counted")
    job.output("result.txt").write_text(f"{numbers.sum()}")


def patient(job: Job) -> None:
    """Commit once, then beat until told otherwise."""
    numbers = np.full(10, 7.0)
    job.state(numbers=numbers)
    job.commit(job.step + 1)
    while True:
        job.beat()


def stuck(job: Job) -> None:
    """Never beat again."""
    job.log("stuck")
    while True:
        pass


def hungry(job: Job) -> None:
    """Eat memory until somebody minds."""
    meals = []
    while True:
        job.beat()
        meals.append(np.ones(1 << 20))


def broken(job: Job) -> None:
    """Fail as a job with a mistake does."""
    job.beat()
    raise ZeroDivisionError("the divisor is zero")


def unlucky(job: Job) -> None:
    """Tell the level it begins at, find a result wrong and give up."""
    job.tally.checks, job.tally.wrong = 3, 1
    raise ResultError(f"wrong at level {job.level.name}")


def picky(job: Job) -> None:
    """Refuse the input."""
    job.beat()
    raise InputError("source is empty")


def suicidal(job: Job) -> None:
    """End as a driver's crash does."""
    job.beat()
    os.abort()


def nosy(job: Job) -> None:
    """Try to leave the folder, and tell what worked."""
    worked = []
    outside = Path(job.input("source").read_text())
    for name, attempt in {
        "write": lambda: (outside / "written").write_text("x"),
        "read": lambda: (outside / "secret").read_text(),
        "list": lambda: list(outside.iterdir()),
        "kill": lambda: os.kill(os.getppid(), 0),
    }.items():
        try:
            attempt()
            worked.append(name)
        except OSError:
            pass
    job.output("result.txt").write_text(" ".join(worked))


def forking(job: Job) -> None:
    """Leave a process behind."""
    pid = os.fork()
    if pid == 0:
        while True:
            pass
    job.output("result.txt").write_text(str(pid))


def struck(job: Job) -> None:
    """Have a burst in its memory before each step but the first."""
    numbers = np.zeros(100_000)
    job.state(numbers=numbers)
    for step in range(job.step, job.parameters.steps):
        job.beat()
        job.verify()
        numbers += 1.0
        job.seal()
        numbers[1000 * step : 1000 * step + 8] = 7e77
        job.commit(step + 1)
        numbers[5 + step] = -1.0
    job.verify()
    job.output("result.txt").write_text(f"{numbers.sum()}")


def ruined(job: Job) -> None:
    """Lose memory beyond correction after the second step, unless it resumed."""
    numbers = np.zeros(100_000)
    job.state(numbers=numbers)
    resumed = job.step
    for step in range(job.step, job.parameters.steps):
        job.beat()
        job.verify()
        numbers += 1.0
        job.seal()
        job.commit(step + 1)
        if not resumed and step == 1:
            numbers[:64] = 7e77
    job.verify()
    job.output("result.txt").write_text(f"{numbers.sum()}")


def reader(job: Job) -> None:
    """Read a region until it holds what another process put right."""
    golden = np.arange(100_000, dtype=np.int32).reshape(1000, 100)
    read = job.region("numbers", golden)
    job.log("placed")
    while (read == golden).all():
        job.beat()
    job.log("wrong")
    while not (read == golden).all():
        job.beat()
    job.output("result.txt").write_text(f"{read.flags.writeable} {read.shape}")


def linking(job: Job) -> None:
    """Leave a symbolic link where a product should be."""
    job.output("result.txt").symlink_to("/etc/hostname")
