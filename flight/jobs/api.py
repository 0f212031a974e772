"""What a job's entry function is handed; its errors: `flight.fault_tolerance.errors`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from flight.fault_tolerance.errors import (
    Array,
    InputError,
    JobCancelled,
    JobError,
    MemoryLost,
    ResultError,
)
from flight.fault_tolerance.levels import Level, Tally

if TYPE_CHECKING:
    from hal.compute.device import ComputeDevice

__all__ = [
    "Array",
    "InputError",
    "Job",
    "JobCancelled",
    "JobError",
    "MemoryLost",
    "ResultError",
    "check_region",
]

_REGION_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")


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
