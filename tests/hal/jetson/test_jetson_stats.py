"""jetson-stats reads the emulated Orin with its own parsers, and agrees with `hal` field for field.

It is a test's authority only: nothing of ours imports it.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import subprocess
import sys
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from hal.device import Board, ControlRequest
from hal.jetson import gpu as jetson_gpu
from hal.jetson import identity as jetson_identity
from hal.jetson.board import JetsonBoard
from hal.jetson.power import rails
from hal.linux.sysfs import Sysfs, slug
from tests.sim_hw.support.emulated_orin import SteppedOrin
from tests.sim_hw.support.jetson_trees import ALL, plant

pytestmark = [
    pytest.mark.portable,
    pytest.mark.native("jetson-stats is no wheel; and the files it reads are text"),
    pytest.mark.verifies("VA-SIM-05"),
    pytest.mark.filterwarnings("ignore:The 'warn' method is deprecated:DeprecationWarning"),
]


def part(name: str) -> types.ModuleType:
    """A module of jetson-stats; what it prints about an optional dependency is its own affair."""
    with contextlib.redirect_stdout(io.StringIO()):
        return importlib.import_module(f"jtop.core.{name}")


def values(board: Board) -> dict[str, float]:
    """Every valid reading by its name without the device."""
    return {
        reading.name.removeprefix("gpu0."): reading.value
        for reading in board.read()
        if reading.is_valid and reading.value is not None
    }


def rails_by_them(root: Path) -> dict[str, dict[str, Any]]:
    """Their rails, each with volt and curr in mV and mA and power in mW, as their service does."""
    power = part("power")
    found = {}
    for label, files in power.find_all_i2c_power_monitor(str(root / "sys/bus/i2c/devices")).items():
        told = power.read_power_status(files)
        if "power" not in told:
            told["power"] = int(told["volt"] * (float(told["curr"]) / 1000))
        found[label] = {**told, "avg": told["power"]}
    return found


@pytest.fixture
def loaded(orin: SteppedOrin, jetson: Board) -> Board:
    """The board in the middle of something: alarms, errors, a lower power mode, heat."""
    orin.world.over_current("VDD_CPU_CV", "warning")
    orin.world.ecc(2, 1)
    orin.world.temperature(40.0)
    assert jetson.control(ControlRequest("power_mode", 2)).done
    orin.run(2.0)
    return jetson


def test_every_rail_agrees_in_voltage_current_and_power(orin: SteppedOrin, loaded: Board) -> None:
    ours, theirs = values(loaded), rails_by_them(orin.root)
    assert {f"rail_{slug(label)}_w" for label in theirs} == {
        name for name in ours if name.startswith("rail_") and name.endswith("_w")
    }
    for label, told in theirs.items():
        name = f"rail_{slug(label)}"
        assert round(ours[f"{name}_v"] * 1000) == told["volt"]
        assert round(ours[f"{name}_a"] * 1000) == told["curr"]
        assert ours[f"{name}_w"] * 1000 == pytest.approx(told["power"], abs=1.0)


def test_the_limits_and_alarms_of_a_rail_are_found_by_both(
    orin: SteppedOrin,
    loaded: Board,  # noqa: ARG001  (raises the alarm)
) -> None:
    theirs = rails_by_them(orin.root)["VDD_CPU_CV"]
    assert (theirs["warn"], theirs["crit"]) == (4000, 5000)
    files = Sysfs(orin.root)
    ours = next(rail for rail in rails(files) if rail.label == "VDD_CPU_CV")
    assert {level: files.number(path) for path, level in ours.alarms} == {
        "warning": 1,
        "critical": 0,
    }


def test_the_total_differs_only_by_the_rail_that_is_fed_by_another(
    orin: SteppedOrin, loaded: Board
) -> None:
    total, _ = part("power").total_power(rails_by_them(orin.root))
    nested_w = values(loaded)["rail_vddq_vdd2_1v8ao_w"]
    assert values(loaded)["power_w"] + nested_w == pytest.approx(total["power"] / 1000, abs=0.004)


@pytest.mark.parametrize("name", ["orin_nx", "nano", "tx2", "thor"])
def test_the_total_of_a_module_with_an_input_rail_agrees(tmp_path: Path, name: str) -> None:
    board = JetsonBoard("jetson", plant(tmp_path, ALL[name]), frozenset())
    total, _ = part("power").total_power(rails_by_them(tmp_path))
    assert values(board)["power_w"] == pytest.approx(total["power"] / 1000, abs=0.001)


def test_the_total_of_an_agx_xavier_is_the_same_sum(tmp_path: Path) -> None:
    board = JetsonBoard("jetson", plant(tmp_path, ALL["xavier"]), frozenset())
    total, _ = part("power").total_power(rails_by_them(tmp_path))
    assert values(board)["power_w"] == pytest.approx(total["power"] / 1000, abs=0.001)


def test_every_temperature_agrees_and_the_same_zones_are_off(
    orin: SteppedOrin, loaded: Board
) -> None:
    temperature = part("temperature")
    zones = temperature.get_virtual_thermal_temperature(
        str(orin.root / "sys/devices/virtual/thermal")
    )
    assert len(zones) == 9
    ours = values(loaded)
    for name, files in zones.items():
        told = temperature.read_temperature(files)["temp"]
        quantity = "temperature_c" if name == "gpu" else f"temperature_{name}_c"
        if told == temperature.TEMPERATURE_OFFLINE:
            assert quantity not in ours
        else:
            assert ours[quantity] == pytest.approx(told)


def test_load_and_clocks_of_the_gpu_agree(orin: SteppedOrin, loaded: Board) -> None:
    gpu = part("gpu")
    found = gpu.find_igpu(str(orin.root / "sys/class/devfreq"))
    assert list(found) == ["gpu"]
    status, clocks = (
        gpu.igpu_read_status(found["gpu"]["path"]),
        gpu.igpu_read_freq(found["gpu"]["frq_path"]),
    )
    ours = values(loaded)
    assert ours["utilization_percent"] == status["load"]
    assert ours["clock_sm_mhz"] * 1000 == pytest.approx(clocks["cur"], abs=1)
    assert ours["clock_low_mhz"] * 1000 == clocks["min"]
    assert ours["clock_high_mhz"] * 1000 == clocks["max"] == 624_750


def test_the_memory_bus_agrees_and_is_zero_for_both_while_nothing_computes(
    orin: SteppedOrin, loaded: Board
) -> None:
    told = part("memory").read_emc(str(orin.root / "sys/kernel"))
    ours = values(loaded)
    assert ours["clock_memory_mhz"] * 1000 == told["cur"]
    assert int(ours["memory_utilization_percent"]) == told["val"]


def test_a_bus_that_is_busy_is_as_busy_for_both(tmp_path: Path) -> None:
    board = JetsonBoard("jetson", plant(tmp_path, ALL["xavier"]), frozenset())
    emc = part("memory").read_emc(str(tmp_path / "sys/kernel"))
    ours = values(board)
    assert ours["clock_memory_mhz"] * 1000 == emc["cur"]
    assert ours["memory_utilization_percent"] == emc["val"] == 25


def test_memory_agrees_line_by_line(
    orin: SteppedOrin, loaded: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = part("memory")
    there = orin.root / "proc/meminfo"
    monkeypatch.setattr(memory, "open", lambda _, mode: there.open(mode), raising=False)
    told = memory.meminfo()
    ours = values(loaded)
    assert ours["memory_total_bytes"] == told["MemTotal"] * 1024
    assert ours["memory_used_bytes"] == (told["MemTotal"] - told["MemAvailable"]) * 1024


def test_the_processes_with_gpu_memory_are_the_same(orin: SteppedOrin, loaded: Board) -> None:
    maps = orin.root / "sys/kernel/debug/nvmap/iovmm/maps"
    maps.write_text(
        "CLIENT                        PROCESS      PID        SIZE\n"
        "user  python 4711 2048K\nuser  python 4712 4096K\ntotal  6144K\n"
    )
    _, table = part("processes").read_process_table(str(maps))
    assert [(int(pid), size * 1024) for pid, _, _, size in table] == list(
        jetson_gpu.clients(Sysfs(orin.root))
    )
    assert values(loaded)["processes"] == len(table)


def test_the_fan_agrees_where_there_is_one(tmp_path: Path) -> None:
    fan = part("fan")
    root = plant(tmp_path, ALL["orin_nx"])
    found = fan.get_all_cooling_system(str(root / "sys/class/hwmon"))["pwmfan"]
    ours = values(JetsonBoard("jetson", root, frozenset()))
    pwm = int(Path(found["pwm"][0]).read_text())
    assert ours["fan_percent"] == pytest.approx(fan.PWMtoValue(pwm))
    assert ours["fan_rpm"] == float(Path(found["rpm"][0]).read_text())


def by_their_tool_reader(root: Path, expression: str) -> Any:
    """What an expression of theirs answers, in a process of its own: it leaves files open."""
    script = f"from jtop.core.nvpmodel import *; import json; print(json.dumps({expression}))"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PATH": f"{root}/usr/sbin:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def test_the_power_modes_agree_through_the_vendors_tool(orin: SteppedOrin, loaded: Board) -> None:
    part("nvpmodel")
    told, (default, names, masks) = by_their_tool_reader(
        orin.root, "[nvpmodel_query(), nvpmodel_decode()]"
    )
    assert told == {"name": "MODE_30W", "id": int(values(loaded)["power_mode"])}
    assert default == {"name": "MAXN", "id": 0}
    assert names == ["MAXN", "MODE_15W", "MODE_30W", "MODE_50W"]
    assert len(masks) == len(names)
    assert by_their_tool_reader(orin.root, "set_nvpmodel_level(3, False)") is True
    assert values(loaded)["power_mode"] == 3.0
    assert values(loaded)["power_limit_w"] == 50.0


def test_release_and_module_agree(orin: SteppedOrin, monkeypatch: pytest.MonkeyPatch) -> None:
    variables = part("jetson_variables")
    files = Sysfs(orin.root)
    below = _below(orin.root)
    monkeypatch.setattr(variables, "cat", lambda path: part("common").cat(below[path]))
    monkeypatch.setattr(variables.os.path, "isfile", lambda path: path in below)
    assert variables.get_nvidia_l4t() == jetson_identity.release(files) == "36.4.3"
    module = jetson_identity.module(files)
    assert module.part in variables.MODULE_NAME_TABLE
    assert "AGX Orin (64GB" in variables.MODULE_NAME_TABLE[module.part]
    assert variables.NVIDIA_JETPACK["36.4.3"].startswith("6")
    assert jetson_identity.jetpack(files) == "JetPack 6"


def _below(root: Path) -> Mapping[str, str]:
    paths = ("/etc/nv_tegra_release",)
    return {path: f"{root}{path}" for path in paths}
