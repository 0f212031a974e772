"""What the scrubber needs of the rest of the payload; the deployment connects it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class OwnerChecked(NamedTuple):
    """What a job checks of its own memory, as its status page tells."""

    job: int
    pid: int
    blocks: int
    """Blocks looked at since its process started."""
    corrected: int
    lost: int


class MemoryErrors(NamedTuple):
    """What one part of the hardware counted."""

    where: str
    """Such as gpu0, or edac."""
    what: str
    errors: float
    is_valid: bool


class Jobs(Protocol):
    """The job runner, as the scrubber sees it."""

    def owner_checked(self) -> Sequence[OwnerChecked]:
        """Each job that has a process."""
        ...

    def roll_back(self, job: int, reason: str) -> None:
        """End its process; it goes on from its last commit."""
        ...


class Board(Protocol):
    """The board monitor, as the scrubber sees it."""

    def memory_errors(self) -> Sequence[MemoryErrors]:
        """ECC counters, rows remapped and to be remapped, and what Linux EDAC counts."""
        ...


class Payload(Protocol):
    """The payload's own processes."""

    def processes(self) -> Sequence[tuple[str, int]]:
        """(name, pid) of the executive and of every worker."""
        ...

    def restart_executive(self, reason: str) -> None: ...
