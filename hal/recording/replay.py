"""The replay board: a recorded trace behind the contract of a board, played at its own pace."""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from hal.device import (
    CONTROLS,
    Board,
    BoardIdentity,
    ControlRequest,
    ControlResult,
    Device,
    Fault,
    ProcessUse,
)
from hal.errors import DriverMissing
from hal.reading import Reading, Validity, invalid, tai_now
from hal.recording import trace
from hal.recording.trace import Sample, Trace

TRACE = "VANALLEN_TRACE"
REPEAT = "VANALLEN_TRACE_REPEAT"
"""Environment variables: the trace to play; with `1`, over and over."""

_LONGEST_WAIT_S = 0.05


def open_board(
    name: str,
    environment: Mapping[str, str],
    *,
    allow_control: frozenset[str] = frozenset(),  # noqa: ARG001
    clock: Callable[[], int] | None = None,
    wait: Callable[[float], None] = time.sleep,
) -> Board:
    """Play the trace that the environment names; nothing of it can be controlled.

    Raises DriverMissing when none is named, WrongTrace when it cannot be read.
    """
    path = environment.get(TRACE)
    if not path:
        raise DriverMissing(
            f"name a trace in {TRACE}; record one with: python -m hal record --out FILE"
        )
    is_repeated = environment.get(REPEAT) == "1"
    return ReplayBoard(name, trace.read(Path(path)), clock or tai_now, wait, is_repeated)


class ReplayBoard:
    """See `hal.device.Board`; after the end of its trace every reading is stale."""

    def __init__(
        self,
        name: str,
        recorded: Trace,
        clock: Callable[[], int],
        wait: Callable[[float], None],
        is_repeated: bool = False,
    ) -> None:
        self._name = name
        self._trace = recorded
        self._clock = clock
        self._wait = wait
        self._is_repeated = is_repeated
        self._times = [sample.time_us for sample in recorded.samples]
        self._length_us = recorded.duration_us + round(1e6 / recorded.rate_hz)
        self._start_ns = clock()
        self._told = -1
        self._open = True

    def identity(self) -> BoardIdentity:
        found = self._trace.identity
        return replace(found, board=self._name, driver=f"replay of {found.board}")

    def devices(self) -> list[Device]:
        return list(self._trace.identity.devices)

    def read(self) -> list[Reading]:
        place, now_ns = self._place(), self._clock()
        readings = self._sample(place).readings
        if not self._open:
            reason = "the board is closed; open it again"
            return [invalid(r.name, r.unit, now_ns, Validity.ERROR, reason) for r in readings]
        if self._has_ended(place):
            return [self._outlived(reading, now_ns) for reading in readings]
        return [replace(reading, time_ns=now_ns) for reading in readings]

    def processes(self) -> list[ProcessUse]:
        return list(self._sample(self._place()).processes)

    def faults(self, timeout_s: float) -> list[Fault]:
        deadline_ns = self._clock() + round(timeout_s * 1e9)
        while self._open:
            if found := self._new_faults():
                return found
            left_s = (deadline_ns - self._clock()) / 1e9
            if left_s <= 0.0:
                break
            self._wait(min(left_s, _LONGEST_WAIT_S))
        return []

    def control(self, request: ControlRequest) -> ControlResult:
        if request.action not in CONTROLS:
            text = f"no {request.action!r}; known: {', '.join(CONTROLS)}"
        elif not 0 <= request.device < len(self.devices()):
            text = f"no device {request.device}; this board has {len(self.devices())}"
        else:
            text = "a recorded board cannot be changed"
        return ControlResult(request, False, None, text)

    def close(self) -> None:
        self._open = False

    def _place(self) -> int:
        """Number of the sample in force, counted on through every repetition."""
        elapsed_us = max(0, self._clock() - self._start_ns) // 1000
        rounds, within_us = divmod(elapsed_us, self._length_us)
        if rounds and not self._is_repeated:
            return len(self._times)
        return rounds * len(self._times) + max(0, bisect_right(self._times, within_us) - 1)

    def _has_ended(self, place: int) -> bool:
        return not self._is_repeated and place >= len(self._times)

    def _sample(self, place: int) -> Sample:
        if self._has_ended(place):
            return self._trace.samples[-1]
        return self._trace.samples[place % len(self._times)]

    def _outlived(self, reading: Reading, now_ns: int) -> Reading:
        if not reading.is_valid:
            return replace(reading, time_ns=now_ns)
        reason = f"the trace ended after {self._length_us / 1e6:g} s"
        return replace(reading, time_ns=now_ns, validity=Validity.STALE, reason=reason)

    def _new_faults(self) -> list[Fault]:
        place = self._place()
        last = place - 1 if self._has_ended(place) else place
        now_ns = self._clock()
        found = [
            replace(fault, time_ns=now_ns)
            for number in range(self._told + 1, last + 1)
            for fault in self._sample(number).faults
        ]
        self._told = last
        return found
