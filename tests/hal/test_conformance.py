"""What every board promises, on every emulated one; `--board nvml` asks this machine's GPUs."""

from __future__ import annotations

import re

import pytest

from hal.device import CONTROLS, Board, ControlRequest
from hal.reading import Reading, Validity, tai_now

pytestmark = [pytest.mark.portable, pytest.mark.verifies("VA-BRD-03")]


def by_name(readings: list[Reading]) -> dict[str, Reading]:
    return {reading.name: reading for reading in readings}


def test_a_board_names_itself_its_driver_and_its_devices(board: Board, conforming: str) -> None:
    identity = board.identity()
    assert identity.board == conforming.partition(" ")[0]
    assert identity.driver
    assert identity.driver_version
    assert identity.devices == tuple(board.devices())
    assert [device.index for device in identity.devices] == list(range(len(identity.devices)))
    assert all(device.name and device.uuid for device in identity.devices)


def test_every_reading_has_a_unique_name_that_says_its_device_and_a_unit(board: Board) -> None:
    readings = board.read()
    assert len(by_name(readings)) == len(readings)
    prefixes = tuple(f"gpu{device.index}." for device in board.devices())
    for reading in readings:
        assert reading.name.startswith(prefixes)
        assert reading.unit


def test_the_same_readings_come_every_time_in_the_same_order(board: Board) -> None:
    first, second = board.read(), board.read()
    assert [(r.name, r.unit) for r in first] == [(r.name, r.unit) for r in second]


def test_a_valid_reading_has_a_value_and_an_invalid_one_says_why(board: Board) -> None:
    for reading in board.read():
        if reading.is_valid:
            assert reading.value is not None
            assert reading.reason == ""
        else:
            assert reading.reason, reading.name


def test_power_temperature_clock_and_memory_are_measured_and_plausible(board: Board) -> None:
    found = by_name(board.read())
    for device in board.devices():
        for name, low, high in (
            ("power_w", 1.0, 1500.0),
            ("temperature_c", -40.0, 110.0),
            ("clock_sm_mhz", 1.0, 5000.0),
            ("memory_used_bytes", 0.0, float(device.memory_bytes or 0)),
            ("utilization_percent", 0.0, 100.0),
        ):
            value = found[f"gpu{device.index}.{name}"].value
            assert value is not None, name
            assert low <= value <= high, name


def test_readings_are_stamped_with_the_time_they_were_taken(board: Board) -> None:
    before = tai_now()
    readings = board.read()
    assert all(before <= reading.time_ns <= tai_now() for reading in readings)


def test_energy_never_falls(board: Board) -> None:
    first, second = by_name(board.read()), by_name(board.read())
    for device in board.devices():
        before, after = (found[f"gpu{device.index}.energy_j"].value for found in (first, second))
        if before is not None and after is not None:
            assert after >= before


def test_asking_for_faults_without_waiting_answers_at_once(board: Board) -> None:
    assert isinstance(board.faults(0.0), list)


def test_processes_are_told_with_their_device(board: Board) -> None:
    devices = {device.index for device in board.devices()}
    assert all(use.device in devices and use.pid > 0 for use in board.processes())


def test_an_unknown_control_is_answered_with_the_known_ones(board: Board) -> None:
    result = board.control(ControlRequest("warp_drive"))
    assert not result.done
    assert "power_limit_w" in result.text


@pytest.mark.control
def test_a_power_limit_is_read_back_and_out_of_range_ones_are_refused(board: Board) -> None:
    default_w = by_name(board.read())["gpu0.power_limit_w"].value
    assert default_w is not None
    lower_w = lower_limit(board, default_w)
    result = board.control(ControlRequest("power_limit_w", lower_w))
    assert result.done, result.text
    assert result.value == pytest.approx(lower_w)
    assert by_name(board.read())["gpu0.power_limit_w"].value == pytest.approx(lower_w)
    assert not board.control(ControlRequest("power_limit_w", 1.0)).done
    assert board.control(ControlRequest("power_limit_w", default_w)).value == default_w


def lower_limit(board: Board, limit_w: float) -> float:
    """A limit 10 W lower, or the next lower one that a refusal names: some boards have steps."""
    refused = board.control(ControlRequest("power_limit_w", limit_w - 10.0))
    if refused.done:
        return limit_w - 10.0
    named = refused.text.rpartition("give")[2]
    return max(watts for watts in map(float, re.findall(r"\d+", named)) if watts < limit_w)


@pytest.mark.control
def test_a_control_of_a_device_that_is_not_there_is_refused(board: Board) -> None:
    for action in CONTROLS:
        result = board.control(ControlRequest(action, 1.0, device=99))
        assert not result.done
        assert "99" in result.text or f"no {action!r}" in result.text


def test_a_closed_board_says_so_in_its_readings_and_closes_again(board: Board) -> None:
    board.close()
    board.close()
    readings = board.read()
    assert readings
    assert all(reading.validity is not Validity.VALID for reading in readings)
    assert not board.control(ControlRequest("reset_clock")).done
    assert board.faults(0.0) == []
