"""Jobs in this process, without a payload around them: for tests, and for a run by hand."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # jobs bring their own threads; see docs/jobs.md

from flight.fault_tolerance.errors import Array, InputError
from flight.fault_tolerance.levels import Level, Tally
from flight.jobs.api import check_region
from flight.jobs.declaration import JobDeclaration
from flight.jobs.registry import by_name

if TYPE_CHECKING:
    from flight.jobs.memory import JobMemory
    from hal.compute.device import ComputeDevice


@dataclass(frozen=True)
class Commit:
    """A copy of a job's registered arrays after `step` steps."""

    step: int
    arrays: Mapping[str, Array]


@dataclass
class LocalJob:
    """A job in this process, its commits in memory: for tests and for a run by hand.

    `inputs` gives the file of each FileName parameter that is set. `on_beat` is called at each
    beat; it may raise JobCancelled.
    """

    declaration: JobDeclaration
    parameters: Any
    folder: Path
    inputs: Mapping[str, Path] = field(default_factory=dict)
    resume: Commit | None = None
    on_beat: Callable[[], None] | None = None
    on_log: Callable[[str], None] | None = None
    on_progress: Callable[[LocalJob], None] | None = None
    device: ComputeDevice | None = None
    level: Level = Level.NONE
    tally: Tally = field(default_factory=Tally)
    step: int = 0
    total: int = 0
    done: int = 0
    beats: int = 0
    last_commit: Commit | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    _arrays: dict[str, Array] | None = None
    _drafts: Path | None = None

    @property
    def compute(self) -> ComputeDevice:
        """`device`, or else the host's processor, which no board watches."""
        if self.device is None:
            from hal.compute.device import (
                open_device,  # a job that only reads files needs no device
            )

            self.device = open_device("host", None)
        return self.device

    def input(self, field: str) -> Path:
        """The file given for parameter `field`."""
        path = self.inputs.get(field)
        if path is None:
            raise InputError(f"{field} names no file; set {field}=FILE")
        if not path.is_file():
            raise InputError(f"{field}: there is no file {path}")
        return path

    def output(self, name: str) -> Path:
        """A draft, moved into `folder` by `publish`."""
        if name not in {output.name for output in self.declaration.outputs}:
            raise ValueError(f"job {self.declaration.name} declares no output {name!r}")
        if self._drafts is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._drafts = Path(tempfile.mkdtemp(prefix=".draft-", dir=self.folder))
        return self._drafts / name

    def state(self, **arrays: Array) -> None:
        """Register the arrays; fill them from `resume` where there is one."""
        if self._arrays is not None:
            raise ValueError("a job registers its state once")
        self._arrays = arrays
        if self.resume is None:
            return
        for name, array in arrays.items():
            kept = self.resume.arrays.get(name)
            if kept is None or kept.shape != array.shape or kept.dtype != array.dtype:
                raise InputError(
                    f"the commit holds no array '{name}' of {array.dtype} {array.shape}; "
                    "start the job anew"
                )
            array[...] = kept
        self.step = self.resume.step
        self._mark(self.step)

    @cached_property
    def _memory(self) -> JobMemory:
        from flight.jobs.memory import JobMemory  # with Numba, which many a test does without

        if self._arrays is None:
            raise ValueError("register the job's arrays with state() before they are sealed")
        return JobMemory(self._arrays, self.tally)

    def seal(self) -> None:
        """Take down what the arrays hold."""
        self._memory.seal()

    def verify(self) -> int:
        """Check the arrays, and set them right."""
        return self._memory.verify()

    def region(self, name: str, array: Array) -> Array:
        """A read-only copy; it is not scrubbed here."""
        check_region(name, array)
        copy: Array = array.copy()
        copy.flags.writeable = False
        return copy

    def beat(self) -> None:
        """Count the beat; `on_beat` may cancel."""
        self.beats += 1
        if self.on_beat is not None:
            self.on_beat()

    def progress(self, step: int, total: int) -> None:
        """Keep the progress, and the metrics as they stand, in `history`."""
        self._mark(step)
        self.done, self.total = step, total
        self.history.append(dict(self.metrics))
        if self.on_progress is not None:
            self.on_progress(self)

    def metric(self, **values: float) -> None:
        """Set declared metrics."""
        known = {metric.name for metric in self.declaration.metric_fields}
        unknown = sorted(set(values) - known)
        if unknown:
            raise ValueError(f"job {self.declaration.name} declares no metric {unknown[0]!r}")
        self.metrics.update(values)

    def commit(self, step: int) -> None:
        """Copy the registered arrays, checked if they are sealed, into `last_commit`."""
        self._mark(step)
        if "_memory" in vars(self):
            self._memory.check()
        arrays = {name: array.copy() for name, array in (self._arrays or {}).items()}
        self.last_commit = Commit(step, arrays)

    def _mark(self, step: int) -> None:
        if self.device is not None:
            self.device.mark(0, step)

    def log(self, text: str) -> None:
        """Keep the sentence."""
        self.messages.append(text)
        if self.on_log is not None:
            self.on_log(text)

    def publish(self) -> dict[str, Path]:
        """Move what was written to its place in `folder`; the job ended well."""
        published = {}
        for draft in sorted(self._drafts.iterdir()) if self._drafts else ():
            published[draft.name] = draft.replace(self.folder / draft.name)
        self.close()
        return published

    def close(self) -> None:
        """Drop drafts and close the device; twice does no harm."""
        if self._drafts is not None:
            shutil.rmtree(self._drafts, ignore_errors=True)
            self._drafts = None
        if self.device is not None:
            self.device.close()
            self.device = None


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
    from hal.compute.device import open_device
    from hal.compute.upsets import Replayed

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
