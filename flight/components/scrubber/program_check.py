"""The executive's own program memory: compared slice by slice, and the end when it is wrong."""

from __future__ import annotations

from collections.abc import Callable

from flight.framework.ports import Port
from flight.framework.program_memory import Program
from flight.framework.time_units import SECOND

SLICE = 12 << 10
"""Octets of program memory compared in one step: about 0.1 ms."""
FIRST_PASS_NS = SECOND // 2
"""Between two steps of the first pass, which makes the checksums."""
RESTART_WAIT_NS = 2 * SECOND
"""For the disk to keep why, before the executive ends."""


class ProgramCheck:
    """Compares program memory with its checksums, and ends the executive when told to."""

    def __init__(self, program: Program, port: Port, end: Callable[[str], None]) -> None:
        """`end` ends the executive for the reason that it is given."""
        self.program = program
        self._port = port
        self._end = end
        self._check_due = 0
        self._ending: tuple[int, str] | None = None
        """When the executive ends, and why."""

    @property
    def due(self) -> int:
        """When `run` has something to do next, in on-board ns."""
        return self._check_due if self._ending is None else min(self._check_due, self._ending[0])

    def run(self, now: int) -> list[str]:
        """Do what is due at on-board time `now` (ns); what was found changed, by name."""
        if self._ending is not None and now >= self._ending[0]:
            self._end(self._ending[1])
            self._ending = None
        if now < self._check_due:
            return []
        changed = self.program.check(SLICE)
        is_first = self.program.items and not self.program.passes
        self._check_due = now + (FIRST_PASS_NS if is_first else SECOND)
        return changed

    def recompute(self) -> None:
        """Take program memory as it is now for right, and compare again at once."""
        self.program.recompute()
        self._check_due = 0
        self._port.wake()

    def end_soon(self, reason: str) -> None:
        """End the executive after a short while; `end_now` is for when the disk has kept why."""
        self._ending = self._port.clock() + RESTART_WAIT_NS, reason

    def end_now(self) -> None:
        """What was begun by `end_soon` waits no longer."""
        if self._ending is not None:
            self._ending = self._port.clock(), self._ending[1]
            self._port.wake()
