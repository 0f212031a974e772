"""One GPU: power from load and clock, heat from power, and a governor that keeps both in bounds."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass, replace

from sim_hw.model import thermal
from sim_hw.model.constants import constant
from sim_hw.model.thermal import ThermalProfile, ThermalState

_BOARD_DATA = "NVIDIA H100 PCIe product brief PB-11133"
_MOCK = "NVIDIA's mock-NVML H100 profile; not checked on a board"
_RECALLED = "commonly reported for H100 PCIe; not checked on a board"


@dataclass(frozen=True)
class GpuProfile:
    """What a board of one type can do; the defaults are an H100 PCIe 80 GB."""

    idle_power_w: float = constant(50.0, "W", f"48-55 W: {_RECALLED}")
    max_power_w: float = constant(350.0, "W", _BOARD_DATA)
    min_power_limit_w: float = constant(200.0, "W", _RECALLED)
    load_exponent: float = constant(0.9, "1", "fit by eye to published power-over-load curves")
    clock_exponent: float = constant(
        2.4, "1", "between f·V² with V linear in f (3) and constant V (1)"
    )
    leakage_per_k: float = constant(0.006, "1/K", "estimate: 0.6 % a kelvin above 50 °C")
    leakage_from_c: float = constant(50.0, "°C", "estimate, with leakage_per_k")
    power_average_s: float = constant(0.1, "s", "Hopper's power reading averages 25-100 ms")
    min_clock_mhz: float = constant(345.0, "MHz", _RECALLED)
    max_clock_mhz: float = constant(1755.0, "MHz", _RECALLED)
    memory_clock_mhz: float = constant(1593.0, "MHz", _RECALLED)
    clock_step_mhz: float = constant(
        15.0, "MHz", "granularity of supported clocks on NVIDIA boards"
    )
    governor_period_s: float = constant(0.025, "s", "estimate: a step each 20-50 ms")
    throttle_c: float = constant(83.0, "°C", f"maximum operating temperature: {_MOCK}")
    slowdown_c: float = constant(87.0, "°C", f"slow-down threshold: {_MOCK}")
    shutdown_c: float = constant(92.0, "°C", f"shutdown threshold: {_MOCK}")
    hysteresis_k: float = constant(2.0, "K", "estimate")
    memory_max_c: float = constant(95.0, "°C", _RECALLED)
    memory_above_c: float = constant(5.0, "K", "estimate: HBM above the GPU, idle")
    memory_above_loaded_k: float = constant(7.0, "K", "estimate: more at full bandwidth")
    memory_share: float = constant(0.6, "1", "estimate: memory busy per GPU busy")
    memory_bound_share: float = constant(
        0.7,
        "1",
        "estimate: power above idle of what only moves memory, over a usual kernel's",
    )
    memory_bytes: float = constant(81_559 * 2.0**20, "B", f"81,559 MiB: {_RECALLED}")
    reserved_bytes: float = constant(551 * 2.0**20, "B", _RECALLED)
    sink_c: float = constant(-5.0, "°C", "chosen: full load settles just below the throttle point")


H100 = GpuProfile()


@enum.unique
class Reason(enum.IntFlag):
    """Why the clock is where it is; the bits are NVML's."""

    NONE = 0x0
    IDLE = 0x1
    USER_CLOCKS = 0x2
    SW_POWER_CAP = 0x4
    HW_SLOWDOWN = 0x8
    SW_THERMAL = 0x20
    HW_THERMAL = 0x40


@dataclass(frozen=True)
class GpuInputs:
    """What the world and the clients do to the GPU during a step."""

    utilization: float
    power_limit_w: float
    sink_c: float
    lock_min_mhz: float = 0.0
    lock_max_mhz: float = 0.0
    sensor_offset_k: float = 0.0
    memory_use: float | None = None
    """Share of the memory's bandwidth in use; None takes the profile's for this utilization."""


@dataclass(frozen=True)
class GpuState:
    """The GPU after a step."""

    heat: ThermalState
    ceiling_mhz: float
    power_w: float
    average_power_w: float
    energy_j: float
    utilization: float = 0.0
    clock_mhz: float = 0.0
    loaded_clock_mhz: float = 0.0
    sensor_c: float = 0.0
    memory_c: float = 0.0
    governor_rest_s: float = 0.0
    throttled_by: Reason = Reason.NONE
    slowed: bool = False
    reasons: Reason = Reason.IDLE
    too_hot: bool = False
    """Hotter than the board survives: it takes itself off the bus."""


def initial(profile: GpuProfile, path: ThermalProfile, sink_c: float) -> GpuState:
    """A GPU that has been idle for hours."""
    heat = thermal.steady(path, profile.idle_power_w, sink_c)
    state = GpuState(
        heat=heat,
        ceiling_mhz=profile.max_clock_mhz,
        power_w=profile.idle_power_w,
        average_power_w=profile.idle_power_w,
        energy_j=0.0,
    )
    return step(profile, path, state, GpuInputs(0.0, profile.max_power_w, sink_c), 0.0)


def power_w(
    profile: GpuProfile, utilization: float, clock_mhz: float, die_c: float, intensity: float = 1.0
) -> float:
    """Board power: rises with load and clock, and with temperature through leakage.

    `intensity` is the share of its dynamic power that the work draws, see `intensity`.
    """
    span = profile.max_power_w - profile.idle_power_w
    share = math.pow(max(0.0, clock_mhz / profile.max_clock_mhz), profile.clock_exponent)
    dynamic = span * math.pow(min(1.0, max(0.0, utilization)), profile.load_exponent) * share
    dynamic *= intensity
    leakage = 1.0 + profile.leakage_per_k * max(0.0, die_c - profile.leakage_from_c)
    return (profile.idle_power_w + dynamic) * leakage


