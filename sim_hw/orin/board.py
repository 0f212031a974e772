"""The companion of an emulated Jetson AGX Orin: steps it by the real load of compute contexts."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

from icd import host_bus
from icd.board_state import BoardState, BoardStateError, Context
from icd.heartbeat import write_beat
from icd.host_bus import Answer, Request
from sim_hw.model import gpu as model
from sim_hw.model.gpu import GpuInputs, Reason
from sim_hw.model.traffic import USUAL_BYTES_S, Traffic
from sim_hw.orin import constants as orin
from sim_hw.orin import kernel_files as orin_tree
from sim_hw.orin.constants import ORIN, RAILS, THERMAL
from sim_hw.orin.inject import FILE, Injections, Watched
from sim_hw.orin.kernel_files import DEVFREQ, MC, Picture
from sim_hw.orin.sysfs_tree import SysfsTree

BUSY_PERIOD_S = 0.05
IDLE_PERIOD_S = 0.5
PUBLISH_S = 0.1
BEAT, BEAT_S = "beat", 1.0
"""File of the board by which it shows that it runs, and how often."""
_SWEEP_S = 1.0
_LONGEST_STEP_S = 5.0
_USE_AVERAGE_S = 0.2
_POWER_NOISE_W = 0.05
_FLASH = "flash"
"""Folder of the board that holds what outlives it: which boot slot is active, the power mode."""
_POWER_REASONS = Reason.SW_POWER_CAP
_HEAT_REASONS = Reason.SW_THERMAL | Reason.HW_THERMAL


class EmulatedOrin:
    """One module: its kernel files below `folder/root`, its board-state file, its host bus."""

    def __init__(self, folder: Path, seed: int = 1, bytes_s: float = USUAL_BYTES_S) -> None:
        """`bytes_s` is the memory bandwidth of this machine: `sim_hw.model.traffic`."""
        self._folder = folder
        self._random = random.Random(seed)
        self._tree = SysfsTree(folder / "root", folder / "staging")
        serial = f"14{self._random.randrange(10**11, 10**12)}"
        limits_ma = round(RAILS.warning_a * 1000), round(RAILS.critical_a * 1000)
        self._tree.power(True)
        self._tree.copy_in(orin_tree.FLASH, folder / _FLASH)
        orin_tree.build(self._tree, serial, limits_ma)
        (folder / "host_bus").mkdir(mode=0o700, exist_ok=True)
        self._board = _prepare(folder / "board.state")
        self._board.devices[0].lost = 0
        self._injected = Watched(folder)
        self._state = model.initial(ORIN, THERMAL, ORIN.sink_c)
        self._counters = _Counters()
        self._answered = _last_number(folder / "host_bus")
        self._cycle: tuple[Request, int] | None = None
        self._busy_ns: dict[tuple[int, int], int] = {}
        self._traffic = Traffic(ORIN.memory_share, bytes_s)
        self._use = self._memory_use = 0.0
        self.spent_j = self.busy_s = 0.0
        """Energy drawn and time computed since it began."""
        self._last_ns: int | None = None
        self._swept_ns = self._published_ns = 0
        self._is_dead = False
        self._beat_ns = 0
        self._publish(self._injected.look(), [])  # whole before anybody opens it

    def close(self) -> None:
        """Take the board away: its files go, except for what a board never forgets."""
        self._board.close()
        self._tree.copy_out(orin_tree.FLASH, self._folder / _FLASH)
        self._tree.remove()
        for name in ("board.state", FILE, BEAT):
            (self._folder / name).unlink(missing_ok=True)

    def tick(self, now_ns: int, unix_ns: int) -> float:  # noqa: ARG002  (as every board's)
        """Advance to `now_ns` (CLOCK_MONOTONIC); seconds until it wants to be called again."""
        if now_ns - self._swept_ns >= _SWEEP_S * 1e9:
            self._board.sweep()
            self._swept_ns = now_ns
        dt_s = 0.0 if self._last_ns is None else max(0.0, (now_ns - self._last_ns) / 1e9)
        dt_s = min(dt_s, _LONGEST_STEP_S)
        self._last_ns = now_ns
        injections = self._injected.look()
        self._serve_host(now_ns)
        self._switch(injections.power and self._cycle is None and not self._is_dead)
        contexts = self._board.snapshot(now_ns)
        live = self._live(contexts)
        self._step(injections, *self._load(contexts, live, dt_s), dt_s)
        if self._tree.is_on and (dt_s == 0.0 or now_ns - self._published_ns >= PUBLISH_S * 1e9):
            self._published_ns = now_ns
            self._publish(injections, live)
        is_moving = bool(contexts) or self._cycle is not None
        return BUSY_PERIOD_S if is_moving or self._is_throttled() else IDLE_PERIOD_S

    def beat(self, now_ns: int) -> None:
        """Show the driver that the board is advanced; without it nobody asks for that."""
        if now_ns - self._beat_ns >= BEAT_S * 1e9:
            self._beat_ns = now_ns
            write_beat(self._folder / BEAT, now_ns)

    def _is_throttled(self) -> bool:
        return self._state.ceiling_mhz < ORIN.max_clock_mhz

    def _live(self, contexts: list[Context]) -> list[Context]:
        row = self._board.devices[0]
        if row.lost:
            return []
        return [c for c in contexts if c.generation == row.generation and not c.killed_by]

    def _load(
        self, contexts: list[Context], live: list[Context], dt_s: float
    ) -> tuple[float, float]:
        """The shares of the last `dt_s` in which contexts and memory were busy, 1 at most."""
        before = self._busy_ns
        self._traffic.look(contexts)
        self._busy_ns = {(c.pid, c.slot): c.busy_ns for c in contexts}
        if dt_s <= 0.0:
            return 0.0, 0.0
        busy = [max(0, c.busy_ns - before.get((c.pid, c.slot), c.busy_ns)) for c in live]
        moving = sum(ns * self._traffic.share(c) for ns, c in zip(busy, live, strict=True))
        return min(1.0, sum(busy) / (dt_s * 1e9)), min(1.0, moving / (dt_s * 1e9))

    def _step(self, injections: Injections, load: float, memory: float, dt_s: float) -> None:
        is_on = self._tree.is_on
        mode = orin_tree.mode_of(self._tree)
        inputs = GpuInputs(
            utilization=load if is_on else 0.0,
            power_limit_w=mode.budget_w or ORIN.max_power_w,
            sink_c=ORIN.sink_c if injections.sink_c is None else injections.sink_c,
            lock_min_mhz=self._clock_mhz("min", ORIN.min_clock_mhz),
            lock_max_mhz=self._clock_mhz("max", ORIN.max_clock_mhz),
            sensor_offset_k=injections.offset_k,
            memory_use=memory if is_on else 0.0,
        )
        before = self._state
        state = model.step(ORIN, THERMAL, before, inputs, dt_s)
        self.spent_j += state.power_w * dt_s
        self.busy_s += inputs.utilization * dt_s
        follow = min(1.0, dt_s / _USE_AVERAGE_S)
        self._use += follow * (inputs.utilization - self._use)
        self._memory_use += follow * ((inputs.memory_use or 0.0) - self._memory_use)
        capped = bool(state.reasons & _POWER_REASONS) and not before.reasons & _POWER_REASONS
        self._counters.take(injections, capped)
        self._state = state
        if state.too_hot and is_on:
            self._is_dead = True  # what shuts a hot module down holds it down until a power cycle
            self._switch(False)
        self._board.devices[0].clock_scale = state.loaded_clock_mhz / ORIN.max_clock_mhz

    def _clock_mhz(self, which: str, default: float) -> float:
        """A bound that a client may have written; what cannot be is the default."""
        value = self._tree.number(f"{DEVFREQ}/{which}_freq", default * 1e6) * 1e-6
        return value if ORIN.min_clock_mhz <= value <= ORIN.max_clock_mhz else default

    def _switch(self, on: bool) -> None:
        """Give the module power, or take it: then it answers nothing and forgets its memory."""
        if on == self._tree.is_on:
            return
        row = self._board.devices[0]
        row.lost = 0 if on else 1
        if on:
            row.generation += 1
            self._counters.clear()
        self._tree.power(on)
        if on:
            orin_tree.boot(self._tree, self._injected.now.slots_broken)

    def _serve_host(self, now_ns: int) -> None:
        """Answer the payload's requests as the bus that hosts it."""
        folder = self._folder / "host_bus"
        if self._cycle is not None:
            request, until_ns = self._cycle
            if now_ns >= until_ns:
                self._cycle, self._is_dead = None, False
                _answer(folder, Answer(request.number, host_bus.DONE, "the rail is on again"))
            return
        asked = host_bus.read_request(folder)
        if asked is None or asked.number <= self._answered:
            return
        self._answered = asked.number
        refusal = _refusal(asked)
        if refusal:
            _answer(folder, Answer(asked.number, host_bus.REFUSED, refusal))
            return
        self._cycle = asked, now_ns + round(asked.off_s * 1e9)
        text = f"the rail is off for {asked.off_s:g} s"
        _answer(folder, Answer(asked.number, host_bus.ACCEPTED, text))

    def _publish(self, injections: Injections, live: list[Context]) -> None:
        if self._tree.read(f"{MC}/reset_counters") not in ("", "0"):
            self._counters.clear_memory()
            self._tree.accept(f"{MC}/reset_counters")
            self._tree.put({f"{MC}/reset_counters": "0\n"})
        mode = orin_tree.mode_of(self._tree)
        self._tree.put(orin_tree.moving(self._picture(injections, live, mode.emc_hz)))
        self._tree.hold(injections.files)

    def _picture(self, injections: Injections, live: list[Context], emc_hz: int) -> Picture:
        state = self._state
        noise_w = self._random.gauss(0.0, _POWER_NOISE_W)
        clients: dict[int, int] = {}
        for context in live:
            clients[context.pid] = clients.get(context.pid, 0) + context.memory_bytes
        used = ORIN.reserved_bytes + sum(clients.values())
        return Picture(
            rails=_sensed(max(0.5, state.average_power_w + noise_w)),
            zones={
                name: state.sensor_c + _ABOVE_GPU_K.get(name, 0.0)
                for name in orin_tree.ZONES
                if name not in injections.zones_off
            },
            clock_hz=round(state.clock_mhz * 1e6),
            load_permille=round(1000 * min(1.0, self._use)),
            emc_hz=emc_hz,
            emc_percent=100.0 * min(1.0, self._memory_use),
            used_kb=round(used / 1024),
            clients=tuple(sorted(clients.items())),
            alarms=injections.over_current,
            over_currents=(0, 0, self._counters.over_currents),
            is_throttled=bool(state.reasons & _HEAT_REASONS),
            corrected=self._counters.corrected,
            uncorrected=self._counters.uncorrected,
        )


