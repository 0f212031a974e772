"""The NVML driver on the emulated library: load, caps, faults, loss, errors of every call."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pynvml
import pytest

from hal import boards
from hal.compute.host import HostDevice
from hal.device import Board, ControlRequest, FaultKind
from hal.nvml.sensors import SENSORS
from hal.reading import Reading, Validity
from icd.board_state import ENVIRONMENT, mark_running
from sim_hw.nvml_library import build, layout
from tests.sim_hw.support.emulated import SteppedBoard

pytestmark = pytest.mark.portable


def value(board: Board, name: str) -> float:
    found = [reading.value for reading in board.read() if reading.name == f"gpu0.{name}"]
    assert len(found) == 1
    assert found[0] is not None
    return found[0]


@pytest.fixture
def load(stepped: SteppedBoard) -> HostDevice:
    """A compute context of this process that is busy from now on."""
    device = HostDevice(stepped.folder / "board.state", clock=stepped.clock, sleep=stepped.sleep)
    assert device._board is not None
    mark_running(device._board.row, stepped.now_ns)
    return device


@pytest.mark.verifies("VA-SIM-02")
def test_real_load_raises_power_clock_and_utilisation(
    stepped: SteppedBoard, emulated_board: Board, load: HostDevice
) -> None:
    assert value(emulated_board, "power_w") == pytest.approx(50.0, abs=2.0)
    assert value(emulated_board, "throttle_reasons") == pynvml.nvmlClocksEventReasonGpuIdle
    stepped.run(2.0)
    assert value(emulated_board, "power_w") == pytest.approx(350.0, abs=5.0)
    assert value(emulated_board, "clock_sm_mhz") == 1755.0
    assert value(emulated_board, "utilization_percent") > 95.0
    load.close()
    stepped.run(2.0)
    assert value(emulated_board, "power_w") == pytest.approx(50.0, abs=2.0)


def test_the_process_that_computes_is_listed_with_its_memory(
    stepped: SteppedBoard, emulated_board: Board, load: HostDevice
) -> None:
    load.allocate((1024, 1024), "float32")
    held = load.allocate(4 << 20, "uint8")
    stepped.run(0.1)
    (use,) = emulated_board.processes()
    assert (use.pid, use.device, use.memory_bytes) == (os.getpid(), 0, held.nbytes)
    assert value(emulated_board, "processes") == 1.0


def test_a_power_limit_is_obeyed_and_shows_as_software_power_cap(
    stepped: SteppedBoard, emulated_board: Board, load: HostDevice
) -> None:
    assert emulated_board.control(ControlRequest("power_limit_w", 250.0)).done
    stepped.run(3.0)
    assert value(emulated_board, "power_w") <= 251.0
    assert value(emulated_board, "power_w") > 235.0
    assert value(emulated_board, "throttle_reasons") == pynvml.nvmlClocksEventReasonSwPowerCap
    assert load._board is not None
    assert load._board.scale() == pytest.approx(value(emulated_board, "clock_sm_mhz") / 1755.0)


def test_a_locked_clock_is_held_until_it_is_reset(
    stepped: SteppedBoard, emulated_board: Board, load: HostDevice
) -> None:
    assert emulated_board.control(ControlRequest("locked_clock_mhz", 900.0)).done
    stepped.run(1.0)
    assert value(emulated_board, "clock_sm_mhz") == 900.0
    assert emulated_board.control(ControlRequest("reset_clock")).done
    stepped.run(1.0)
    assert value(emulated_board, "clock_sm_mhz") == 1755.0
    load.close()


@pytest.mark.verifies("VA-SIM-03")
def test_an_xid_reaches_a_subscriber_as_a_fault_with_its_meaning(
    stepped: SteppedBoard, emulated_board: Board
) -> None:
    stepped.world.xid(0, 31)
    (fault,) = emulated_board.faults(5.0)
    assert (fault.kind, fault.code, fault.device) == (FaultKind.XID, 31, 0)
    assert fault.text == "XID 31: GPU memory page fault"
    assert fault.time_ns == stepped.now_ns


def test_a_waiting_subscriber_is_woken_by_the_event(
    stepped: SteppedBoard, emulated_board: Board
) -> None:
    seen: list[float] = []

    def wait() -> None:
        while not emulated_board.faults(10.0):
            pass
        seen.append(time.monotonic())

    waiter = threading.Thread(target=wait)
    waiter.start()
    stepped.world.xid(0, 13)
    sent = time.monotonic()
    waiter.join(10.0)
    assert seen
    assert seen[0] - sent < 1.0


@pytest.mark.verifies("VA-SIM-03")
@pytest.mark.verifies("VA-BRD-06")
def test_a_storm_of_xids_is_bounded_counted_and_hides_no_other_one(
    stepped: SteppedBoard, emulated_board: Board
) -> None:
    stepped.world.storm(0, 13, 3000)
    stepped.world.xid(0, 31)
    faults = emulated_board.faults(0.0)
    assert [fault.code for fault in faults[:256]] == [13] * 256
    assert [(fault.kind, fault.code) for fault in faults[256:]] == [
        (FaultKind.XID, 31),
        (FaultKind.OVERFLOW, 3000 - 256),
    ]
    assert faults[-1].text == "2744 more: 2744 x XID 13: graphics engine exception"
    assert emulated_board.faults(0.0) == []


def test_a_storm_larger_than_the_drivers_queue_loses_the_oldest_and_counts_them(
    stepped: SteppedBoard, emulated_board: Board
) -> None:
    stepped.world.xid(0, 31)
    stepped.world.storm(0, 13, layout.EVENTS + 9)
    faults = emulated_board.faults(0.0)
    assert {fault.code for fault in faults[:-1]} == {13}
    assert faults[-1].code == layout.EVENTS - 1 - 256  # one slot is the one to be written next
    assert stepped.world.nvml.state.events_lost == 11


def test_no_fault_comes_when_nothing_happens(emulated_board: Board) -> None:
    assert emulated_board.faults(0.001) == []


@pytest.mark.verifies("VA-SIM-03")
def test_ecc_errors_are_counted_reported_and_cleared(
    stepped: SteppedBoard, emulated_board: Board
) -> None:
    stepped.world.ecc(0, corrected=5, uncorrected=1)
    faults = [(fault.kind, fault.code) for fault in emulated_board.faults(1.0)]
    assert faults == [
        (FaultKind.ECC_CORRECTED, 0x1),
        (FaultKind.ECC_UNCORRECTED, 0x2),
        (FaultKind.XID, 48),
        (FaultKind.XID, 63),
        (FaultKind.OTHER, 0x400),
    ]
    assert value(emulated_board, "ecc_corrected_volatile") == 5.0
    assert value(emulated_board, "ecc_uncorrected_aggregate") == 1.0
    assert value(emulated_board, "remap_pending") == 1.0
    assert emulated_board.control(ControlRequest("clear_ecc")).value == 0.0
    assert value(emulated_board, "ecc_corrected_volatile") == 0.0
    assert value(emulated_board, "ecc_corrected_aggregate") == 5.0


@pytest.mark.verifies("VA-SIM-03")
def test_a_lost_gpu_makes_every_reading_lost_and_is_reported_once(
    stepped: SteppedBoard, emulated_board: Board
) -> None:
    names = [reading.name for reading in emulated_board.read()]
    stepped.world.lose(0)
    readings = emulated_board.read()
    assert [reading.name for reading in readings] == names
    assert {reading.validity for reading in readings} == {Validity.LOST}
    assert all(reading.value is None and "lost" in reading.reason for reading in readings)
    faults = emulated_board.faults(1.0)
    assert [(fault.kind, fault.code) for fault in faults] == [
        (FaultKind.XID, 79),
        (FaultKind.OTHER, 0x4000),
        (FaultKind.OTHER, 0x8000),
        (FaultKind.XID, 154),
        (FaultKind.LOST, 0),
    ]
    assert emulated_board.faults(0.0) == []
    assert not emulated_board.control(ControlRequest("power_limit_w", 300.0)).done


def test_a_gpu_that_comes_back_is_read_and_watched_again(
    stepped: SteppedBoard, emulated_board: Board
) -> None:
    stepped.world.lose(0)
    emulated_board.faults(0.0)
    assert emulated_board.faults(0.0) == []
    stepped.world.restore(0)
    stepped.tick()
    assert emulated_board.faults(0.0) == []
    assert all(reading.is_valid for reading in emulated_board.read())
    stepped.world.xid(0, 13)
    assert [fault.code for fault in emulated_board.faults(1.0)] == [13]


def test_a_board_opened_while_its_gpu_is_lost_knows_it_later(stepped: SteppedBoard) -> None:
    stepped.world.lose(0)
    board = boards.open_board("emulated-h100")
    assert board.devices()[0].name == ""
    assert {reading.validity for reading in board.read()} == {Validity.LOST}
    stepped.world.restore(0)
    assert board.devices()[0].name == "NVIDIA H100 PCIe"
    assert all(reading.is_valid for reading in board.read())
    board.close()


def test_a_driver_that_was_unloaded_is_used_again_when_it_is_back(
    stepped: SteppedBoard, emulated_board: Board
) -> None:
    stepped.close()
    for _ in range(2):
        readings = emulated_board.read()
        assert {reading.validity for reading in readings} == {Validity.ERROR}
        assert "Driver Not Loaded" in readings[0].reason
        assert emulated_board.faults(0.0) == []
    again = SteppedBoard(stepped.folder)
    assert emulated_board.faults(0.0) == []
    assert all(reading.is_valid for reading in emulated_board.read())
    again.world.xid(0, 13)
    assert [fault.code for fault in emulated_board.faults(1.0)] == [13]
    again.close()


def test_heat_beyond_shutdown_takes_the_gpu_off_the_bus(
    stepped: SteppedBoard, emulated_board: Board
) -> None:
    stepped.world.temperature(0, 100.0)
    stepped.run(1.0)
    codes = [fault.code for fault in emulated_board.faults(1.0)]
    assert (codes[0], codes[-1]) == (79, 0)


def test_a_reading_outside_its_range_is_told_with_its_value(
    stepped: SteppedBoard, emulated_board: Board
) -> None:
    stepped.world.gpu(0).temperature_c = 4000
    (reading,) = [r for r in emulated_board.read() if r.name == "gpu0.temperature_c"]
    assert (reading.value, reading.validity) == (4000.0, Validity.OUT_OF_RANGE)


def test_a_failing_call_makes_only_its_own_readings_invalid_and_names_itself(
    stepped: SteppedBoard, emulated_board: Board
) -> None:
    stepped.world.fail("nvmlDeviceGetPowerUsage", 999)
    invalid = [reading for reading in emulated_board.read() if not reading.is_valid]
    assert [reading.name for reading in invalid] == ["gpu0.power_w"]
    assert invalid[0].validity is Validity.ERROR
    assert invalid[0].reason == "nvmlDeviceGetPowerUsage: Unknown Error (NVML 999)"


def test_a_call_the_board_lacks_is_unsupported_not_an_error(
    stepped: SteppedBoard, emulated_board: Board
) -> None:
    stepped.world.fail("nvmlDeviceGetRemappedRows", 3)
    found = {r.name: r.validity for r in emulated_board.read() if not r.is_valid}
    assert found == dict.fromkeys(
        [
            f"gpu0.{q.name}"
            for s in SENSORS
            for q in s.quantities
            if "remap" in q.name and "inactive" not in q.name
        ],
        Validity.UNSUPPORTED,
    )


def test_a_driver_that_hangs_blocks_its_caller_until_it_goes_on(
    stepped: SteppedBoard, emulated_board: Board
) -> None:
    stepped.world.hang(True)
    answers: list[list[Reading]] = []
    reader = threading.Thread(target=lambda: answers.append(emulated_board.read()), daemon=True)
    reader.start()
    reader.join(0.2)
    assert reader.is_alive()
    stepped.world.hang(False)
    reader.join(10.0)
    assert all(reading.is_valid for reading in answers[0])


@pytest.mark.verifies("VA-BRD-17")
def test_a_companion_that_stands_still_gives_no_values(
    stepped: SteppedBoard, emulated_board: Board
) -> None:
    now_ns = time.monotonic_ns()
    stepped.world.nvml.state.beat_ns = now_ns - (layout.SILENCE_S - 1) * 10**9
    assert all(reading.is_valid for reading in emulated_board.read())
    stepped.world.nvml.state.beat_ns = now_ns - (layout.SILENCE_S + 1) * 10**9
    found = emulated_board.read()
    assert {reading.validity for reading in found} == {Validity.ERROR}
    assert "Timeout" in found[0].reason
    assert emulated_board.faults(0.0) == []
    stepped.world.nvml.state.beat_ns = time.monotonic_ns()
    assert all(reading.is_valid for reading in emulated_board.read())


@pytest.mark.verifies("VA-BRD-04")
def test_a_board_is_read_only_unless_a_control_is_allowed_by_name(stepped: SteppedBoard) -> None:
    board = boards.open_board("emulated-h100", allow_control=frozenset({"reset_clock"}))
    refused = board.control(ControlRequest("power_limit_w", 250.0))
    assert (refused.done, refused.value) == (False, None)
    assert "allow power_limit_w by name" in refused.text
    assert board.control(ControlRequest("reset_clock")).done
    assert stepped.world.gpu(0).power_limit_mw == 350_000
    board.close()


def test_the_board_state_variable_is_the_one_that_compute_reads(stepped: SteppedBoard) -> None:
    assert os.environ[ENVIRONMENT] == str(stepped.folder / "board.state")


@pytest.fixture
def pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[SteppedBoard, Board]]:
    """Two emulated GPUs and their board."""
    (tmp_path / "board" / "lib").mkdir(parents=True)
    (tmp_path / "board" / "lib" / build.NAME).symlink_to(build.library())
    for key, text in boards.row("emulated-h100").environment(tmp_path).items():
        monkeypatch.setenv(key, text)
    stepped = SteppedBoard(tmp_path / "board", gpus=2)
    board = boards.open_board("emulated-h100", clock=stepped.clock)
    yield stepped, board
    board.close()
    stepped.close()


@pytest.mark.verifies("VA-SIM-03")
def test_of_two_gpus_one_is_lost_and_comes_back_while_the_other_goes_on(
    pair: tuple[SteppedBoard, Board],
) -> None:
    stepped, board = pair
    stepped.world.lose(0)
    stepped.world.xid(1, 13)
    faults = board.faults(0.0)
    assert [(f.device, f.code) for f in faults if f.kind is FaultKind.XID] == [
        (0, 79),
        (0, 154),
        (1, 13),
    ]
    validities = {r.name[:4]: r.validity for r in board.read()}
    assert validities == {"gpu0": Validity.LOST, "gpu1": Validity.VALID}
    (lost,) = board.faults(0.0)
    assert (lost.device, lost.kind) == (0, FaultKind.LOST)
    assert board.faults(0.0) == []
    stepped.world.restore(0)
    assert all(reading.is_valid for reading in board.read())
    board.faults(0.0)
    for gpu in (0, 1):
        stepped.world.xid(gpu, 31)
    assert [(f.device, f.code) for f in board.faults(0.0)] == [(0, 31), (1, 31)]
    stepped.world.lose(0)
    board.read()
    assert FaultKind.LOST in [fault.kind for fault in board.faults(0.0)]


def test_eight_gpus_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "board" / "lib").mkdir(parents=True)
    (tmp_path / "board" / "lib" / build.NAME).symlink_to(build.library())
    for key, text in boards.row("emulated-h100").environment(tmp_path).items():
        monkeypatch.setenv(key, text)
    stepped = SteppedBoard(tmp_path / "board", gpus=8)
    board = boards.open_board("emulated-h100", clock=stepped.clock)
    devices = board.devices()
    assert [device.bus_id for device in devices] == [f"00000000:0{n}:00.0" for n in range(1, 9)]
    assert len({device.uuid for device in devices}) == 8
    stepped.world.temperature(5, 7.0)
    stepped.tick()
    hot = {r.name: r.value for r in board.read() if r.name.endswith(".temperature_c")}
    assert [name for name, celsius in hot.items() if celsius != hot["gpu0.temperature_c"]] == [
        "gpu5.temperature_c"
    ]
    board.close()
    stepped.close()