def intensity(profile: GpuProfile, inputs: GpuInputs) -> float:
    """1 for work that computes; less the more it waits for memory beyond the usual share."""
    if inputs.memory_use is None or inputs.utilization <= 0.0:
        return 1.0
    bound = inputs.memory_use / inputs.utilization - profile.memory_share
    waiting = min(1.0, max(0.0, bound / (1.0 - profile.memory_share)))
    return 1.0 - (1.0 - profile.memory_bound_share) * waiting


def step(
    profile: GpuProfile, path: ThermalProfile, state: GpuState, inputs: GpuInputs, dt_s: float
) -> GpuState:
    """The GPU `dt_s` later: first the governor, then power, then heat."""
    state = _govern(profile, state, inputs, dt_s)
    loaded = _loaded_clock(profile, state, inputs)
    busy = inputs.utilization > 0.0
    clock = loaded if busy else max(profile.min_clock_mhz, min(inputs.lock_min_mhz, loaded))
    works = intensity(profile, inputs)
    power = power_w(profile, inputs.utilization, clock, state.heat.die_c, works)
    heat = thermal.step(path, state.heat, power, inputs.sink_c, dt_s)
    follow = 1.0 - math.exp(-dt_s / profile.power_average_s)
    sensor_c = heat.sensor_c + inputs.sensor_offset_k
    memory_use = inputs.memory_use
    if memory_use is None:
        memory_use = profile.memory_share * inputs.utilization
    return replace(
        state,
        heat=heat,
        power_w=power,
        average_power_w=state.average_power_w + follow * (power - state.average_power_w),
        energy_j=state.energy_j + power * dt_s,
        utilization=inputs.utilization,
        clock_mhz=clock,
        loaded_clock_mhz=loaded,
        sensor_c=sensor_c,
        memory_c=sensor_c + profile.memory_above_c + profile.memory_above_loaded_k * memory_use,
        reasons=_reasons(profile, state, inputs),
        too_hot=sensor_c >= profile.shutdown_c,
    )


def _govern(profile: GpuProfile, state: GpuState, inputs: GpuInputs, dt_s: float) -> GpuState:
    """Move the clock ceiling by as many steps as fit into `dt_s`."""
    due = state.governor_rest_s + dt_s
    steps = int(due / profile.governor_period_s)
    sensor_c = state.heat.sensor_c + inputs.sensor_offset_k
    ceiling, cause = state.ceiling_mhz, state.throttled_by
    for _ in range(min(steps, _steps_of(profile))):
        before = ceiling, cause
        ceiling, cause = _one_step(profile, *before, inputs, sensor_c, state.heat.die_c)
        if (ceiling, cause) == before:  # settled: the inputs do not change within a step
            break
    release = profile.slowdown_c - (profile.hysteresis_k if state.slowed else 0.0)
    return replace(
        state,
        ceiling_mhz=ceiling,
        throttled_by=cause if ceiling < profile.max_clock_mhz else Reason.NONE,
        slowed=sensor_c >= release,
        governor_rest_s=due - steps * profile.governor_period_s,
    )


def _steps_of(profile: GpuProfile) -> int:
    return math.ceil((profile.max_clock_mhz - profile.min_clock_mhz) / profile.clock_step_mhz)


def _one_step(
    profile: GpuProfile,
    ceiling: float,
    cause: Reason,
    inputs: GpuInputs,
    sensor_c: float,
    die_c: float,
) -> tuple[float, Reason]:
    """One step down when too hot or over the limit, one up when there is room for it."""
    lower = max(profile.min_clock_mhz, ceiling - profile.clock_step_mhz)
    higher = min(profile.max_clock_mhz, ceiling + profile.clock_step_mhz)
    if sensor_c >= profile.throttle_c:
        return lower, Reason.SW_THERMAL
    capped, works = _cap(profile, inputs), intensity(profile, inputs)

    def power(clock_mhz: float) -> float:
        return power_w(profile, inputs.utilization, min(clock_mhz, capped), die_c, works)

    if power(ceiling) > inputs.power_limit_w:
        return lower, Reason.SW_POWER_CAP
    if higher == ceiling or sensor_c >= profile.throttle_c - profile.hysteresis_k:
        return ceiling, cause
    if power(higher) > inputs.power_limit_w:
        return ceiling, Reason.SW_POWER_CAP
    return higher, cause


def _cap(profile: GpuProfile, inputs: GpuInputs) -> float:
    return inputs.lock_max_mhz or profile.max_clock_mhz


def _loaded_clock(profile: GpuProfile, state: GpuState, inputs: GpuInputs) -> float:
    """The clock the GPU runs at when it has work."""
    clock = min(state.ceiling_mhz, _cap(profile, inputs))
    return max(profile.min_clock_mhz, clock / 2.0 if state.slowed else clock)


def _reasons(profile: GpuProfile, state: GpuState, inputs: GpuInputs) -> Reason:
    reasons = state.throttled_by
    if inputs.utilization <= 0.0:
        reasons |= Reason.IDLE
    if inputs.lock_max_mhz and inputs.lock_max_mhz < profile.max_clock_mhz:
        reasons |= Reason.USER_CLOCKS
    if state.slowed:
        reasons |= Reason.HW_SLOWDOWN | Reason.HW_THERMAL
    return reasons
