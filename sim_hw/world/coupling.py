"""Flies a scenario in real time beside an emulated board; once a second each learns of the other.

board → world   the energy it drew, and how busy it was
world → board   what its radiator sees, whether its rail is fed, what strikes it, which bits flip

A companion that follows one that was killed goes on where the scenario would be by now.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from icd import flips, written
from sim_hw.nvml.reset_effects import RecoveryProfile
from sim_hw.world import records, scenario, vehicle
from sim_hw.world.board_adapters import ADAPTERS, BoardAdapter, Host, orin_mode
from sim_hw.world.effects import Recovery
from sim_hw.world.faults import Fault
from sim_hw.world.flip_delivery import FlipDelivery
from sim_hw.world.history import History, Past
from sim_hw.world.scenario import Scenario
from sim_hw.world.settings import SettingsError
from sim_hw.world.striking import left_for_host
from sim_hw.world.truth_log import TruthLog
from sim_hw.world.world import Block, Step, World

__all__ = ["ADAPTERS", "AWAY_S", "STEP_S", "Coupling", "Meter", "load"]

STEP_S = 1.0
AWAY_S = RecoveryProfile().rail_power_cycle_s
"""How long a board is gone when its host has to reboot or to cycle its power."""

_TAKES_THE_RAIL = (Recovery.REBOOT, Recovery.POWER_CYCLE)
_CHUNK = 3600
_LOGS = (records.NAME, flips.DRAWS, flips.LOG)


class Meter(Protocol):
    """What an emulated board did since it began: `EmulatedBoard`, `EmulatedOrin`."""

    spent_j: float
    busy_s: float


def load(source: str, model: str, seed: int | None = None) -> Scenario:
    """A scenario as a board of this model can fly it; raises SettingsError.

    Its steps are a second, and its load is what the board computes.
    """
    found = scenario.load(source)
    if found.board.model != model:
        raise SettingsError(
            f'{source}: flies on "{found.board.model}", this board is "{model}"; '
            f'write [board] model = "{model}", or choose the other board'
        )
    if model == "orin" and found.board.power_limit is not None:
        orin_mode(found.board.power_limit)
    return replace(found, step=STEP_S, load=(), seed=found.seed if seed is None else seed)


class Coupling:
    """A world that keeps step with a board; its truth log is FOLDER/truth.jsonl."""

    def __init__(
        self,
        what: Scenario,
        folder: Path,
        meter: Meter,
        board: BoardAdapter,
        now_ns: int,
        host: Host | None = None,
    ) -> None:
        """`now_ns` is CLOCK_MONOTONIC, as `tick` is told it."""
        World(what).step()  # compiles, before anybody waits
        self._world = World(what)
        self._meter, self._board = meter, board
        self._host = Host(folder / "board.state") if host is None else host
        self._seen_j, self._seen_s = meter.spent_j, meter.busy_s
        self._off_until_s = 0.0
        self._log = TruthLog(self._world)
        self._history = History(folder, what.digest())
        self._past = self._history.past(now_ns, STEP_S)
        if self._past is None:
            self._begin(what, folder, now_ns)
        else:
            self._go_on(self._past, folder)
        opened = what.flips.door != "closed"
        self._post = FlipDelivery(folder, what.flips.door, what.acceleration) if opened else None

    def _begin(self, what: Scenario, folder: Path, now_ns: int) -> None:
        """The scenario from its beginning, with logs of its own."""
        self._began_ns = now_ns
        self._is_on = self._board.is_on
        _keep_older(folder)
        self._file = (folder / records.NAME).open("w", encoding="utf-8", newline="\n")
        self._write(self._log.header())
        self._history.begin(now_ns)
        self._board.sink(float(self._world.surroundings(0, 1).sink_c[0]))
        if what.board.power_limit is not None:
            self._board.limit(what.board.power_limit)

    def _go_on(self, past: Past, folder: Path) -> None:
        """Go through what an earlier companion did, up to the step that it died in."""
        self._began_ns = past.began_ns
        self._is_on = True
        world = self._world
        while world.done < len(past.load):
            part = slice(world.done, world.done + _CHUNK)
            first, load = world.done, past.load[part]
            block = world.block(len(load), load, past.power_w[part])
            self._log.records(first, block)  # they are in the file; their sums are not
            self._follow(first, block)
        self._history.begin(past.began_ns, past)  # without a record that was cut short
        log = folder / records.NAME
        kept = _before(log, world.elapsed_s) or [records.spelt(self._log.header())]
        log.write_text("".join(kept), encoding="utf-8")
        self._file = log.open("a", encoding="utf-8", newline="\n")

    def _follow(self, first: int, block: Block) -> None:
        """Whether the board is fed after steps that were lived through before."""
        ends: dict[int, list[Recovery]] = {}
        for fault in block.faults:
            left = left_for_host(fault.effect)
            ends.setdefault(int(fault.elapsed_s / STEP_S), []).append(left)
        for number, state in enumerate(block["state"], first):
            if self._is_on:
                self._note(ends.get(number, []), number * STEP_S)
            self._is_on = state != vehicle.SHED and number * STEP_S >= self._off_until_s

    def tick(self, now_ns: int) -> float:
        """Advance to `now_ns`; seconds until the next step."""
        elapsed_s = (now_ns - self._began_ns) / 1e9
        world = self._world
        due = min(int(elapsed_s / STEP_S), world.steps) - world.done
        if due > 0:
            self._advance(due)
        return math.inf if world.is_over else max(0.0, world.elapsed_s + STEP_S - elapsed_s)

    def close(self) -> None:
        """Complete the log, and close the board."""
        if self._world.done:
            self._write(self._log.summary())
        self._file.close()
        self._history.forget()
        if self._post is not None:
            self._post.close()
        self._host.close()
        self._board.close()

    def _advance(self, steps: int) -> None:
        """Run so many steps, all with the mean of what the board did since the last one."""
        load, power_w = self._measured(steps * STEP_S)
        for _ in range(steps):
            first = self._world.done
            step = self._world.step(load, power_w)
            self._write(*self._log.records(first, step.block))
            self._history.add(1, load, power_w)  # before it strikes: nothing strikes twice
            self._meet(step)

    def _measured(self, time_s: float) -> tuple[float, float]:
        """Load and power since the last step; while nobody measured, what they were before."""
        spent_j, busy_s = self._meter.spent_j, self._meter.busy_s
        power_w = (spent_j - self._seen_j) / time_s if self._is_on else 0.0
        load = min(1.0, (busy_s - self._seen_s) / time_s)
        self._seen_j, self._seen_s = spent_j, busy_s
        if self._past is not None and len(self._past.load):
            load, power_w = float(self._past.load[-1]), float(self._past.power_w[-1])
        self._past = None
        return load, power_w

    def _meet(self, step: Step) -> None:
        """Apply a step to the board: sink temperature, faults, and whether it has power."""
        self._board.sink(round(step.sink_c, 2))
        if self._is_on:
            self._meet_faults(step.faults, step.elapsed_s)
        is_on = step.is_powered and step.elapsed_s >= self._off_until_s
        if not (is_on and self._is_on):  # said again while off: a recovery may have put it on
            self._board.rail(is_on)
        self._is_on = is_on

    def _meet_faults(self, faults: tuple[Fault, ...], elapsed_s: float) -> None:
        for fault in faults:
            left = self._board.strike(fault)
            self._note([left], elapsed_s)
            if left is Recovery.RESTART_PROCESS:
                self._end_process(fault.id, elapsed_s + STEP_S)
            if self._post is not None:
                self._post.send(fault)

    def _note(self, left: list[Recovery], elapsed_s: float) -> None:
        """What is left for the host may cost the board its rail for a while."""
        if any(one in _TAKES_THE_RAIL for one in left):
            self._off_until_s = elapsed_s + AWAY_S

    def _end_process(self, draw: int, elapsed_s: float) -> None:
        pid = self._host.end_one(draw)
        what = "no process of the host computes, so none dies"
        if pid is not None:
            what = f"process {pid} of the host dies: it computed on the board"
        self._write({"type": "event", "t": elapsed_s, "event": what})

    def _write(self, *lines: dict[str, Any]) -> None:
        self._file.writelines(map(records.spelt, lines))
        self._file.flush()


def _keep_older(folder: Path) -> None:
    """Put the logs of an earlier companion under a number."""
    older = [folder / name for name in _LOGS if (folder / name).exists()]
    number = 1
    while any(_numbered(folder / name, number).exists() for name in _LOGS):
        number += 1
    for path in older:
        path.rename(_numbered(path, number))


def _numbered(path: Path, number: int) -> Path:
    return path.with_suffix(f".{number}{path.suffix}")


def _before(log: Path, elapsed_s: float) -> list[str]:
    """The lines of a truth log up to a time; none when it is no truth log."""
    try:
        lines = written.text(log.read_bytes()).splitlines(keepends=True)
        found = [(written.json_value(line), line) for line in lines if line.endswith("\n")]
    except (OSError, ValueError):
        return []
    if not found or found[0][0].get("type") != "scenario":
        return []
    return [
        line
        for record, line in found
        if record["type"] != "summary" and record.get("t", 0.0) < elapsed_s
    ] or [found[0][1]]
