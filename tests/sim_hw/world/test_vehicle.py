"""The compiled payload against the models of the emulated board, step by step."""

from __future__ import annotations

import numpy as np
import pytest

from sim_hw.model import gpu as model
from sim_hw.model.gpu import GpuInputs
from sim_hw.world import vehicle
from sim_hw.world.devices import DEVICES
from sim_hw.world.power import PowerSettings, array_power

pytestmark = pytest.mark.numerical

POWER = PowerSettings()


def flown(
    name: str, load: np.ndarray, sink_c: np.ndarray, limit_w: float, power: PowerSettings = POWER,
    array_w: float = 5000.0, measured_w: float = np.nan, dt_s: float = 1.0,
) -> dict[str, np.ndarray]:  # fmt: skip
    device, count = DEVICES[name], len(load)
    constants = vehicle.constants(device.gpu, device.heat, power, 600.0)
    state = vehicle.initial(device.gpu, device.heat, power, float(sink_c[0]), 0.0, 350.0)
    output = np.empty((count, len(vehicle.OUTPUT)))
    vehicle.advance(
        constants, state, np.full(count, array_w), sink_c, load, np.full(count, limit_w),
        np.full(count, measured_w), dt_s, output,
    )  # fmt: skip
    return dict(zip(vehicle.OUTPUT, output.T, strict=True))


@pytest.mark.parametrize("name", sorted(DEVICES))
@pytest.mark.parametrize("dt_s", [0.05, 1.0, 2.5])
def test_power_heat_and_clock_are_those_of_the_reference(name: str, dt_s: float) -> None:
    device, random = DEVICES[name], np.random.default_rng(4)
    profile = device.gpu
    load = np.repeat(random.choice([0.0, 0.4, 1.0], 40), 50)
    sink = np.repeat(random.uniform(-40.0, 25.0, 10), 200)
    limit = 0.5 * (profile.min_power_limit_w + profile.max_power_w)
    found = flown(name, load, sink, limit, dt_s=dt_s)

    state = model.initial(profile, device.heat, float(sink[0]))
    for index in range(len(load)):
        if found["state"][index] != vehicle.ON:
            break  # the reference leaves it to the board to take itself off the bus
        inputs = GpuInputs(load[index], limit, sink[index])
        state = model.step(profile, device.heat, state, inputs, dt_s)
        assert found["power_w"][index] == pytest.approx(state.power_w, abs=1e-9)
        assert found["sensor_c"][index] == pytest.approx(state.sensor_c, abs=1e-9)
        assert found["plate_c"][index] == pytest.approx(state.heat.plate_c, abs=1e-9)
        assert found["clock_mhz"][index] == pytest.approx(state.clock_mhz, abs=1e-9)
    assert index > 200


def test_the_compiled_form_and_plain_python_agree() -> None:
    load = np.tile([0.0, 0.9, 1.0], 100)
    compiled = flown("h100", load, np.full(300, 10.0), 300.0)
    plain = vehicle.advance.py_func
    constants = vehicle.constants(DEVICES["h100"].gpu, DEVICES["h100"].heat, POWER, 600.0)
    state = vehicle.initial(DEVICES["h100"].gpu, DEVICES["h100"].heat, POWER, 10.0, 0.0, 350.0)
    output = np.empty((300, len(vehicle.OUTPUT)))
    plain(constants, state, np.full(300, 5000.0), np.full(300, 10.0), load, np.full(300, 300.0),
          np.full(300, np.nan), 1.0, output)  # fmt: skip
    for name, column in zip(vehicle.OUTPUT, output.T, strict=True):
        assert compiled[name] == pytest.approx(column, abs=1e-9)


