"""Jobs run in this process, each in a folder of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flight.jobs.declaration import JobDeclaration
from flight.jobs.local import LocalJob, entry_of

MakeJob = Callable[..., LocalJob]


@pytest.fixture
def make_job(tmp_path: Path) -> Iterator[MakeJob]:
    """Makes a job from its declaration and settings as words; inputs by field."""
    made: list[LocalJob] = []

    def make(
        declaration: JobDeclaration,
        settings: dict[str, str] | None = None,
        inputs: dict[str, Path] | None = None,
        **options: Any,
    ) -> LocalJob:
        named = {field: path.name for field, path in (inputs or {}).items()}
        parameters = declaration.parse({**(settings or {}), **named})
        folder = tmp_path / f"job-{len(made)}"
        job = LocalJob(declaration, parameters, folder, inputs or {}, **options)
        made.append(job)
        return job

    yield make
    for job in made:
        job.close()


@pytest.fixture
def finish() -> Callable[[LocalJob], dict[str, bytes]]:
    """Runs a job to its end; returns its products' octets by name."""

    def run(job: LocalJob) -> dict[str, bytes]:
        entry_of(job.declaration)(job)
        return {name: path.read_bytes() for name, path in job.publish().items()}

    return run
