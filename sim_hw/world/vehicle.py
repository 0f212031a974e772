"""Battery, GPU and heat over many steps, compiled; the reference is `sim_hw.model.gpu`.

The models are those of the emulated board, written once more without objects so that a day at one
step a second takes milliseconds. The tests hold the two against each other, step by step.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sim_hw.model import gpu as model
from sim_hw.model import thermal
from sim_hw.model.gpu import GpuProfile
from sim_hw.model.thermal import ThermalProfile
from sim_hw.world.compiled import compiled
from sim_hw.world.power import PowerSettings

Array = NDArray[np.float64]


class Constants(NamedTuple):
    """What does not change during a run."""

    idle_w: float
    span_w: float
    load_exponent: float
    clock_exponent: float
    leakage_per_k: float
    leakage_from_c: float
    min_clock: float
    max_clock: float
    clock_step: float
    governor_s: float
    throttle_c: float
    slowdown_c: float
    shutdown_c: float
    hysteresis_k: float
    die_capacity: float
    plate_capacity: float
    die_conductance: float
    plate_conductance: float
    sensor_lag_s: float
    capacity_wh: float
    charge_efficiency: float
    discharge_efficiency: float
    charge_limit_w: float
    cutoff_wh: float
    restart_wh: float
    bus_w: float
    converter: float
    restart_after_s: float


STATE = (
    "die_c",
    "plate_c",
    "sensor_c",
    "ceiling_mhz",
    "governor_rest_s",
    "slowed",
    "battery_wh",
    "shed",
    "tripped_s",
)
"""What one step hands to the next. `shed`: the payload is off for want of power. `tripped_s`: how
long it will stay off because it was too hot."""

OUTPUT = ("power_w", "sensor_c", "plate_c", "clock_mhz", "throttle", "battery_wh", "state")
"""What each step gives; `throttle` has NVML's reasons, `state` is one of those below."""
ON, SHED, TRIPPED = 0, 1, 2

_LEAKAGE_ROUNDS = 8
_SW_POWER_CAP, _HW_SLOWDOWN, _SW_THERMAL = 0x4, 0x8, 0x20


def constants(
    profile: GpuProfile, path: ThermalProfile, power: PowerSettings, restart_after_s: float
) -> Constants:
    """The constants of a board and its power."""
    return Constants(
        idle_w=profile.idle_power_w,
        span_w=profile.max_power_w - profile.idle_power_w,
        load_exponent=profile.load_exponent,
        clock_exponent=profile.clock_exponent,
        leakage_per_k=profile.leakage_per_k,
        leakage_from_c=profile.leakage_from_c,
        min_clock=profile.min_clock_mhz,
        max_clock=profile.max_clock_mhz,
        clock_step=profile.clock_step_mhz,
        governor_s=profile.governor_period_s,
        throttle_c=profile.throttle_c,
        slowdown_c=profile.slowdown_c,
        shutdown_c=profile.shutdown_c,
        hysteresis_k=profile.hysteresis_k,
        die_capacity=path.die_capacity_j_k,
        plate_capacity=path.plate_capacity_j_k,
        die_conductance=path.die_conductance_w_k,
        plate_conductance=path.plate_conductance_w_k,
        sensor_lag_s=path.sensor_lag_s,
        capacity_wh=power.battery,
        charge_efficiency=power.charge_efficiency,
        discharge_efficiency=power.discharge_efficiency,
        charge_limit_w=power.charge_limit,
        cutoff_wh=power.cutoff * power.battery,
        restart_wh=power.restart * power.battery,
        bus_w=power.bus,
        converter=power.converter_efficiency,
        restart_after_s=restart_after_s,
    )


def initial(
    profile: GpuProfile,
    path: ThermalProfile,
    power: PowerSettings,
    sink_c: float,
    load: float,
    limit_w: float,
) -> Array:
    """The state of a payload that has been at a load for hours."""
    state = model.initial(profile, path, sink_c)
    heat = state.heat
    for _ in range(_LEAKAGE_ROUNDS if load > 0.0 else 0):
        watts = model.power_w(profile, load, profile.max_clock_mhz, heat.die_c)
        heat = thermal.steady(path, min(watts, limit_w), sink_c)
    die_c = min(heat.die_c, profile.throttle_c - profile.hysteresis_k)
    plate_c = min(heat.plate_c, die_c)
    energy_wh = power.initial * power.battery
    return np.array([die_c, plate_c, die_c, state.ceiling_mhz, 0.0, 0.0, energy_wh, 0.0, 0.0])


@compiled
def gpu_power(c: Constants, load: float, clock: float, die_c: float) -> float:
    """Board power in W: `sim_hw.model.gpu.power_w`."""
    share = math.pow(max(0.0, clock / c.max_clock), c.clock_exponent)
    dynamic = c.span_w * math.pow(min(1.0, max(0.0, load)), c.load_exponent) * share
    leakage = 1.0 + c.leakage_per_k * max(0.0, die_c - c.leakage_from_c)
    return (c.idle_w + dynamic) * leakage


