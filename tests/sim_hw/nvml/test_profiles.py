"""The emulated boards with NVML: each says what it is, and works within its own bounds."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from sim_hw.__main__ import main
from sim_hw.model import gpu as model
from sim_hw.model.constants import provenance
from sim_hw.model.gpu import GpuInputs
from sim_hw.nvml.profiles import BOARDS
from sim_hw.nvml_library import build
from sim_hw.world import scenario, settings
from sim_hw.world.devices import DEVICES
from sim_hw.world.world import World
from tests.sim_hw.support.emulated import SteppedBoard

CHECK = """
import pynvml as n
n.nvmlInit()
for index in range(n.nvmlDeviceGetCount()):
    h = n.nvmlDeviceGetHandleByIndex(index)
    print(n.nvmlDeviceGetName(h), n.nvmlDeviceGetPowerManagementDefaultLimit(h),
          n.nvmlDeviceGetMaxClockInfo(h, 1), n.nvmlDeviceGetMemoryInfo(h).total >> 20,
          *n.nvmlDeviceGetCudaComputeCapability(h), n.nvmlDeviceGetArchitecture(h),
          n.nvmlDeviceGetNumGpuCores(h), n.nvmlDeviceGetMaxPcieLinkGeneration(h), sep="|")
"""
TOLD = {
    "h100": "NVIDIA H100 PCIe|350000|1755|81559|9|0|9|14592|5",
    "h100-sxm": "NVIDIA H100 80GB HBM3|700000|1980|81559|9|0|9|16896|5",
    "h200": "NVIDIA H200|700000|1980|143771|9|0|9|16896|5",
    "a100": "NVIDIA A100-SXM4-80GB|400000|1410|81920|8|0|7|6912|4",
}


@pytest.mark.verifies("VA-SIM-09")
@pytest.mark.parametrize("name", sorted(BOARDS))
def test_an_nvml_client_is_told_what_the_board_is(tmp_path: Path, name: str) -> None:
    board = SteppedBoard(tmp_path, 2, model=name)
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / build.NAME).symlink_to(build.library())
    environment = os.environ | {
        "VANALLEN_NVML_STATE": str(tmp_path / "nvml.state"),
        "LD_LIBRARY_PATH": str(tmp_path / "lib"),
    }
    done = subprocess.run(
        [sys.executable, "-c", CHECK], env=environment, capture_output=True, text=True, check=True
    )
    board.close()
    assert done.stdout.splitlines() == [TOLD[name]] * 2


@pytest.mark.parametrize("name", sorted(BOARDS))
def test_full_load_settles_within_the_limits_of_the_board(name: str) -> None:
    board = BOARDS[name]
    profile, path = board.profile, board.heat
    state = model.initial(profile, path, profile.sink_c)
    assert state.power_w == pytest.approx(profile.idle_power_w, rel=0.05)
    for _ in range(3000):
        busy = GpuInputs(1.0, profile.max_power_w, profile.sink_c)
        state = model.step(profile, path, state, busy, 5.0)
    assert 0.95 * profile.max_power_w < state.power_w <= profile.max_power_w
    assert profile.throttle_c - 20.0 < state.sensor_c <= profile.throttle_c
    assert not state.too_hot


@pytest.mark.parametrize("name", sorted(BOARDS))
def test_every_figure_says_where_it_comes_from(name: str) -> None:
    board = BOARDS[name]
    for profile in (board.profile, board.heat, DEVICES[name].cross_sections):
        assert all(source for _, _, source in provenance(profile).values())
    assert CliRunner().invoke(main, ["constants", "--model", name]).exit_code == 0


@pytest.mark.parametrize("name", sorted(BOARDS))
def test_the_world_flies_every_board(name: str) -> None:
    text = f'name = "a"\nstart = "2026-01-01T00:00:00Z"\n[board]\nmodel = "{name}"\n'
    world = World(settings.loads(scenario.Scenario, text, "a.toml"))
    step = world.step(load=1.0)
    assert step.is_powered
    assert step.block["power_w"][0] > BOARDS[name].profile.idle_power_w


def test_a_companion_goes_on_only_with_the_files_of_its_own_kind(tmp_path: Path) -> None:
    SteppedBoard(tmp_path).world.close()
    board = SteppedBoard(tmp_path, model="a100")
    assert board.world.gpu(0).name == b"NVIDIA A100-SXM4-80GB"
    board.close()


def test_a_jetson_has_one_gpu(tmp_path: Path) -> None:
    words = ["board", "--model", "orin", "--dir", str(tmp_path), "--gpus", "2"]
    result = CliRunner().invoke(main, words)
    assert result.exit_code != 0
    assert "a Jetson has one GPU" in result.output
