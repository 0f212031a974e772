"""One GPU: power over load and clock, the power cap, thermal throttling, its constants' sources."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim_hw.model import gpu
from sim_hw.model.constants import provenance
from sim_hw.model.gpu import H100, GpuInputs, GpuState, Reason
from sim_hw.model.thermal import ThermalProfile

PATH = ThermalProfile()
FULL = GpuInputs(utilization=1.0, power_limit_w=350.0, sink_c=-5.0)
loads = st.floats(0.0, 1.0)
clocks = st.floats(345.0, 1755.0)


def run(state: GpuState, inputs: GpuInputs, seconds: float, dt_s: float = 0.05) -> GpuState:
    for _ in range(round(seconds / dt_s)):
        state = gpu.step(H100, PATH, state, inputs, dt_s)
    return state


@pytest.fixture
def cold() -> GpuState:
    return gpu.initial(H100, PATH, -5.0)


def test_power_is_idle_power_without_load_and_board_power_at_full_load() -> None:
    assert gpu.power_w(H100, 0.0, 1755.0, 20.0) == 50.0
    assert gpu.power_w(H100, 1.0, 1755.0, 20.0) == pytest.approx(350.0)


@given(load=loads, more=loads, clock=clocks, faster=clocks, die=st.floats(-40, 90))
def test_more_load_a_faster_clock_or_a_hotter_die_never_needs_less_power(
    load: float, more: float, clock: float, faster: float, die: float
) -> None:
    low = gpu.power_w(H100, min(load, more), min(clock, faster), die)
    assert gpu.power_w(H100, max(load, more), max(clock, faster), die + 5.0) >= low


def test_load_raises_the_clock_at_once_and_idleness_drops_it(cold: GpuState) -> None:
    busy = run(cold, FULL, 0.05)
    assert (busy.clock_mhz, busy.reasons) == (1755.0, Reason.NONE)
    idle = run(busy, replace(FULL, utilization=0.0), 0.05)
    assert (idle.clock_mhz, idle.reasons) == (345.0, Reason.IDLE)


def test_a_power_cap_is_obeyed_within_a_second_and_named_as_the_reason(cold: GpuState) -> None:
    state = run(cold, replace(FULL, power_limit_w=250.0), 1.0)
    assert 235.0 < state.power_w <= 250.0
    assert state.reasons == Reason.SW_POWER_CAP
    assert state.clock_mhz < 1755.0


def test_the_clock_recovers_when_the_cap_is_lifted(cold: GpuState) -> None:
    capped = run(cold, replace(FULL, power_limit_w=200.0), 2.0)
    free = run(capped, FULL, 2.0)
    assert (free.clock_mhz, free.reasons) == (1755.0, Reason.NONE)


@given(limit_w=st.floats(200.0, 350.0), load=st.floats(0.05, 1.0))
def test_no_cap_in_range_is_exceeded_once_settled(limit_w: float, load: float) -> None:
    inputs = replace(FULL, utilization=load, power_limit_w=limit_w)
    state = run(gpu.initial(H100, PATH, -5.0), inputs, 4.0)
    assert state.power_w <= limit_w


def test_a_hot_sink_throttles_the_clock_for_heat_and_keeps_it_below_slow_down(
    cold: GpuState,
) -> None:
    state = run(cold, replace(FULL, sink_c=60.0), 7200.0, dt_s=0.5)
    assert Reason.SW_THERMAL in state.reasons
    assert H100.throttle_c - 4.0 < state.sensor_c < H100.slowdown_c
    assert state.loaded_clock_mhz < 1755.0


def test_the_hardware_halves_the_clock_at_the_slow_down_temperature(cold: GpuState) -> None:
    state = run(cold, replace(FULL, sensor_offset_k=88.0 - cold.sensor_c), 0.1)
    assert Reason.HW_SLOWDOWN | Reason.HW_THERMAL in state.reasons
    assert state.loaded_clock_mhz <= 1755.0 / 2


def test_a_board_beyond_its_shutdown_temperature_says_so(cold: GpuState) -> None:
    assert run(cold, replace(FULL, sensor_offset_k=100.0), 0.1).too_hot
    assert not run(cold, FULL, 0.1).too_hot


def test_full_load_in_the_default_orbit_settles_without_thermal_throttling(cold: GpuState) -> None:
    state = run(cold, FULL, 20_000.0, dt_s=1.0)
    assert 70.0 < state.sensor_c < H100.throttle_c
    assert not state.reasons & (Reason.SW_THERMAL | Reason.HW_THERMAL)


def test_locked_clocks_hold_the_clock_under_load_and_idle(cold: GpuState) -> None:
    locked = replace(FULL, lock_min_mhz=1200.0, lock_max_mhz=1200.0)
    busy = run(cold, locked, 0.5)
    assert (busy.clock_mhz, busy.reasons) == (1200.0, Reason.USER_CLOCKS)
    assert run(busy, replace(locked, utilization=0.0), 0.5).clock_mhz == 1200.0


def test_energy_is_the_sum_of_power_over_time(cold: GpuState) -> None:
    state, total = cold, 0.0
    for step in range(400):
        inputs = replace(FULL, utilization=(step % 5) / 4)
        state = gpu.step(H100, PATH, state, inputs, 0.05)
        total += state.power_w * 0.05
    assert state.energy_j == pytest.approx(total)


def test_the_power_reading_is_an_average_that_follows_within_half_a_second(cold: GpuState) -> None:
    after_one = run(cold, FULL, 0.05)
    assert after_one.average_power_w < after_one.power_w - 50.0
    assert run(cold, FULL, 0.5).average_power_w == pytest.approx(350.0, rel=0.01)


def test_the_same_inputs_give_the_same_state(cold: GpuState) -> None:
    assert run(cold, FULL, 5.0) == run(cold, FULL, 5.0)


@pytest.mark.parametrize("profile", [H100, PATH], ids=["gpu", "thermal"])
def test_every_constant_says_its_unit_and_where_it_comes_from(profile: object) -> None:
    for name, (_, unit, source) in provenance(profile).items():
        assert unit, name
        assert len(source) > 7, name
