"""The emulated Orin through the Jetson driver and the compute device: load, heat, modes, power."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hal.compute.host import HostDevice
from hal.device import Board, ControlRequest
from hal.errors import DeviceLost
from hal.jetson.boot_slots import BootSlots
from hal.jetson.faults import JetsonFault
from hal.linux.host_bus import FolderHostBus
from hal.linux.programs import runner
from hal.reading import Validity
from icd import heartbeat
from icd.board_state import BoardState, mark_idle
from icd.processes import process_start_time
from tests.sim_hw.support.emulated_orin import STEP_NS, SteppedOrin

pytestmark = pytest.mark.portable

BUSY_S = 20.0


@pytest.fixture
def device(orin: SteppedOrin) -> HostDevice:
    """A compute device of the emulated Orin; whoever sleeps on it moves the board's clock."""
    return HostDevice(orin.folder / "board.state", clock=orin.clock, sleep=orin.run)


def compute(orin: SteppedOrin, device: HostDevice, seconds: float) -> None:
    """Keep the device busy for so long."""
    end_ns = orin.now_ns + round(seconds * 1e9)
    while orin.now_ns < end_ns:
        device.launch(lambda: orin.run(STEP_NS / 1e9))


def values(board: Board) -> dict[str, float]:
    return {
        reading.name.removeprefix("gpu0."): reading.value
        for reading in board.read()
        if reading.is_valid and reading.value is not None
    }


@pytest.mark.verifies("VA-SIM-02")
def test_a_job_raises_load_power_temperature_and_clock_of_the_module(
    orin: SteppedOrin, jetson: Board, device: HostDevice
) -> None:
    idle = values(jetson)
    compute(orin, device, BUSY_S)
    busy = values(jetson)
    assert busy["utilization_percent"] > 95.0
    assert busy["power_w"] > idle["power_w"] + 40.0
    assert busy["temperature_c"] > idle["temperature_c"] + 10.0
    assert busy["clock_sm_mhz"] > 2 * idle["clock_sm_mhz"]
    assert busy["memory_utilization_percent"] > 50.0
    assert busy["throttle_reasons"] == idle["throttle_reasons"] - 1.0
    device.close()


def test_the_rails_of_a_busy_module_add_up_and_the_gpus_carries_most(
    orin: SteppedOrin, jetson: Board, device: HostDevice
) -> None:
    compute(orin, device, 5.0)
    found = values(jetson)
    rails = [found[f"rail_{name}_w"] for name in ("vdd_gpu_soc", "vdd_cpu_cv", "vin_sys_5v0")]
    assert found["power_w"] == pytest.approx(sum(rails))
    assert rails[0] > rails[2] > rails[1]
    device.close()


def test_memory_and_process_of_a_job_are_seen(
    orin: SteppedOrin, jetson: Board, device: HostDevice
) -> None:
    before = values(jetson)
    kept = device.allocate((1 << 24,), "u1")
    orin.run(0.2)
    after = values(jetson)
    assert after["memory_used_bytes"] - before["memory_used_bytes"] == kept.nbytes
    assert after["processes"] == 1.0
    assert [use.pid for use in jetson.processes()] == [os.getpid()]
    device.close()


@pytest.mark.verifies("VA-SIM-02")
def test_a_lower_power_mode_slows_the_job_by_the_ratio_of_the_clocks(
    orin: SteppedOrin, jetson: Board, device: HostDevice
) -> None:
    assert jetson.control(ControlRequest("power_limit_w", 30.0)).done
    orin.run(0.2)
    device.launch(lambda: orin.run(1.0))
    started_ns = orin.now_ns
    device.synchronise()
    stretched_s = (orin.now_ns - started_ns) / 1e9
    assert stretched_s == pytest.approx(1300.5 / 624.75 - 1.0, rel=0.05)
    device.close()


def test_a_locked_clock_holds_until_it_is_released(
    orin: SteppedOrin, jetson: Board, device: HostDevice
) -> None:
    assert jetson.control(ControlRequest("locked_clock_mhz", 612.0)).done
    compute(orin, device, 1.0)
    assert values(jetson)["clock_sm_mhz"] == 612.0
    assert jetson.control(ControlRequest("reset_clock")).done
    compute(orin, device, 2.0)
    assert values(jetson)["clock_sm_mhz"] > 1000.0
    device.close()


