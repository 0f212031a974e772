"""What a job's entry function is handed, and the same in memory for tests and runs by hand.

JobError                the job cannot go on
├── InputError          the operator's doing: a parameter or an input file
└── ResultError         the machine's doing: a result failed its own check
    └── MemoryLost      memory of the job has more wrong bits than can be corrected
JobCancelled            the operator asked for the end; let it pass
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from flight.jobs.declaration import JobDeclaration
from flight.protection.levels import Level, Tally

if TYPE_CHECKING:
    from flight.jobs.memory import JobMemory
    from hal.compute import ComputeDevice

_REGION_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")

Array = np.ndarray[Any, np.dtype[Any]]


class JobError(Exception):
    """The job cannot go on; the message is for the operator."""


class InputError(JobError):
    """A parameter or an input file that the job cannot use; the message says what it can."""


class ResultError(JobError):
    """A result that failed the job's own check: run the job again."""


class MemoryLost(ResultError):
    """Memory of the job is wrong beyond correction; the job goes back to its last commit."""


class JobCancelled(Exception):
    """The operator ended the job; raised by `beat`, to be let through."""


class Job(Protocol):
    """One job as its entry function sees it."""

    @property
    def parameters(self) -> Any:
        """The checked parameters, an instance of the declaration's dataclass."""

    @property
    def step(self) -> int:
        """The step of the commit the job resumes from; 0 when it starts. Valid after `state`."""

    @property
    def compute(self) -> ComputeDevice:
        """The device that the job computes on; opened when it is first asked for."""

    @property
    def level(self) -> Level:
        """How results are to be protected now; it may change between two steps."""

    @property
    def tally(self) -> Tally:
        """Where protection counts what it did; ground is told with the next beat."""

    def input(self, field: str) -> Path:
        """The staged file that parameter `field` names; raises InputError when there is none."""

    def output(self, name: str) -> Path:
        """Where to write a declared output; it is published when the job ends well."""

    def state(self, **arrays: Array) -> None:
        """Register, once, the C-contiguous arrays that make up the job's state.

        When the job resumes they are filled, in place, from the last commit.
        """

    def seal(self) -> None:
        """The registered arrays do not change until `verify`: take down what they hold."""

    def verify(self) -> int:
        """Check the registered arrays since `seal`, and set wrong bits right in place.

        Comes before they change; does nothing without a `seal` since the last one. Returns how
        many blocks were wrong: what was computed from them since `seal` may be wrong as well.
        Raises MemoryLost, to be let through.
        """

    def region(self, name: str, array: Array) -> Array:
        """A read-only copy of the array in memory that is looked after: give up the array for it.

        For what a job only reads: its input, the weights it uses. The name is made of lower-case
        letters, digits and "-". Raises MemoryError when there is no room.
        """

    def beat(self) -> None:
        """Say that the job is alive; blocks while paused, raises JobCancelled."""

    def progress(self, step: int, total: int) -> None:
        """Say how many of `total` steps are done."""

    def metric(self, **values: float) -> None:
        """Set declared metrics, in their declared units."""

    def commit(self, step: int) -> None:
        """Keep a copy of the registered arrays to resume from: `step` steps are done.

        Sealed arrays are checked first, so that no commit keeps a wrong bit. Raises MemoryLost.
        """

    def log(self, text: str) -> None:
        """A sentence for people; the last one stands in the job's status."""


def check_region(name: str, array: Array) -> None:
    """Raise ValueError for a region that cannot be."""
    if not _REGION_NAME.fullmatch(name):
        raise ValueError(f"a region called {name!r}; use 1 to 32 of a-z, 0-9 and '-'")
    if array.dtype.hasobject or not array.nbytes:
        raise ValueError(f"region {name!r} of {array.nbytes} octets of {array.dtype}; give numbers")


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
            from hal.compute import open_device  # a job that only reads files needs no device

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
        """A read-only copy; nobody looks after it here."""
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
