"""The bus that hosts the payload: it alone can switch the payload's power off and on."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from hal.errors import DriverFault, TimedOut, Unsupported, WrongRequest
from icd import host_bus as layout
from icd.host_bus import Answer, Request

FOLDER = layout.ENVIRONMENT
OFF_S = 5.0
"""How long the rail is without power: until capacitors are empty and a latch-up is over."""

ANSWER_S = 120.0
_LOOK_S = 0.05


class HostBus(Protocol):
    """Somebody who can power-cycle the payload. Asking ends it, where the answer is yes."""

    def ask_power_cycle(self, reason: str, off_s: float = OFF_S) -> int:
        """Ask for a power cycle; the number of the request. Raises BoardError."""

    def answer(self, number: int) -> Answer | None:
        """What the host said to that request; None while it said nothing."""


class FolderHostBus:
    """A host bus that is reached through a folder; see `icd.host_bus` for what is in it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def ask_power_cycle(self, reason: str, off_s: float = OFF_S) -> int:
        if not layout.SHORTEST_OFF_S <= off_s <= layout.LONGEST_OFF_S:
            low, high = layout.SHORTEST_OFF_S, layout.LONGEST_OFF_S
            raise WrongRequest(f"{off_s:g} s without power; give {low:g} … {high:g} s")
        before, answered = (
            layout.read_request(self._folder),
            layout.read_answer(self._folder),
        )
        number = 1 + max(before.number if before else 0, answered.number if answered else 0)
        request = Request(number, layout.POWER_CYCLE, off_s, reason[:200])
        try:
            layout.write_request(self._folder, request)
        except OSError as error:
            raise DriverFault(
                f"the host bus in {self._folder} cannot be asked: {error.strerror}"
            ) from error
        return number

    def answer(self, number: int) -> Answer | None:
        found = layout.read_answer(self._folder)
        return found if found is not None and found.number == number else None


class NoHostBus:
    """What a payload has when nobody told it how to reach its host."""

    def ask_power_cycle(self, reason: str, off_s: float = OFF_S) -> int:  # noqa: ARG002
        raise Unsupported(f"nobody to ask for a power cycle; name the host bus in {FOLDER}")

    def answer(self, number: int) -> Answer | None:  # noqa: ARG002
        return None


def open_host_bus(environment: Mapping[str, str]) -> HostBus:
    """The host bus that the environment names, or one that refuses everything."""
    folder = environment.get(FOLDER)
    return FolderHostBus(Path(folder)) if folder else NoHostBus()


def power_cycle(
    bus: HostBus,
    reason: str,
    wait: Callable[[float], None],
    clock: Callable[[], float] = time.monotonic,
    limit_s: float = ANSWER_S,
) -> str:
    """Ask for a power cycle and wait until it is over; what the host says. Raises BoardError.

    Where the rail carries this computer too, this never returns.
    """
    number = bus.ask_power_cycle(reason)
    deadline = clock() + limit_s
    while clock() < deadline:
        answer = bus.answer(number)
        if answer is not None and answer.state == layout.DONE:
            return answer.text
        if answer is not None and answer.state == layout.REFUSED:
            raise DriverFault(f"the host bus refuses: {answer.text}")
        wait(_LOOK_S)
    raise TimedOut(f"the host bus did not switch the power within {limit_s:g} s")
