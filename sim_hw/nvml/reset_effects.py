"""The recovery ladder of an emulated board: each action takes its time and cures what it can."""

from __future__ import annotations

from dataclasses import dataclass

from sim_hw.model.constants import constant
from sim_hw.nvml.inject import World
from sim_hw.nvml.xid import Cure


@dataclass(frozen=True)
class RecoveryProfile:
    """How long a GPU is away."""

    gpu_reset_s: float = constant(
        3.0, "s", "estimate: nvidia-smi --gpu-reset takes 2-5 s on boards of this class"
    )
    driver_reload_s: float = constant(
        8.0, "s", "estimate: loading the kernel module initialises every GPU"
    )
    rail_power_cycle_s: float = constant(
        25.0, "s", "estimate: 5 s without power, then link training and firmware load"
    )

    def duration_s(self, action: Cure) -> float:
        return {
            Cure.GPU_RESET: self.gpu_reset_s,
            Cure.DRIVER_RELOAD: self.driver_reload_s,
            Cure.RAIL_POWER_CYCLE: self.rail_power_cycle_s,
        }.get(action, 0.0)


@dataclass
class _UnderWay:
    action: Cure
    ends_ns: int


class Recoveries:
    """What is being done to each GPU of a board; `scale` shortens every action, for tests."""

    def __init__(self, world: World, scale: float = 1.0) -> None:
        self._world = world
        self._profile = RecoveryProfile()
        self._scale = scale
        self._under_way: dict[int, _UnderWay] = {}

    @property
    def is_busy(self) -> bool:
        return bool(self._under_way)

    def tick(self, now_ns: int) -> set[int]:
        """Begin what was asked for and end what is over; the GPUs whose driver started afresh."""
        for index in range(self._world.nvml.state.gpu_count):
            gpu = self._world.gpu(index)
            if index not in self._under_way and gpu.actions_asked != gpu.actions_ended:
                self._begin(index, Cure(gpu.action), now_ns)
        over = [i for i, under_way in self._under_way.items() if now_ns >= under_way.ends_ns]
        fresh: set[int] = set()
        for index in over:
            fresh |= self._end(index, self._under_way.pop(index).action)
        return fresh

    def _begin(self, index: int, action: Cure, now_ns: int) -> None:
        lasts_ns = round(self._profile.duration_s(action) * self._scale * 1e9)
        self._under_way[index] = _UnderWay(action, now_ns + lasts_ns)
        for reached in self._reach(index, action):
            self._world.take_away(reached)
        if action is not Cure.GPU_RESET:
            self._world.load_driver(False)

    def _end(self, index: int, action: Cure) -> set[int]:
        reached = self._reach(index, action)
        cured = [other for other in reached if self._world.gpu(other).cure <= action]
        if action is not Cure.GPU_RESET:
            self._world.load_driver(True)
        for other in cured:
            self._world.restore(other)
        gpu = self._world.gpu(index)
        gpu.action_failed = int(index not in cured)
        gpu.actions_ended += 1
        return set() if action is Cure.GPU_RESET else set(cured)

    def _reach(self, index: int, action: Cure) -> list[int]:
        """A reset is one GPU's; the driver and the rail are the whole board's."""
        if action is Cure.GPU_RESET:
            return [index]
        return list(range(self._world.nvml.state.gpu_count))
