"""An emulated Orin whose clock the test moves, in the test's own process."""

from __future__ import annotations

from pathlib import Path

from sim_hw.orin.board import EmulatedOrin
from sim_hw.orin.inject import OrinWorld

STEP_NS = 50_000_000


class SteppedOrin:
    """The companion's model without its process: `run` moves its clock."""

    def __init__(self, folder: Path, seed: int = 1) -> None:
        self.folder = folder
        self.root = folder / "root"
        self.now_ns = 1_000_000_000
        self.emulated = EmulatedOrin(folder, seed)
        self.world = OrinWorld(folder)
        self.tick()

    def clock(self) -> int:
        return self.now_ns

    def run(self, seconds: float) -> None:
        """Time goes by, step by step, and the files end up to date."""
        end_ns = self.now_ns + round(seconds * 1e9)
        while self.now_ns < end_ns:
            self.now_ns = min(end_ns, self.now_ns + STEP_NS)
            self.tick()

    def tick(self) -> float:
        return self.emulated.tick(self.now_ns, self.now_ns)

    def close(self) -> None:
        self.emulated.close()
