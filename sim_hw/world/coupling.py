"""Flies a scenario in real time beside an emulated board; once a second each learns of the other.

board → world   the energy it drew, and how busy it was
world → board   what its radiator sees, whether its rail is fed, and what strikes it
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from sim_hw import inject, orin_inject
from sim_hw.recovery import RecoveryProfile
from sim_hw.world import records, scenario
from sim_hw.world.effects import Recovery
from sim_hw.world.faults import Fault
from sim_hw.world.scenario import FlipSettings, Scenario
from sim_hw.world.settings import SettingsError
from sim_hw.world.striking import strike_h100, strike_orin
from sim_hw.world.truth_log import TruthLog
from sim_hw.world.world import Step, World

STEP_S = 1.0
AWAY_S = RecoveryProfile().rail_power_cycle_s
"""How long a board is gone when its host has to reboot or to cycle its power."""

_TAKES_THE_RAIL = (Recovery.REBOOT, Recovery.POWER_CYCLE)


class Meter(Protocol):
    """What an emulated board did since it began: `EmulatedBoard`, `EmulatedOrin`."""

    spent_j: float
    busy_s: float


class Door(Protocol):
    """What the world may do to a board."""

    @property
    def is_on(self) -> bool:
        """Whether its rail is fed."""

    def sink(self, sink_c: float) -> None:
        """Set what the radiator sees."""

    def rail(self, on: bool) -> None:
        """Feed the board, or not: then it answers nobody and forgets its memory."""

    def strike(self, fault: Fault) -> Recovery:
        """Do a fault to the board; what is left for its host."""

    def close(self) -> None:
        """Let go of the board's files."""


class H100Door:
    """The emulated H100 of a folder."""

    def __init__(self, folder: Path) -> None:
        self._board = inject.World(folder)

    @property
    def is_on(self) -> bool:
        return bool(self._board.nvml.state.driver_loaded)

    def sink(self, sink_c: float) -> None:
        self._board.sink(0, sink_c)

    def rail(self, on: bool) -> None:
        self._board.load_driver(on)
        if on:
            self._board.restore(0)
        else:
            self._board.take_away(0)

    def strike(self, fault: Fault) -> Recovery:
        return strike_h100(self._board, 0, fault)

    def close(self) -> None:
        self._board.close()


class OrinDoor:
    """The emulated Orin of a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._board = orin_inject.OrinWorld(folder)

    @property
    def is_on(self) -> bool:
        return orin_inject.load(self._folder).power

    def sink(self, sink_c: float) -> None:
        self._board.sink(sink_c)

    def rail(self, on: bool) -> None:
        self._board.power(on)

    def strike(self, fault: Fault) -> Recovery:
        return strike_orin(self._board, fault)

    def close(self) -> None:
        """Nothing is kept open."""


DOORS: dict[str, type[H100Door | OrinDoor]] = {"h100": H100Door, "orin": OrinDoor}


def load(source: str, model: str, seed: int | None = None) -> Scenario:
    """A scenario as a board of this model can fly it; raises SettingsError.

    Its steps are a second, its load is what the board computes. Its door for flips is closed:
    nobody here owns memory to flip.
    """
    found = scenario.load(source)
    if found.board.model != model:
        raise SettingsError(
            f'{source}: flies on "{found.board.model}", this board is "{model}"; '
            f'write [board] model = "{model}", or choose the other board'
        )
    return replace(
        found,
        step=STEP_S,
        load=(),
        flips=FlipSettings(),
        seed=found.seed if seed is None else seed,
    )


class Coupling:
    """A world that keeps step with a board; its truth log is FOLDER/truth.jsonl."""

    def __init__(self, what: Scenario, folder: Path, meter: Meter, door: Door) -> None:
        World(what).step()  # compiles, before anybody waits
        self._world = World(what)
        self._meter, self._door = meter, door
        self._seen_j, self._seen_s = meter.spent_j, meter.busy_s
        self._began_ns: int | None = None
        self._is_on = door.is_on
        self._off_until_s = 0.0
        self._log = TruthLog(self._world)
        self._file = _fresh(folder / records.NAME).open("w", encoding="utf-8", newline="\n")
        self._write(self._log.header())
        door.sink(float(self._world.surroundings(0, 1).sink_c[0]))

    def tick(self, now_ns: int) -> float:
        """Advance to `now_ns` (CLOCK_MONOTONIC); seconds until the next step."""
        if self._began_ns is None:
            self._began_ns = now_ns
        elapsed_s = (now_ns - self._began_ns) / 1e9
        world = self._world
        due = min(int(elapsed_s / STEP_S), world.steps) - world.done
        if due > 0:
            self._advance(due)
        return math.inf if world.is_over else max(0.0, world.elapsed_s + STEP_S - elapsed_s)

    def close(self) -> None:
        """Complete the log, and let go of the board."""
        if self._world.done:
            self._write(self._log.summary())
        self._file.close()
        self._door.close()

    def _advance(self, steps: int) -> None:
        """Run so many steps, all with the mean of what the board did since the last one."""
        spent_j, busy_s = self._meter.spent_j, self._meter.busy_s
        time_s = steps * STEP_S
        power_w = (spent_j - self._seen_j) / time_s if self._is_on else 0.0
        load = min(1.0, (busy_s - self._seen_s) / time_s)
        self._seen_j, self._seen_s = spent_j, busy_s
        for _ in range(steps):
            first = self._world.done
            step = self._world.step(load, power_w)
            self._write(*self._log.records(first, step.block))
            self._meet(step)

    def _meet(self, step: Step) -> None:
        """Do to the board what the world did in a step; without power, nothing strikes it."""
        self._door.sink(round(step.sink_c, 2))
        for fault in step.faults:
            if self._is_on and self._door.strike(fault) in _TAKES_THE_RAIL:
                self._off_until_s = step.elapsed_s + AWAY_S
        is_on = step.is_powered and step.elapsed_s >= self._off_until_s
        if not (is_on and self._is_on):  # said again while off: a recovery may have put it on
            self._door.rail(is_on)
        self._is_on = is_on

    def _write(self, *lines: dict[str, Any]) -> None:
        self._file.writelines(map(records.spelt, lines))
        self._file.flush()


def _fresh(path: Path) -> Path:
    """The path, free: the log of an earlier companion is kept under a number."""
    if path.exists():
        number = 1
        while (older := path.with_suffix(f".{number}{path.suffix}")).exists():
            number += 1
        path.rename(older)
    return path
