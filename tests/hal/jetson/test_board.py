"""The Jetson driver on the kernel files of every kind of module."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from hal.device import ControlRequest
from hal.errors import DriverMissing
from hal.jetson.board import READS_BETWEEN_LOOKS, JetsonBoard
from hal.nvml import reset_ladder as recovery
from hal.reading import Reading, Validity
from sim_hw.nvml_library import build
from tests.sim_hw.support.emulated import SteppedBoard
from tests.sim_hw.support.jetson_trees import ALL, NANO, ORIN_NX, THOR, TX2, XAVIER_JETPACK_4, plant

pytestmark = pytest.mark.portable

SECOND = 1_000_000_000


def no_tool(arguments: Sequence[str]) -> str:
    raise DriverMissing(f"{arguments[0]} is not installed; it comes with JetPack", arguments[0])


def opened(
    folder: Path, files: Mapping[str, str], allow: frozenset[str] = frozenset()
) -> JetsonBoard:
    """The board of a tree; its clock goes on a second at each look."""
    seconds = itertools.count(1)
    return JetsonBoard(
        "jetson", plant(folder, files), allow, clock=lambda: next(seconds) * SECOND, run=no_tool
    )


def readings(folder: Path, files: Mapping[str, str]) -> dict[str, Reading]:
    return {reading.name.removeprefix("gpu0."): reading for reading in opened(folder, files).read()}


@pytest.mark.parametrize(
    ("files", "power_w"),
    [
        (ORIN_NX, 6.048),
        (XAVIER_JETPACK_4, 19.0 * 0.62 + 2.5),
        (NANO, 2.54),
        (TX2, 4.75),
        (THOR, 43.7),
    ],
    ids=ALL,
)
def test_the_power_of_a_module_is_its_input_rail_or_the_sum_of_the_others(
    tmp_path: Path, files: Mapping[str, str], power_w: float
) -> None:
    found = readings(tmp_path, files)["power_w"]
    assert found.value == pytest.approx(power_w, rel=1e-3)


@pytest.mark.parametrize(
    ("files", "name", "release", "power_w"),
    [
        (ORIN_NX, "Jetson Orin NX 16GB", "35.4.1", 25.0),
        (XAVIER_JETPACK_4, "Jetson AGX Xavier 32GB", "32.7.1", 30.0),
        (NANO, "Jetson Nano", "32.6.1", 10.0),
        (TX2, "Jetson TX2", "32.5.2", 15.0),
        (THOR, "Jetson AGX Thor", "38.2.0", 130.0),
    ],
    ids=ALL,
)
def test_a_module_says_who_it_is_and_what_it_runs(
    tmp_path: Path, files: Mapping[str, str], name: str, release: str, power_w: float
) -> None:
    identity = opened(tmp_path, files).identity()
    assert identity.devices[0].name == name
    assert identity.devices[0].serial == "1420123456789"
    assert identity.devices[0].memory_bytes == 8_000_000 * 1024
    assert identity.devices[0].max_power_w == power_w
    assert identity.driver_version == release
    assert identity.library_version.startswith("JetPack ")


@pytest.mark.parametrize(
    ("files", "load", "clock_mhz", "temperature_c"),
    [
        (ORIN_NX, 43.7, 612.0, 47.25),
        (XAVIER_JETPACK_4, 99.5, 1377.0, 40.5),
        (NANO, 12.0, 76.8, 31.0),
        (TX2, 0.0, 114.75, 35.0),
        (THOR, None, 1575.0, 44.0),
    ],
    ids=ALL,
)
def test_load_clock_and_temperature_of_the_gpu_have_the_names_of_every_board(
    tmp_path: Path,
    files: Mapping[str, str],
    load: float | None,
    clock_mhz: float,
    temperature_c: float,
) -> None:
    found = readings(tmp_path, files)
    assert found["utilization_percent"].value == load
    assert found["clock_sm_mhz"].value == pytest.approx(clock_mhz)
    assert found["temperature_c"].value == temperature_c
    assert found["memory_used_bytes"].value == 2_000_000 * 1024


def test_a_zone_that_is_switched_off_is_unsupported_and_never_256_below_zero(
    tmp_path: Path,
) -> None:
    off = readings(tmp_path, ORIN_NX)["temperature_cv0_c"]
    assert off.value is None
    assert off.validity is Validity.UNSUPPORTED
    assert "switched off" in off.reason


def test_the_constant_that_some_modules_show_for_their_pmic_is_no_reading(tmp_path: Path) -> None:
    assert not [name for name in readings(tmp_path, TX2) if "pmic" in name]


def test_the_fan_is_read_where_there_is_one(tmp_path: Path) -> None:
    found = readings(tmp_path / "nx", ORIN_NX)
    assert found["fan_percent"].value == pytest.approx(40.0)
    assert found["fan_rpm"].value == 2400.0
    old = readings(tmp_path / "xavier", XAVIER_JETPACK_4)
    assert old["fan_percent"].value == pytest.approx(20.0)
    assert "fan_percent" not in readings(tmp_path / "nano", NANO)


def test_the_memory_bus_is_read_on_old_kernels_and_on_thor(tmp_path: Path) -> None:
    old = readings(tmp_path / "xavier", XAVIER_JETPACK_4)
    assert old["clock_memory_mhz"].value == 2133.0
    assert old["memory_utilization_percent"].value == 25.0
    assert readings(tmp_path / "thor", THOR)["clock_memory_mhz"].value == 4266.0


def test_what_only_root_sees_says_so(tmp_path: Path) -> None:
    found = readings(tmp_path, ORIN_NX)
    for name in ("clock_memory_mhz", "processes"):
        assert found[name].validity is Validity.ERROR
        assert "root" in found[name].reason


def test_energy_is_the_integral_of_power_since_the_driver_was_opened(tmp_path: Path) -> None:
    board = opened(tmp_path, ORIN_NX)
    energies = []
    for _ in range(3):
        found = {reading.name: reading for reading in board.read()}
        energies.append(found["gpu0.energy_j"].value)
    assert energies[0] == 0.0
    assert energies[1] is not None
    assert energies[2] == pytest.approx(2 * energies[1])
    assert energies[1] > 6.0


def test_energy_is_not_made_up_across_a_gap_or_a_clock_that_runs_backwards(tmp_path: Path) -> None:
    times = iter([1, 1, 2, 2, 100, 100, 50, 50])
    board = JetsonBoard(
        "jetson",
        plant(tmp_path, {**ORIN_NX, "etc/nvpmodel.conf": "", "var/lib/nvpmodel/status": "x"}),
        frozenset(),
        clock=lambda: now,
        run=no_tool,
    )
    found = []
    for seconds in times:
        now = seconds * SECOND
        found.append({r.name: r for r in board.read()}["gpu0.energy_j"].value)
    assert found[2] == pytest.approx(6.048)
    assert found[2:] == [found[2]] * 6


def test_a_computer_that_is_no_jetson_is_told_which_board_to_take(tmp_path: Path) -> None:
    with pytest.raises(DriverMissing, match="open the board nvml"):
        JetsonBoard("jetson", tmp_path, frozenset())


def test_a_real_board_is_read_only_until_a_control_is_allowed_by_name(tmp_path: Path) -> None:
    board = opened(tmp_path, ORIN_NX, frozenset({"reset_clock"}))
    refused = board.control(ControlRequest("locked_clock_mhz", 612.0))
    assert not refused.done
    assert "allow locked_clock_mhz by name" in refused.text
    assert board.control(ControlRequest("reset_clock")).done


def test_a_locked_clock_bounds_the_governor_and_is_read_back(tmp_path: Path) -> None:
    files = {
        **ORIN_NX,
        "sys/class/devfreq/17000000.ga10b/available_frequencies": "306000000 612000000 918000000\n",
    }
    board = opened(tmp_path, files, frozenset({"locked_clock_mhz", "reset_clock"}))
    result = board.control(ControlRequest("locked_clock_mhz", 612.0))
    assert (result.done, result.value) == (True, 612.0)
    folder = tmp_path / "sys/class/devfreq/17000000.ga10b"
    assert (folder / "min_freq").read_text() == (folder / "max_freq").read_text() == "612000000\n"
    refused = board.control(ControlRequest("locked_clock_mhz", 700.0))
    assert not refused.done
    assert "give 306, 612, 918" in refused.text
    assert not board.control(ControlRequest("locked_clock_mhz", float("nan"))).done
    assert board.control(ControlRequest("reset_clock")).value == 918.0
    assert (folder / "min_freq").read_text() == "306000000\n"


def test_without_the_vendors_tool_the_power_mode_says_that_it_is_missing(tmp_path: Path) -> None:
    found = readings(tmp_path, ORIN_NX)
    assert found["power_mode"].validity is Validity.ERROR
    assert "nvpmodel is not installed" in found["power_mode"].reason


CONFIGURATION = (
    "< POWER_MODEL ID=0 NAME=MAXN >\n< POWER_MODEL ID=1 NAME=10W >\n< POWER_MODEL ID=2 NAME=15W >\n"
)


class Tool:
    """An nvpmodel that answers, and may not do what it is told."""

    def __init__(self, *, obeys: bool = True, says: str = "") -> None:
        self.mode = 0
        self.calls = 0
        self.obeys = obeys
        self.says = says

    def __call__(self, arguments: Sequence[str]) -> str:
        self.calls += 1
        if arguments[0] == "nvbootctrl":
            return "Error: redundancy is not enabled"
        if arguments[1] == "-q":
            return f"NV Power Mode: MODE\n{self.mode}"
        if self.obeys:
            self.mode = int(arguments[2])
        return self.says


def with_tool(folder: Path, tool: Tool) -> JetsonBoard:
    files = {**ORIN_NX, "etc/nvpmodel.conf": CONFIGURATION}
    allowed = frozenset({"power_mode", "power_limit_w"})
    return JetsonBoard("jetson", plant(folder, files), allowed, clock=lambda: 1, run=tool)


def test_a_power_mode_is_chosen_by_number_or_by_its_budget(tmp_path: Path) -> None:
    board = with_tool(tmp_path, Tool())
    assert board.control(ControlRequest("power_mode", 1)).value == 1.0
    assert board.control(ControlRequest("power_limit_w", 15.0)).value == 15.0
    found = {reading.name: reading.value for reading in board.read()}
    assert found["gpu0.power_mode"] == 2.0
    assert found["gpu0.power_limit_w"] == 15.0


def test_a_power_mode_that_is_not_there_is_answered_with_those_that_are(tmp_path: Path) -> None:
    board = with_tool(tmp_path, Tool())
    for request in (ControlRequest("power_mode", 7), ControlRequest("power_mode", float("nan"))):
        refused = board.control(request)
        assert not refused.done
        assert "0 (MAXN), 1 (10W), 2 (15W)" in refused.text
    assert "give 10, 15, 25 W" in board.control(ControlRequest("power_limit_w", 12)).text


@pytest.mark.parametrize(
    ("says", "told"),
    [
        ("NVPM ERROR: optMask is 1, no request for power mode", "NVPM ERROR"),
        ("DO YOU WANT TO REBOOT NOW? enter YES/yes to confirm:", "it needs a reboot"),
        ("", "left power mode 0 on"),
    ],
)
@pytest.mark.verifies("VA-BRD-10")
def test_a_power_mode_that_was_not_turned_on_is_never_reported_as_done(
    tmp_path: Path, says: str, told: str
) -> None:
    result = with_tool(tmp_path, Tool(obeys=False, says=says)).control(
        ControlRequest("power_mode", 1)
    )
    assert not result.done
    assert told in result.text


def test_the_slow_tool_is_not_asked_at_every_reading(tmp_path: Path) -> None:
    tool = Tool()
    board = with_tool(tmp_path, tool)
    for _ in range(10):
        board.read()
    assert tool.calls == 2  # nvpmodel and nvbootctrl, once each


def test_a_tool_that_answers_nonsense_is_an_error_in_the_reading(tmp_path: Path) -> None:
    def nonsense(_: Sequence[str]) -> str:
        return "segmentation fault"

    files = {**ORIN_NX, "etc/nvpmodel.conf": CONFIGURATION}
    board = JetsonBoard("jetson", plant(tmp_path, files), frozenset(), run=nonsense)
    found = {reading.name: reading for reading in board.read()}
    assert found["gpu0.power_mode"].validity is Validity.ERROR
    assert "segmentation fault" in found["gpu0.power_mode"].reason


def test_the_rungs_a_jetson_does_not_have_point_to_the_one_it_has(tmp_path: Path) -> None:
    allowed = frozenset({"gpu_reset", "driver_reload", "rail_power_cycle"})
    board = opened(tmp_path, ORIN_NX, allowed)
    for action in ("gpu_reset", "driver_reload"):
        assert "take rail_power_cycle" in board.control(ControlRequest(action)).text
    assert "allow other_slot by name" in board.control(ControlRequest("other_slot")).text
    refused = board.control(ControlRequest("rail_power_cycle"))
    assert "VANALLEN_HOST_BUS_FOLDER" in refused.text


def test_a_gpu_that_nothing_shows_is_unsupported_not_zero(tmp_path: Path) -> None:
    files = {path: text for path, text in ORIN_NX.items() if "devfreq" not in path}
    found = readings(tmp_path, files)
    assert found["clock_sm_mhz"].validity is Validity.UNSUPPORTED
    assert found["utilization_percent"].validity is Validity.UNSUPPORTED
    board = opened(tmp_path / "other", files, frozenset({"locked_clock_mhz"}))
    assert not board.control(ControlRequest("locked_clock_mhz", 600.0)).done


def test_a_module_without_a_power_monitor_says_so(tmp_path: Path) -> None:
    files = {path: text for path, text in NANO.items() if "i2c" not in path}
    found = readings(tmp_path, files)["power_w"]
    assert found.validity is Validity.UNSUPPORTED
    assert "INA3221" in found.reason


def test_a_module_that_is_not_in_the_table_is_named_by_its_model(tmp_path: Path) -> None:
    files = {
        **ORIN_NX,
        "proc/device-tree/model": "Some Tegra board\0",
        "proc/device-tree/compatible": "acme,p9999-0001\0nvidia,tegra999\0",
    }
    device = opened(tmp_path, files).identity().devices[0]
    assert (device.name, device.max_power_w) == ("Some Tegra board", None)
    assert device.uuid == "p9999-0001-1420123456789"


def test_a_value_that_cannot_be_is_out_of_range_and_kept_for_the_record(tmp_path: Path) -> None:
    files = {**ORIN_NX, "sys/devices/virtual/thermal/thermal_zone1/temp": "999000\n"}
    found = readings(tmp_path, files)["temperature_c"]
    assert found.validity is Validity.OUT_OF_RANGE
    assert found.value == 999.0


def test_processes_are_ended_even_where_nobody_tells_who_computes(tmp_path: Path) -> None:
    board = opened(tmp_path, ORIN_NX, frozenset({"kill_contexts"}))
    gone = ((2**22 + 1, 1),)  # above the largest pid there can be
    result = board.control(ControlRequest("kill_contexts", processes=gone))
    assert (result.done, result.value) == (True, 1.0)


def test_a_process_that_does_not_die_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    board = opened(tmp_path, ORIN_NX, frozenset({"kill_contexts"}))
    monkeypatch.setattr(recovery, "kill", lambda *_: recovery.Killed((), (4711,)))
    result = board.control(ControlRequest("kill_contexts", processes=((4711, 1),)))
    assert not result.done
    assert "process 4711 does not die" in result.text


def test_a_slot_that_cannot_boot_is_not_tried(tmp_path: Path) -> None:
    def slots(_: Sequence[str]) -> str:
        return (
            "Current bootloader slot: A\nActive bootloader slot: A\n"
            "slot: 0, status: normal\nslot: 1, status: unbootable\n"
        )

    allowed = frozenset({"other_slot"})
    board = JetsonBoard("jetson", plant(tmp_path, ORIN_NX), allowed, run=slots)
    result = board.control(ControlRequest("other_slot"))
    assert not result.done
    assert "write it anew first" in result.text


def test_a_slot_is_active_again_when_the_power_was_not_switched(tmp_path: Path) -> None:
    calls: list[str] = []

    def slots(arguments: Sequence[str]) -> str:
        calls.append(" ".join(arguments[1:]))
        active = "B" if "set-active-boot-slot 1" in calls[-2:] else "A"
        return (
            f"Current bootloader slot: A\nActive bootloader slot: {active}\n"
            "slot: 0, status: normal\nslot: 1, status: normal\n"
        )

    allowed = frozenset({"other_slot"})
    board = JetsonBoard("jetson", plant(tmp_path, ORIN_NX), allowed, run=slots)
    result = board.control(ControlRequest("other_slot"))
    assert "VANALLEN_HOST_BUS_FOLDER" in result.text
    assert [call for call in calls if "set" in call] == [
        "set-active-boot-slot 1",
        "set-active-boot-slot 0",
    ]


def test_an_unknown_control_and_an_unknown_device_are_refused(tmp_path: Path) -> None:
    board = opened(tmp_path, ORIN_NX, frozenset({"reset_clock"}))
    assert "known: power_mode" in board.control(ControlRequest("warp_drive")).text
    assert "no device 3" in board.control(ControlRequest("reset_clock", device=3)).text


def test_a_closed_board_reads_waits_and_does_nothing(tmp_path: Path) -> None:
    board = opened(tmp_path, ORIN_NX, frozenset({"reset_clock"}))
    board.close()
    assert not [reading for reading in board.read() if reading.is_valid]
    assert board.faults(5.0) == []
    assert board.processes() == []
    assert "closed" in board.control(ControlRequest("reset_clock")).text


def test_channels_without_a_rail_are_left_out_whatever_the_release(tmp_path: Path) -> None:
    files = {
        **TX2,
        "sys/bus/i2c/devices/0-0040/iio:device0/rail_name_2": "NC\n",
        "sys/bus/i2c/devices/0-0041/iio:device1/rail_name_2": "\n",
    }
    rails = [name for name in readings(tmp_path, files) if name.startswith("rail_")]
    assert len(rails) == 3 * 4


THOR_LOAD = """
import os, sys
from hal.boards import open_board
board = open_board("jetson", os.environ)
load = {one.name: one for one in board.read()}["gpu0.utilization_percent"]
print(load.value, load.reason)
"""


def thors_load(root: Path, **environment: str) -> str:
    """What a board says of its load, in a process of its own: a library is loaded once."""
    done = subprocess.run(
        [sys.executable, "-c", THOR_LOAD],
        env=os.environ | {"VANALLEN_JETSON_ROOT": str(root), **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_the_load_of_thors_gpu_is_nvmls(tmp_path: Path) -> None:
    plant(tmp_path / "thor", THOR)
    board = SteppedBoard(tmp_path)
    board.world.gpu(0).utilization_percent = 37
    nvml = {
        "VANALLEN_NVML_LIBRARY": str(build.library()),
        "VANALLEN_NVML_STATE": str(tmp_path / "nvml.state"),
    }
    assert thors_load(tmp_path / "thor", **nvml) == "37.0"
    board.world.lose(0)
    assert "GPU" in thors_load(tmp_path / "thor", **nvml)
    board.close()
    assert thors_load(tmp_path / "thor").startswith("None the kernel tells no load")


def test_nvml_is_asked_only_where_the_kernel_tells_no_load(tmp_path: Path) -> None:
    plant(tmp_path, ORIN_NX)
    assert thors_load(tmp_path, VANALLEN_NVML_LIBRARY="/nowhere/libnvidia-ml.so.1") == "43.7"
    plant(tmp_path / "thor", THOR)
    told = thors_load(tmp_path / "thor", VANALLEN_NVML_LIBRARY="/nowhere/libnvidia-ml.so.1")
    assert "does not load" in told


def read_on(board: JetsonBoard, times: int = READS_BETWEEN_LOOKS) -> dict[str, Reading]:
    """The readings after so many."""
    found = [board.read() for _ in range(times)][-1]
    return {reading.name.removeprefix("gpu0."): reading for reading in found}


def without(files: Mapping[str, str], part: str) -> dict[str, str]:
    return {path: text for path, text in files.items() if part not in path}


@pytest.mark.parametrize(
    ("part", "quantity", "news"),
    [("sys/bus/i2c", "power_w", "rail VDD_IN"), ("devfreq/", "clock_sm_mhz", "GPU ")],
    ids=["power monitor", "GPU driver"],
)
def test_a_driver_that_is_loaded_late_is_found_and_told_once(
    tmp_path: Path, part: str, quantity: str, news: str
) -> None:
    board = opened(tmp_path, without(ORIN_NX, part))
    assert not read_on(board)[quantity].is_valid
    plant(tmp_path, ORIN_NX)
    assert not read_on(board, READS_BETWEEN_LOOKS - 1)[quantity].is_valid
    read_on(board, 1)
    assert read_on(board, 1)[quantity].is_valid
    told = [fault.text for fault in board.faults(0.0)]
    assert len(told) == 1
    assert told[0].startswith("now there: ")
    assert news in told[0]
    read_on(board, 5 * READS_BETWEEN_LOOKS)
    assert board.faults(0.0) == []


def test_a_monitor_that_gets_another_number_is_read_where_it_is_and_its_energy_goes_on(
    tmp_path: Path,
) -> None:
    board = opened(tmp_path, ORIN_NX)
    before = read_on(board)["energy_j"].value
    (folder,) = {
        path
        for path in tmp_path.rglob("hwmon*")
        if "i2c" in str(path) and path.is_dir() and path.name != "hwmon"
    }
    folder.rename(folder.with_name("hwmon9"))
    gone = read_on(board, 1)
    assert gone["power_w"].validity is Validity.ERROR
    after = read_on(board, 2 * READS_BETWEEN_LOOKS)
    assert after["power_w"].is_valid
    assert before is not None
    assert after["energy_j"].value is not None
    assert after["energy_j"].value > before
    assert [fault.text for fault in board.faults(0.0)] == ["kernel files have moved"]


def test_a_jetson_whose_device_tree_is_hidden_says_what_hides_it(tmp_path: Path) -> None:
    plant(tmp_path, {"etc/nv_tegra_release": "# R36 (release)\n", "dev/nvmap": ""})
    with pytest.raises(DriverMissing, match=r"systempaths=unconfined.*nv_tegra_release"):
        JetsonBoard("jetson", tmp_path, frozenset())