_ABOVE_GPU_K = {"cpu": -1.5, "soc0": -2.0, "soc1": -2.0, "soc2": -2.5}
"""How much warmer other blocks are than the GPU; the hottest spot, tj, is the GPU's. Estimates."""


class _Counters:
    """What counts up since the module got its power."""

    def __init__(self) -> None:
        self._seen = Injections()
        self.corrected = self.uncorrected = self.over_currents = 0

    def take(self, injections: Injections, capped: bool) -> None:
        """Count what was injected since, and a throttling by power that began."""
        before, self._seen = self._seen, replace(injections)
        self.corrected += max(0, injections.corrected - before.corrected)
        self.uncorrected += max(0, injections.uncorrected - before.uncorrected)
        self.over_currents += max(0, injections.throttle_events - before.throttle_events) + capped

    def clear_memory(self) -> None:
        self.corrected = self.uncorrected = 0

    def clear(self) -> None:
        self.clear_memory()
        self.over_currents = 0


def _sensed(total_w: float) -> dict[str, tuple[int, int]]:
    power = orin.spread(RAILS, ORIN.idle_power_w, total_w)
    return {
        "VDD_GPU_SOC": orin.sensed(RAILS, power.gpu_soc, RAILS.input_v),
        "VDD_CPU_CV": orin.sensed(RAILS, power.cpu_cv, RAILS.input_v),
        "VIN_SYS_5V0": orin.sensed(RAILS, power.system, RAILS.system_v),
        "VDDQ_VDD2_1V8AO": orin.sensed(RAILS, power.memory, RAILS.memory_v),
    }


