"""Runs a scenario, as fast as it can or in step with a clock, and writes its truth log."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sim_hw.world import records, truth_log
from sim_hw.world.faults import Fault
from sim_hw.world.scenario import Scenario
from sim_hw.world.world import World

MAX = math.inf
_BLOCK_S = 6 * 3600.0
_BEAT_S = 0.25
"""Wall-clock time between two blocks of a run that keeps step with a clock."""


@dataclass(frozen=True)
class Outcome:
    """What a run leaves."""

    log: Path
    summary: dict[str, Any]
    is_whole: bool
    """Whether it came to the end of the scenario."""


def run(
    scenario: Scenario,
    folder: Path,
    *,
    speed: float = MAX,
    clock: Callable[[], float] = lambda: 0.0,
    wait: Callable[[float], bool] = lambda _seconds: False,
    watch: Callable[[Fault], None] = lambda _fault: None,
) -> Outcome:
    """Run a scenario to its end, or until `wait` says to stop; its log is FOLDER/truth.jsonl.

    `speed` is simulated seconds to a second of `clock` (seconds). `watch` is told every fault.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / records.NAME
    world = World(scenario)
    log = truth_log.TruthLog(world)
    size = _BLOCK_S if math.isinf(speed) else _BEAT_S * speed
    count = max(1, round(size / scenario.step))
    began, stopped = clock(), False
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write(records.spelt(log.header()))
        while not world.is_over and not stopped:
            first = world.done
            block = world.block(count)
            file.writelines(map(records.spelt, log.records(first, block)))
            for fault in block.faults:
                watch(fault)
            if not math.isinf(speed):
                file.flush()
            ahead_s = began + world.elapsed_s / speed - clock()
            stopped = wait(0.0 if math.isinf(speed) else max(0.0, ahead_s))
        summary = log.summary()
        file.write(records.spelt(summary))
    return Outcome(path, summary, world.is_over)