def test_every_compiled_part_is_its_plain_self() -> None:
    device = DEVICES["h100"]
    c = vehicle.constants(device.gpu, device.heat, POWER, 600.0)
    for load, clock, die in ((0.0, 345.0, 20.0), (1.0, 1755.0, 80.0), (0.5, 900.0, 50.0)):
        expected = model.power_w(device.gpu, load, clock, die)
        assert vehicle.gpu_power.py_func(c, load, clock, die) == pytest.approx(expected)
    hot = vehicle.initial(device.gpu, device.heat, POWER, 10.0, 0.0, 350.0)
    hot[2] = 90.0
    assert vehicle.governed.py_func(c, hot.copy(), 1.0, 350.0, 5) == 0x20
    cool = vehicle.initial(device.gpu, device.heat, POWER, 10.0, 0.0, 350.0)
    assert vehicle.governed.py_func(c, cool, 1.0, 200.0, 500) == 0x4
    assert vehicle.gpu_power(c, 1.0, cool[3], cool[0]) <= 200.0
    cool[2] = device.gpu.throttle_c - 1.0
    assert vehicle.governed.py_func(c, cool, 1.0, 350.0, 5) == 0x20
    before = cool.copy()
    vehicle.heated.py_func(c, cool, 0.0, -30.0, 2.5)
    assert cool[1] < before[1]


def test_the_battery_carries_what_the_array_does_not() -> None:
    power = PowerSettings(battery=1000.0, discharge_efficiency=1.0, converter_efficiency=1.0)
    found = flown("h100", np.zeros(3600), np.full(3600, -20.0), 350.0, power, array_w=0.0)
    drawn = 1000.0 - found["battery_wh"][-1]
    assert drawn == pytest.approx(power.bus + found["power_w"].mean(), rel=1e-6)


def test_a_charge_is_limited_loses_its_share_and_ends_full() -> None:
    power = PowerSettings(battery=500.0, initial=0.5, charge_limit=100.0, charge_efficiency=0.9)
    found = flown("orin", np.zeros(4 * 3600), np.full(4 * 3600, 0.0), 60.0, power)
    assert found["battery_wh"][3599] == pytest.approx(250.0 + 90.0, rel=1e-6)
    assert found["battery_wh"][-1] == 500.0


def test_a_payload_is_shed_at_the_cutoff_and_comes_back_at_the_restart() -> None:
    power = PowerSettings(battery=200.0, initial=0.4, cutoff=0.3, restart=0.6)
    constants = vehicle.constants(DEVICES["h100"].gpu, DEVICES["h100"].heat, power, 600.0)
    state = vehicle.initial(DEVICES["h100"].gpu, DEVICES["h100"].heat, power, 0.0, 1.0, 350.0)
    steps = 7200
    array = np.where(np.arange(steps) < 1800, 0.0, 900.0)
    output = np.empty((steps, len(vehicle.OUTPUT)))
    one = np.ones(steps)
    vehicle.advance(constants, state, array, 0.0 * one, one, 350.0 * one, np.nan * one, 1.0, output)
    column = dict(zip(vehicle.OUTPUT, output.T, strict=True))
    off = np.flatnonzero(column["state"] == vehicle.SHED)
    assert column["battery_wh"][off[0]] <= 60.0
    assert (column["power_w"][off[1:]] == 0.0).all()
    assert column["battery_wh"][off[-1] + 1] >= 120.0
    assert column["power_w"][off[-1] + 2] > 100.0


def test_one_that_is_too_hot_goes_off_and_comes_back_later() -> None:
    found = flown("h100", np.ones(9000), np.full(9000, 89.0), 350.0)
    off = np.flatnonzero(found["state"] == vehicle.TRIPPED)
    assert len(off) > 500
    assert found["sensor_c"][off[0]] >= DEVICES["h100"].gpu.shutdown_c
    assert found["power_w"][off[1]] == 0.0


def test_a_measured_power_takes_the_place_of_the_modelled_one() -> None:
    found = flown("h100", np.ones(10), np.full(10, 0.0), 350.0, measured_w=123.0)
    assert (found["power_w"] == 123.0).all()


def test_the_array_gives_nothing_in_the_shadow_and_more_near_the_sun() -> None:
    power = array_power(POWER, np.array([False, True, False]), np.array([1.0, 1.0, 0.98]))
    assert power[1] == 0.0
    assert power[0] == pytest.approx(1361.0 * 3.0 * 0.28 * 0.97 * 0.95)
    assert power[2] / power[0] == pytest.approx(0.98**-2)
