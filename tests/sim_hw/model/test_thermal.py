"""Heat: the steady state of theory, no heat made or lost, hotter for more power."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim_hw.model import thermal
from sim_hw.model.thermal import ThermalProfile, ThermalState

PATH = ThermalProfile()
powers = st.floats(0.0, 700.0)
temperatures = st.floats(-100.0, 150.0)


def run(state: ThermalState, power_w: float, sink_c: float, seconds: float) -> ThermalState:
    return thermal.step(PATH, state, power_w, sink_c, seconds)


def test_the_steady_state_is_the_sum_of_resistances_times_power() -> None:
    resistance = (
        PATH.die_to_plate_k_w
        + PATH.plate_to_radiator_k_w
        + 1.0 / (PATH.radiator_area_m2 * PATH.radiator_conductance_w_m2_k)
    )
    assert thermal.steady(PATH, 300.0, -20.0).die_c == pytest.approx(-20.0 + 300.0 * resistance)


@settings(max_examples=10)
@given(power_w=powers, sink_c=temperatures)
def test_any_start_ends_at_the_steady_state(power_w: float, sink_c: float) -> None:
    wanted = thermal.steady(PATH, power_w, sink_c)
    found = run(ThermalState(20.0, 20.0, 20.0), power_w, sink_c, 30_000.0)
    assert found.die_c == pytest.approx(wanted.die_c, abs=0.02)
    assert found.plate_c == pytest.approx(wanted.plate_c, abs=0.02)
    assert found.sensor_c == pytest.approx(wanted.die_c, abs=0.02)


@given(die_c=temperatures, plate_c=temperatures, power_w=powers, sink_c=temperatures)
def test_heat_is_neither_made_nor_lost(
    die_c: float, plate_c: float, power_w: float, sink_c: float
) -> None:
    before, dt_s = ThermalState(die_c, plate_c, die_c), 0.05
    after = run(before, power_w, sink_c, dt_s)
    stored = PATH.die_capacity_j_k * (after.die_c - before.die_c)
    stored += PATH.plate_capacity_j_k * (after.plate_c - before.plate_c)
    radiated = PATH.plate_conductance_w_k * (after.plate_c - sink_c) * dt_s
    assert stored == pytest.approx(power_w * dt_s - radiated, abs=1e-6)


@given(power_w=powers, more_w=st.floats(1.0, 500.0), seconds=st.floats(0.01, 500.0))
def test_more_power_is_never_colder(power_w: float, more_w: float, seconds: float) -> None:
    start = thermal.steady(PATH, 50.0, 0.0)
    low = run(start, power_w, 0.0, seconds)
    high = run(start, power_w + more_w, 0.0, seconds)
    assert high.die_c > low.die_c
    assert high.plate_c >= low.plate_c


def test_the_die_rises_with_its_own_time_constant() -> None:
    """While the plate hardly moves, the die follows 1 - exp(-t/RC)."""
    tau_s = PATH.die_capacity_j_k * PATH.die_to_plate_k_w
    state = ThermalState(0.0, 0.0, 0.0)
    for _ in range(round(tau_s / 0.05)):
        state = run(state, 100.0, 0.0, 0.05)
    rise = 100.0 * PATH.die_to_plate_k_w * (1.0 - math.exp(-1.0))
    assert state.die_c - state.plate_c == pytest.approx(rise, rel=0.02)


def test_one_long_step_agrees_with_many_short_ones() -> None:
    start = ThermalState(0.0, 0.0, 0.0)
    long, short = run(start, 300.0, 0.0, 600.0), start
    for _ in range(6000):
        short = run(short, 300.0, 0.0, 0.1)
    assert long.die_c == pytest.approx(short.die_c, abs=0.1)


def test_no_time_changes_nothing() -> None:
    state = ThermalState(40.0, 30.0, 39.0)
    assert run(state, 300.0, 0.0, 0.0) == state
