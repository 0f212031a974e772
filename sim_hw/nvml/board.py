"""The companion of an emulated board: steps its GPUs by the real load of the compute contexts."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

from icd.board_state import BoardState, BoardStateError, Context
from sim_hw.model import gpu as model
from sim_hw.model.gpu import GpuInputs, GpuProfile, GpuState
from sim_hw.model.traffic import USUAL_BYTES_S, Traffic
from sim_hw.nvml.inject import World
from sim_hw.nvml.profiles import BOARDS, Identity, NvmlBoard
from sim_hw.nvml.reset_effects import Recoveries
from sim_hw.nvml_library.layout import PROCESSES, Gpu
from sim_hw.nvml_library.state import StateError, StateFile

BUSY_PERIOD_S = 0.05
IDLE_PERIOD_S = 0.5
_SWEEP_S = 1.0
_LONGEST_STEP_S = 5.0
_USE_AVERAGE_S = 0.2
_POWER_NOISE_W = 0.2


class EmulatedBoard:
    """One board: its state files, its GPUs, and who computes on them."""

    def __init__(
        self,
        folder: Path,
        name: str,
        count: int,
        seed: int,
        recovery_scale: float = 1.0,
        bytes_s: float = USUAL_BYTES_S,
    ) -> None:
        """`bytes_s` is the memory bandwidth of this machine: `sim_hw.model.traffic`."""
        kind = BOARDS[name]
        self.profile, self.path = kind.profile, kind.heat
        self._random = random.Random(seed)
        _prepare(folder, kind, count, self._random)
        self._folder = folder
        self._world = World(folder)
        self._recoveries = Recoveries(self._world, recovery_scale)
        cold = model.initial(self.profile, self.path, self.profile.sink_c)
        self._gpus = [
            replace(cold, energy_j=self._world.gpu(index).energy_mj / 1000.0)
            for index in range(count)
        ]
        self._busy_ns: dict[tuple[int, int], int] = {}
        self._shares: dict[tuple[int, int], float] = {}
        self._traffic = Traffic(self.profile.memory_share, bytes_s)
        self._use, self._memory_use = [0.0] * count, [0.0] * count
        self.spent_j = self.busy_s = 0.0
        """Energy drawn and time computed since it began, all GPUs together."""
        self._last_ns: int | None = None
        self._swept_ns = 0

    def close(self) -> None:
        """Take the board away: its state files go."""
        self._world.nvml.retire()
        self._world.close()
        for name in ("nvml.state", "board.state"):
            (self._folder / name).unlink(missing_ok=True)

    def tick(self, now_ns: int, unix_ns: int) -> float:
        """Advance to `now_ns` (CLOCK_MONOTONIC); seconds until it wants to be called again."""
        board = self._world.board
        if now_ns - self._swept_ns >= _SWEEP_S * 1e9:
            board.sweep()
            self._swept_ns = now_ns
        for index in self._recoveries.tick(now_ns):
            self._gpus[index] = replace(self._gpus[index], energy_j=0.0)
        contexts = board.snapshot(now_ns)
        dt_s = 0.0 if self._last_ns is None else max(0.0, (now_ns - self._last_ns) / 1e9)
        dt_s = min(dt_s, _LONGEST_STEP_S)
        self._last_ns = now_ns
        self._measure(contexts, dt_s)
        for index in range(len(self._gpus)):
            mine = [context for context in contexts if context.device == index]
            self._step_gpu(index, mine, dt_s, unix_ns)
        return BUSY_PERIOD_S if contexts or self._is_moving() else IDLE_PERIOD_S

    def beat(self, now_ns: int) -> None:
        """Show the library that the board is advanced; without it nobody asks for that."""
        self._world.nvml.state.beat_ns = now_ns

    def _is_moving(self) -> bool:
        """Whether there is something to do without any context."""
        if self._recoveries.is_busy:
            return True
        top = self.profile.max_clock_mhz
        return any(state.ceiling_mhz < top for state in self._gpus)

    def _measure(self, contexts: list[Context], dt_s: float) -> None:
        """The share of the last `dt_s` each context was busy, and its memory with it."""
        self._traffic.look(contexts)
        before = self._busy_ns
        self._busy_ns = {(c.pid, c.slot): c.busy_ns for c in contexts}
        self._shares = {
            key: min(1.0, max(0.0, (busy - before.get(key, busy)) / (dt_s * 1e9))) if dt_s else 0.0
            for key, busy in self._busy_ns.items()
        }

    def _step_gpu(self, index: int, contexts: list[Context], dt_s: float, unix_ns: int) -> None:
        gpu, row = self._world.gpu(index), self._world.board.devices[index]
        there = [c for c in contexts if c.generation == row.generation and not gpu.lost]
        live = [(self._shares[(c.pid, c.slot)], c) for c in there if not c.killed_by]
        load = min(1.0, sum(share for share, _ in live))
        memory = min(1.0, sum(share * self._traffic.share(c) for share, c in live))
        inputs = GpuInputs(
            utilization=load,
            power_limit_w=gpu.power_limit_mw / 1000.0,
            sink_c=gpu.sink_temperature_c,
            lock_min_mhz=gpu.clock_lock_min_mhz,
            lock_max_mhz=gpu.clock_lock_max_mhz,
            sensor_offset_k=gpu.sensor_offset_c,
            memory_use=memory,
        )
        state = model.step(self.profile, self.path, self._gpus[index], inputs, dt_s)
        if state.too_hot and not gpu.lost:
            self._world.lose(index)
        self._gpus[index] = state
        self.spent_j += state.power_w * dt_s
        self.busy_s += load * dt_s
        follow = min(1.0, dt_s / _USE_AVERAGE_S)
        self._use[index] += follow * (load - self._use[index])
        self._memory_use[index] += follow * (memory - self._memory_use[index])
        row.clock_scale = state.loaded_clock_mhz / self.profile.max_clock_mhz
        row.lost, row.needs_reset = gpu.lost, gpu.needs_reset
        self._publish(index, gpu, state, there, unix_ns)

    def _publish(
        self, index: int, gpu: Gpu, state: GpuState, contexts: list[Context], unix_ns: int
    ) -> None:
        noise_w = self._random.gauss(0.0, _POWER_NOISE_W)
        gpu.clock_mhz = round(state.clock_mhz)
        gpu.power_mw = round(1000 * max(0.0, state.average_power_w + noise_w))
        gpu.power_instant_mw = round(1000 * max(0.0, state.power_w + noise_w))
        gpu.temperature_c = round(state.sensor_c)
        gpu.temperature_memory_c = round(state.memory_c)
        gpu.utilization_percent = round(100 * self._use[index])
        gpu.memory_utilization_percent = round(100 * self._memory_use[index])
        gpu.clock_reasons = int(state.reasons)
        gpu.energy_mj = int(1000 * state.energy_j)
        gpu.time_us = unix_ns // 1000
        self._publish_processes(gpu, contexts)

    def _publish_processes(self, gpu: Gpu, contexts: list[Context]) -> None:
        """One entry a process; the count falls before and rises after its entries are written."""
        merged: dict[int, tuple[int, float]] = {}
        for context in contexts:
            memory, share = merged.get(context.pid, (0, 0.0))
            share += self._shares[(context.pid, context.slot)]
            merged[context.pid] = (memory + context.memory_bytes, share)
        entries = sorted(merged.items())[:PROCESSES]
        gpu.process_count = min(gpu.process_count, len(entries))
        for place, (pid, (memory, share)) in zip(gpu.processes, entries, strict=False):
            place.pid, place.memory_bytes = pid, memory
            place.utilization_percent = round(100 * min(1.0, share))
        gpu.process_count = len(entries)
        room = gpu.memory_bytes - gpu.reserved_bytes
        gpu.used_bytes = min(room, sum(memory for memory, _ in merged.values()))


def _prepare(folder: Path, kind: NvmlBoard, count: int, draw: random.Random) -> None:
    """Make the state files, or go on with those that a companion that died left in use."""
    profile, name = kind.profile, kind.identity.name.encode()
    try:
        with World(folder) as world:
            same = world.nvml.state.gpu_count == len(world.board.devices) == count
            if same and world.gpu(0).name == name:
                return
    except (StateError, BoardStateError):
        pass
    board = BoardState.create(folder / "board.state", count)
    for row in board.devices:
        row.memory_bytes = int(profile.memory_bytes)
        row.reserved_bytes = int(profile.reserved_bytes)
    board.close()
    nvml = StateFile.create(folder / "nvml.state", count)
    nvml.state.driver_version = b"580.95.05"
    nvml.state.library_version = b"13.580.95.05"
    nvml.state.cuda_version = 13000
    for index in range(count):
        gpu = nvml.state.gpus[index]
        _identify(gpu, kind.identity, index, draw)
        _bound(gpu, profile)
    nvml.close()


def _identify(gpu: Gpu, identity: Identity, index: int, draw: random.Random) -> None:
    """Fill in what it is; UUID and serial are drawn."""
    code = f"{draw.getrandbits(128):032x}"
    gpu.name = identity.name.encode()
    gpu.uuid = f"GPU-{code[:8]}-{code[8:12]}-{code[12:16]}-{code[16:20]}-{code[20:]}".encode()
    gpu.serial = f"{draw.randrange(10**12, 10**13)}".encode()
    gpu.part_number = identity.part_number.encode()
    gpu.vbios_version = identity.vbios_version.encode()
    gpu.pci_bus = index + 1
    gpu.bus_id = f"00000000:{index + 1:02X}:00.0".encode()
    gpu.pci_device_id, gpu.pci_subsystem_id = identity.pci_device_id, identity.pci_subsystem_id
    gpu.core_count, gpu.architecture = identity.core_count, identity.architecture
    gpu.compute_major, gpu.compute_minor = identity.compute_capability
    gpu.pcie_generation, gpu.pcie_width = identity.pcie_generation, 16
    gpu.ecc_current = gpu.ecc_pending = 1


def _bound(gpu: Gpu, profile: GpuProfile) -> None:
    """Fill in the limits of what it can do."""
    gpu.power_limit_min_mw = int(1000 * profile.min_power_limit_w)
    gpu.power_limit_max_mw = gpu.power_limit_default_mw = int(1000 * profile.max_power_w)
    gpu.power_limit_mw = gpu.power_limit_default_mw
    gpu.clock_min_mhz, gpu.clock_max_mhz = int(profile.min_clock_mhz), int(profile.max_clock_mhz)
    gpu.memory_clock_mhz = gpu.memory_clock_max_mhz = int(profile.memory_clock_mhz)
    gpu.temperature_max_c = int(profile.throttle_c)
    gpu.temperature_slowdown_c = int(profile.slowdown_c)
    gpu.temperature_shutdown_c = int(profile.shutdown_c)
    gpu.temperature_memory_max_c = int(profile.memory_max_c)
    gpu.memory_bytes, gpu.reserved_bytes = int(profile.memory_bytes), int(profile.reserved_bytes)
    gpu.sink_temperature_c = profile.sink_c