def _prepare(path: Path) -> BoardState:
    """The board-state file: the one a companion that died left in use, or a new one."""
    try:
        board = BoardState.attach(path)
        if len(board.devices) == 1:
            return board
        board.close()
    except BoardStateError:
        pass
    board = BoardState.create(path, 1)
    board.devices[0].memory_bytes = int(ORIN.memory_bytes)
    board.devices[0].reserved_bytes = int(ORIN.reserved_bytes)
    return board


def _last_number(folder: Path) -> int:
    """The number of the last request that was answered, so that none is served twice."""
    answer = host_bus.read_answer(folder)
    return 0 if answer is None else answer.number


def _refusal(request: Request) -> str:
    """Why a request is refused; empty when it is not."""
    if request.action != host_bus.POWER_CYCLE:
        return f"no action {request.action!r}; this bus knows {host_bus.POWER_CYCLE}"
    if not host_bus.SHORTEST_OFF_S <= request.off_s <= host_bus.LONGEST_OFF_S:
        low, high = host_bus.SHORTEST_OFF_S, host_bus.LONGEST_OFF_S
        return f"{request.off_s:g} s without power; give {low:g} … {high:g} s"
    return ""


def _answer(folder: Path, answer: Answer) -> None:
    host_bus.write_answer(folder, answer)