def test_the_budget_of_the_module_holds_and_its_breach_is_counted(
    orin: SteppedOrin, jetson: Board, device: HostDevice
) -> None:
    assert jetson.control(ControlRequest("power_limit_w", 15.0)).done
    assert jetson.control(ControlRequest("reset_clock")).done  # more than this budget allows
    jetson.faults(0.0)
    compute(orin, device, 5.0)
    assert 12.0 < values(jetson)["power_w"] < 16.0
    codes = {fault.code for fault in jetson.faults(0.0)}
    assert JetsonFault.OVER_CURRENT_THROTTLE in codes
    device.close()


def test_a_module_that_gets_too_hot_switches_itself_off_and_its_jobs_know(
    orin: SteppedOrin, jetson: Board, device: HostDevice
) -> None:
    orin.world.temperature(110.0)
    orin.run(3.0)
    assert values(jetson) == {}
    with pytest.raises(DeviceLost):
        device.launch(lambda: None)
    device.close()


def test_a_context_that_crashed_ends_its_job_and_is_no_load_any_more(
    orin: SteppedOrin, jetson: Board, device: HostDevice
) -> None:
    compute(orin, device, 1.0)
    assert orin.world.crash() == 1
    with pytest.raises(DeviceLost, match="restart from a checkpoint"):
        device.launch(lambda: None)
    orin.run(2.0)
    found = values(jetson)
    assert (found["processes"], found["utilization_percent"]) == (0.0, 0.0)
    assert orin.world.crash() == 0
    device.close()


def test_a_power_cycle_is_asked_of_the_host_and_brings_a_dead_module_back(
    orin: SteppedOrin, jetson: Board, device: HostDevice
) -> None:
    orin.world.temperature(110.0)
    orin.run(3.0)
    orin.world.temperature(0.0)
    orin.run(3.0)
    assert values(jetson) == {}
    result = jetson.control(ControlRequest("rail_power_cycle"))
    assert result.done, result.text
    orin.run(0.2)
    assert values(jetson)["power_w"] == pytest.approx(8.0, abs=1.0)
    with pytest.raises(DeviceLost, match="reset"):
        device.launch(lambda: None)
    device.close()


def test_a_request_counts_once_even_for_a_companion_that_was_started_again(
    orin: SteppedOrin,
) -> None:
    bus = FolderHostBus(orin.folder / "host_bus")
    number = bus.ask_power_cycle("test", 1.0)
    orin.run(2.0)
    answer = bus.answer(number)
    assert answer is not None
    assert answer.state == "done"
    before = generation(orin)
    orin.emulated = type(orin.emulated)(orin.folder, 1)
    orin.run(2.0)
    assert generation(orin) == before


def generation(orin: SteppedOrin) -> int:
    """How often the module was reset."""
    state = BoardState.attach(orin.folder / "board.state")
    try:
        return int(state.devices[0].generation)
    finally:
        state.close()


def test_a_slot_that_was_activated_runs_after_the_next_power_cycle(orin: SteppedOrin) -> None:
    slots = BootSlots(runner(orin.root), allow_control=True)
    assert slots.activate(1).current == 0
    bus = FolderHostBus(orin.folder / "host_bus")
    bus.ask_power_cycle("other slot", 1.0)
    orin.run(2.0)
    table = slots.table()
    assert (table.current, table.active, table.other) == (1, 1, 0)


def test_recovery_can_boot_the_other_slot(orin: SteppedOrin, jetson: Board) -> None:
    result = jetson.control(ControlRequest("other_slot"))
    assert (result.done, result.value) == (True, 1.0), result.text
    assert BootSlots(runner(orin.root)).table().current == 1


def power_cycle(orin: SteppedOrin, times: int = 1) -> None:
    for _ in range(times):
        FolderHostBus(orin.folder / "host_bus").ask_power_cycle("another boot", 0.2)
        orin.run(1.0)


def running(board: Board) -> tuple[float, float]:
    """The slot that runs, and the one that boots next."""
    found = values(board)
    return found["boot_slot"], found["boot_slot_next"]


@pytest.mark.verifies("VA-RCV-12")
def test_a_slot_that_is_not_said_to_have_booted_well_is_left_after_three_boots(
    orin: SteppedOrin, jetson: Board
) -> None:
    assert running(jetson) == (0.0, 0.0)
    assert jetson.control(ControlRequest("other_slot")).done
    assert running(jetson) == (1.0, 1.0)
    power_cycle(orin, 2)
    assert BootSlots(runner(orin.root)).table().current == 1
    power_cycle(orin)
    table = BootSlots(runner(orin.root), rootfs=True).table()
    assert (table.current, table.active, table.other) == (0, 0, None)
    assert [(slot.status, slot.retries_left) for slot in table.slots] == [
        ("normal", 3),
        ("unbootable", 0),
    ]