@compiled
def governed(c: Constants, state: Array, load: float, limit_w: float, steps: int) -> int:
    """Move the clock ceiling so many steps; the reason it is below the top."""
    ceiling, sensor_c, die_c, reason = state[3], state[2], state[0], 0
    for _ in range(min(steps, math.ceil((c.max_clock - c.min_clock) / c.clock_step))):
        before = ceiling
        higher = min(c.max_clock, ceiling + c.clock_step)
        if sensor_c >= c.throttle_c:
            ceiling, reason = max(c.min_clock, ceiling - c.clock_step), _SW_THERMAL
        elif gpu_power(c, load, ceiling, die_c) > limit_w:
            ceiling, reason = max(c.min_clock, ceiling - c.clock_step), _SW_POWER_CAP
        elif higher == ceiling:
            pass
        elif sensor_c >= c.throttle_c - c.hysteresis_k:
            reason = _SW_THERMAL
        elif gpu_power(c, load, higher, die_c) > limit_w:
            reason = _SW_POWER_CAP
        else:
            ceiling = higher
        if ceiling == before:
            break
    state[3] = ceiling
    return reason if ceiling < c.max_clock else 0


@compiled
def heated(c: Constants, state: Array, watts: float, sink_c: float, dt_s: float) -> None:
    """Backward Euler over the two nodes: `sim_hw.model.thermal.step`."""
    count = max(1, math.ceil(dt_s))
    part = dt_s / count
    die_rate, plate_rate = c.die_capacity / part, c.plate_capacity / part
    inner, outer = c.die_conductance, c.plate_conductance
    die_sum, plate_sum = die_rate + inner, plate_rate + inner + outer
    determinant = die_sum * plate_sum - inner * inner
    follow = 1.0 - math.exp(-part / c.sensor_lag_s)
    for _ in range(count):
        die_source = die_rate * state[0] + watts
        plate_source = plate_rate * state[1] + outer * sink_c
        state[0] = (die_source * plate_sum + inner * plate_source) / determinant
        state[1] = (plate_source * die_sum + inner * die_source) / determinant
        state[2] += follow * (state[0] - state[2])


@compiled
def charged(c: Constants, energy_wh: float, array_w: float, demand_w: float, dt_s: float) -> float:
    """The battery's energy in Wh after a step; what it cannot take, the array does not give."""
    net = array_w - demand_w
    if net >= 0.0:
        energy_wh += min(net, c.charge_limit_w) * c.charge_efficiency * dt_s / 3600.0
    else:
        energy_wh += net / c.discharge_efficiency * dt_s / 3600.0
    return min(c.capacity_wh, max(0.0, energy_wh))


@compiled
def advance(
    c: Constants,
    state: Array,
    array_w: Array,
    sink_c: Array,
    load: Array,
    limit_w: Array,
    measured_w: Array,
    dt_s: float,
    out: Array,
) -> None:
    """Step the payload once for each entry of the inputs; `state` is changed, `out` is filled.

    Where `measured_w` is a number, it takes the place of the power that the model gives.
    """
    for k in range(len(load)):
        is_off = state[7] > 0.0 or state[8] > 0.0
        watts, clock, reason = 0.0, 0.0, 0
        if not is_off:
            due = state[4] + dt_s
            steps = int(due / c.governor_s)
            reason = governed(c, state, load[k], limit_w[k], steps)
            state[4] = due - steps * c.governor_s
            release = c.slowdown_c - (c.hysteresis_k if state[5] > 0.0 else 0.0)
            state[5] = 1.0 if state[2] >= release else 0.0
            ceiling = state[3] / 2.0 if state[5] > 0.0 else state[3]
            clock = max(c.min_clock, ceiling) if load[k] > 0.0 else c.min_clock
            reason |= _HW_SLOWDOWN if state[5] > 0.0 else 0
            watts = gpu_power(c, load[k], clock, state[0])
            if not math.isnan(measured_w[k]):
                watts = measured_w[k]
        heated(c, state, watts, sink_c[k], dt_s)
        state[6] = charged(c, state[6], array_w[k], c.bus_w + watts / c.converter, dt_s)
        state[8] = max(0.0, state[8] - dt_s)
        if not is_off and state[2] >= c.shutdown_c:
            state[8], state[3], state[5] = c.restart_after_s, c.max_clock, 0.0
        if state[7] > 0.0:
            state[7] = 1.0 if state[6] < c.restart_wh else 0.0
        elif state[6] <= c.cutoff_wh:
            state[7] = 1.0
        out[k, 0], out[k, 1], out[k, 2], out[k, 3] = watts, state[2], state[1], clock
        out[k, 4], out[k, 5] = reason, state[6]
        out[k, 6] = 2.0 if state[8] > 0.0 else (1.0 if state[7] > 0.0 else 0.0)
