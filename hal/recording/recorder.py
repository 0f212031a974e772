"""The recorder: a board's every reading at a rate, through phases of load, as a trace."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from hal.device import Board, Fault
from hal.recording.trace import Sample, Trace

Load = Callable[[str], AbstractContextManager[object]]
"""Puts the load of a phase on the board for as long as the context lasts."""


@dataclass(frozen=True)
class Phase:
    """So many seconds of one load, by its name in `hal.recording.load.PHASES`."""

    load: str
    seconds: float


def record(
    board: Board,
    phases: Sequence[Phase],
    rate_hz: float,
    load: Load,
    clock: Callable[[], int],
    wait: Callable[[float], None],
) -> Trace:
    """Read the board `rate_hz` times a second through the phases; `clock` is TAI ns since 1958."""
    start_ns, period_ns = clock(), round(1e9 / rate_hz)
    samples: list[Sample] = []
    due_ns = end_ns = start_ns
    for phase in phases:
        end_ns += round(phase.seconds * 1e9)
        with load(phase.load):
            while due_ns < end_ns:
                wait(max(0.0, (due_ns - clock()) / 1e9))
                samples.append(_sample(board, phase.load, start_ns, clock()))
                # A board that answers slowly is read less often, never in a burst afterwards.
                due_ns = max(due_ns + period_ns, clock())
    return Trace(board.identity(), rate_hz, start_ns, tuple(samples))


def _sample(board: Board, phase: str, start_ns: int, now_ns: int) -> Sample:
    faults: list[Fault] = board.faults(0.0)
    return Sample(
        (now_ns - start_ns) // 1000,
        phase,
        tuple(board.read()),
        tuple(board.processes()),
        tuple(faults),
    )