@pytest.mark.verifies("VA-RCV-12")
def test_a_slot_that_is_said_to_have_booted_well_stays(orin: SteppedOrin, jetson: Board) -> None:
    jetson.control(ControlRequest("other_slot"))
    result = jetson.control(ControlRequest("confirm_slot"))
    assert (result.done, result.value) == (True, 1.0), result.text
    power_cycle(orin, 5)
    assert BootSlots(runner(orin.root)).table().current == 1


@pytest.mark.verifies("VA-RCV-12")
def test_a_slot_whose_software_does_not_come_up_is_left_at_once(
    orin: SteppedOrin, jetson: Board
) -> None:
    orin.world.slot(1, boots=False)
    assert jetson.control(ControlRequest("other_slot")).done
    assert running(jetson) == (0.0, 0.0)
    refused = jetson.control(ControlRequest("other_slot"))
    assert "write it anew first" in refused.text


def test_a_module_remembers_its_slot_when_its_emulation_ends_and_begins_again(
    orin: SteppedOrin, jetson: Board
) -> None:
    jetson.control(ControlRequest("other_slot"))
    orin.close()
    orin.emulated = type(orin.emulated)(orin.folder, 1)
    assert BootSlots(runner(orin.root)).table().current == 1


def test_error_counters_are_cleared_by_hand_and_by_a_power_cycle(
    orin: SteppedOrin, jetson: Board
) -> None:
    orin.world.ecc(5, 0)
    orin.run(0.2)
    assert values(jetson)["ecc_corrected_volatile"] == 5.0
    assert jetson.control(ControlRequest("clear_ecc")).done
    orin.run(0.2)
    assert values(jetson)["ecc_corrected_volatile"] == 0.0
    orin.world.ecc(2, 0)
    orin.run(0.2)
    assert jetson.control(ControlRequest("rail_power_cycle")).done
    orin.run(0.2)
    assert values(jetson)["ecc_corrected_volatile"] == 0.0


def test_a_broken_file_is_told_and_mended(orin: SteppedOrin, jetson: Board) -> None:
    path = "/sys/devices/virtual/thermal/thermal_zone1/temp"
    orin.world.file(path, "not today")
    orin.run(0.2)
    assert "temperature_c" not in values(jetson)
    orin.world.file(path, None)
    orin.run(0.2)
    assert "temperature_c" not in values(jetson)
    orin.world.mend(path)
    orin.run(0.2)
    assert "temperature_c" in values(jetson)


def test_a_block_that_is_switched_on_is_measured(orin: SteppedOrin, jetson: Board) -> None:
    assert "temperature_cv0_c" not in values(jetson)
    orin.world.zone("cv0", True)
    orin.run(0.2)
    assert "temperature_cv0_c" in values(jetson)


def test_only_those_of_the_given_processes_that_compute_are_ended(
    orin: SteppedOrin, jetson: Board
) -> None:
    idle, busy = (
        subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) for _ in range(2)
    )
    try:
        state = BoardState.attach(orin.folder / "board.state")
        row = state.claim(0, busy.pid)
        mark_idle(row, 1)
        orin.run(0.2)
        given = tuple((p.pid, process_start_time(p.pid) or 0) for p in (idle, busy))
        result = jetson.control(ControlRequest("kill_contexts", processes=given))
        assert (result.done, result.value) == (True, 1.0)
        assert busy.wait(10) == -9
        assert idle.poll() is None
        del row
        state.close()
    finally:
        for process in (idle, busy):
            process.kill()
            process.wait()
            assert process.stdin
            process.stdin.close()


def test_the_same_seed_gives_the_same_files(tmp_path: Path) -> None:
    told = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        stepped = SteppedOrin(tmp_path / name, seed=7)
        stepped.run(1.0)
        told.append(
            {
                str(path.relative_to(stepped.root)): path.read_bytes()
                for path in stepped.root.rglob("*")
                if path.is_file() and not path.is_symlink()
            }
        )
        stepped.close()
    assert told[0] == told[1]


@pytest.mark.verifies("VA-BRD-17")
def test_a_companion_that_stands_still_gives_no_values(orin: SteppedOrin, jetson: Board) -> None:
    beat = Path(os.environ[heartbeat.ENVIRONMENT])
    assert values(jetson)  # one that never beats is not asked to
    orin.emulated.beat(time.monotonic_ns() - 11 * 10**9)
    found = jetson.read()
    assert {reading.validity for reading in found} == {Validity.ERROR}
    assert "companion of this board has not moved for 11 s" in found[0].reason
    orin.emulated.beat(time.monotonic_ns())
    assert values(jetson)
    beat.write_bytes(b"torn")
    assert values(jetson)
