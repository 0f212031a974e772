"""Run a job by hand, in this process, without a payload around it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # jobs bring their own threads; see docs/jobs.md

from flight.jobs.api import LocalJob
from flight.jobs.declaration import JobDeclaration
from flight.jobs.registry import by_name
from flight.protection.levels import Level, Tally

if TYPE_CHECKING:
    from hal.compute import ComputeDevice


@dataclass(frozen=True)
class LocalResult:
    """What a run by hand left: files by name, last metrics, messages, protection's counts."""

    files: Mapping[str, Path]
    metrics: Mapping[str, float]
    messages: tuple[str, ...]
    tally: Tally


def run_local(
    name: str,
    settings: Mapping[str, str],
    folder: Path,
    on_progress: Callable[[LocalJob], None] | None = None,
    on_log: Callable[[str], None] | None = None,
    device: ComputeDevice | None = None,
    level: Level = Level.NONE,
) -> LocalResult:
    """Run the job `name` to its end and publish its outputs in `folder`.

    `settings` are parameters as typed ("size": "256"); a file parameter is a path on this machine.
    It computes on `device`, which is closed at the end, or on this machine's processor; its results
    are protected at `level`.
    Raises LookupError for an unknown job, icd FieldError for a setting, JobError for the rest.
    """
    declaration = by_name(name)
    files = {key: Path(settings[key]) for key in declaration.inputs if settings.get(key)}
    # the wire's name is short; on this machine the path may be long, so only its name travels
    words = {key: files[key].name if key in files else text for key, text in settings.items()}
    parameters = declaration.parse(words)
    job = LocalJob(
        declaration,
        parameters,
        folder,
        inputs=files,
        on_progress=on_progress,
        on_log=on_log,
        device=device,
        level=level,
    )
    try:
        entry_of(declaration)(job)
        published = job.publish()
    finally:
        job.close()
    return LocalResult(published, dict(job.metrics), tuple(job.messages), job.tally)


@contextmanager
def replaying(log: Path | None, job: int) -> Iterator[ComputeDevice | None]:
    """A device on which the flips of a log happen again; None without a log.

    Raises ValueError for a file that is no such log, for one without flips of that job, and in
    the end when some of its flips were not done: then this was not the job that was struck.
    """
    if log is None:
        yield None
        return
    from hal.compute import open_device
    from hal.flips import Replayed

    flips = Replayed.of(log, job)
    if not flips.left:
        raise ValueError(f"{log} has no flips of job {job}; name the job that was struck")
    yield open_device("host", flips=flips)
    if flips.left:
        raise ValueError(f"{flips.left} flips of job {job} found no place; give its own settings")


def entry_of(declaration: JobDeclaration) -> Callable[[Any], None]:
    """The entry function of a job; importing it also compiles or loads its kernels."""
    module, function = declaration.entry.split(":")
    entry: Callable[[Any], None] = getattr(import_module(module), function)
    return entry
