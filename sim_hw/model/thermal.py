"""Heat: from the die through the cold plate to the radiator, in two nodes."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sim_hw.model.constants import constant

_LONGEST_STEP_S = 1.0


@dataclass(frozen=True)
class ThermalProfile:
    """The path the heat takes; the defaults are an H100 PCIe on a 1.2 m² radiator."""

    die_capacity_j_k: float = constant(
        250.0, "J/K", "estimate: die and spreader, gives the ~20 s rise seen on boards of this size"
    )
    die_to_plate_k_w: float = constant(
        0.08, "K/W", "estimate from published die-to-coldplate figures of this power class"
    )
    plate_capacity_j_k: float = constant(
        17_000.0, "J/K", "derived: cold plate and loop 8 kJ/K, radiator panel 9 kJ/K"
    )
    plate_to_radiator_k_w: float = constant(0.02, "K/W", "estimate: loop or heat pipe")
    radiator_area_m2: float = constant(
        1.2, "m2", "derived: 500 W of payload at 50 °C with emissivity 0.85 needs 1.1-1.4 m2"
    )
    radiator_conductance_w_m2_k: float = constant(
        6.5,
        "W/(m2 K)",
        "derived: slope of the Stefan-Boltzmann law at 45 °C, emissivity 0.85, one side",
    )
    sensor_lag_s: float = constant(1.0, "s", "estimate: temperature reading of a board")

    @property
    def die_conductance_w_k(self) -> float:
        return 1.0 / self.die_to_plate_k_w

    @property
    def plate_conductance_w_k(self) -> float:
        radiator = 1.0 / (self.radiator_conductance_w_m2_k * self.radiator_area_m2)
        return 1.0 / (self.plate_to_radiator_k_w + radiator)


@dataclass(frozen=True)
class ThermalState:
    """Temperatures in °C; the sensor follows the die with a lag."""

    die_c: float
    plate_c: float
    sensor_c: float


def steady(profile: ThermalProfile, power_w: float, sink_c: float) -> ThermalState:
    """The state after a long time at constant power."""
    plate_c = sink_c + power_w / profile.plate_conductance_w_k
    die_c = plate_c + power_w / profile.die_conductance_w_k
    return ThermalState(die_c, plate_c, die_c)


def step(
    profile: ThermalProfile, state: ThermalState, power_w: float, sink_c: float, dt_s: float
) -> ThermalState:
    """The state `dt_s` later; implicit, so that no step is too long to be stable or loses heat."""
    count = max(1, math.ceil(dt_s / _LONGEST_STEP_S))
    for _ in range(count):
        state = _substep(profile, state, power_w, sink_c, dt_s / count)
    return state


def _substep(
    profile: ThermalProfile, state: ThermalState, power_w: float, sink_c: float, dt_s: float
) -> ThermalState:
    """Backward Euler: solve the two balances for the new temperatures."""
    if dt_s <= 0:
        return state
    die_rate = profile.die_capacity_j_k / dt_s
    plate_rate = profile.plate_capacity_j_k / dt_s
    inner, outer = profile.die_conductance_w_k, profile.plate_conductance_w_k
    die_sum = die_rate + inner
    plate_sum = plate_rate + inner + outer
    die_source = die_rate * state.die_c + power_w
    plate_source = plate_rate * state.plate_c + outer * sink_c
    determinant = die_sum * plate_sum - inner * inner
    die_c = (die_source * plate_sum + inner * plate_source) / determinant
    plate_c = (plate_source * die_sum + inner * die_source) / determinant
    follow = 1.0 - math.exp(-dt_s / profile.sensor_lag_s)
    return ThermalState(die_c, plate_c, state.sensor_c + follow * (die_c - state.sensor_c))
