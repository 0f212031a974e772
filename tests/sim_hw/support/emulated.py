"""An emulated board whose clock the test moves, in the test's own process."""

from __future__ import annotations

import select
import time
from collections.abc import Callable
from pathlib import Path

from sim_hw.nvml.board import EmulatedBoard
from sim_hw.nvml.inject import World

STEP_NS = 50_000_000


class SteppedBoard:
    """The companion's model without its process: `run` moves its clock."""

    def __init__(self, folder: Path, gpus: int = 1, seed: int = 1, model: str = "h100") -> None:
        self.folder = folder
        self.now_ns = 1_000_000_000
        self.emulated = EmulatedBoard(folder, model, gpus, seed)
        self.world = World(folder)
        self.tick()

    def clock(self) -> int:
        return self.now_ns

    def sleep(self, seconds: float) -> None:
        """What a sleeping job does to the world: time goes by, step by step."""
        end_ns = self.now_ns + round(seconds * 1e9)
        while self.now_ns < end_ns:
            self.now_ns = min(end_ns, self.now_ns + STEP_NS)
            self.tick()

    run = sleep

    def tick(self) -> float:
        return self.emulated.tick(self.now_ns, self.now_ns)

    def close(self) -> None:
        self.world.close()
        self.emulated.close()


def wait_until(condition: Callable[[], object], timeout_s: float = 20.0) -> None:
    """Return once the condition is true; fail when it stays false for `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not true within {timeout_s} s"
        select.select([], [], [], 0.005)
