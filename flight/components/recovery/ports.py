"""What recovery needs of the rest of the payload; the deployment connects it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from flight.components.board.notifications import DevicePicture
from flight.components.recovery.fault_table import Ask
from flight.components.recovery.stimuli import Running

Ended = Callable[[bool, str], None]
"""Called with whether it was done, and what is said about it."""


class Jobs(Protocol):
    """The job runner, as recovery sees it."""

    def running(self) -> Running:
        """The processes of jobs, and the jobs that wait after a failure."""
        ...

    def processes(self) -> Sequence[tuple[int, int]]:
        """(pid, start time in kernel ticks) of each process that runs a job."""
        ...

    def hold(self, reason: str) -> None:
        """Let no job run until `release`."""
        ...

    def release(self) -> None: ...

    def recall(self, reason: str, begun_by: int) -> None:
        """End every process begun by then (on-board ns); its job goes on from its last commit."""
        ...


class Board(Protocol):
    """The board monitor, as recovery sees it."""

    def picture(self) -> Sequence[DevicePicture]:
        """Every device as the newest readings show it."""
        ...

    def control(
        self, action: str, device: int, processes: Sequence[tuple[int, int]], ended: Ended
    ) -> bool:
        """Ask for one of `hal.device.CONTROLS`; False when nothing is taken now."""
        ...


class Computer(Protocol):
    """What can be done to the payload computer itself."""

    def reboot(self, reason: str) -> None:
        """End every process of the payload and start them all again."""
        ...

    def enter_safe_mode(self, reason: str) -> None:
        """Hold all jobs until ground says otherwise."""
        ...


class Others(Protocol):
    """Parts of the payload that can do something about a fault besides recovery."""

    def ask(self, what: Ask, reason: str) -> bool:
        """Ask for it; False when nobody on board does it now."""
        ...
