"""Unmodified programs of other people on the emulated board: gpustat, nvitop, nvidia-ml-py."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from icd.board_state import mark_running
from sim_hw.nvml_library import build, layout
from tests.sim_hw.support.emulated import STEP_NS, SteppedBoard

pytestmark = pytest.mark.verifies("VA-SIM-01", "VA-SIM-07")

EVERY_GETTER = """
import inspect, pynvml as n
n.nvmlInit()
h = n.nvmlDeviceGetHandleByIndex(0)
wrong, answered = [], 0
for name, call in inspect.getmembers(n, inspect.isfunction):
    if not name.startswith("nvmlDeviceGet"):
        continue
    if list(inspect.signature(call).parameters) not in (["handle"], ["device"]):
        continue
    try:
        call(h)
        answered += 1
    except n.NVMLError as error:
        if error.value not in (n.NVML_ERROR_NOT_SUPPORTED, n.NVML_ERROR_NOT_FOUND):
            wrong.append((name, error.value))
print(answered, wrong)
"""


@pytest.fixture
def board(tmp_path: Path) -> Iterator[SteppedBoard]:
    """Two GPUs; the second has been computing for this process for 20 s and holds 7 GiB."""
    stepped = SteppedBoard(tmp_path, gpus=2)
    row = stepped.world.board.claim(1, os.getpid())
    row.memory_bytes = 7 << 30
    mark_running(row, stepped.now_ns)
    stepped.run(20.0)
    stepped.now_ns += STEP_NS
    stepped.emulated.tick(stepped.now_ns, time.time_ns())  # clients ask for samples of this second
    yield stepped
    stepped.close()


def client(board: SteppedBoard, *arguments: str) -> str:
    ended = subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={
            **os.environ,
            "LD_LIBRARY_PATH": str(build.library().parent),
            layout.ENVIRONMENT: str(board.folder / "nvml.state"),
            "COLUMNS": "120",
            "TERM": "dumb",
            "PYTHONWARNINGS": "ignore",
        },
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_gpustat_shows_both_gpus_their_load_and_the_process(board: SteppedBoard) -> None:
    found = json.loads(client(board, "-m", "gpustat", "--json"))
    assert found["driver_version"] == "580.95.05"
    idle, busy = found["gpus"]
    assert idle["name"] == busy["name"] == "NVIDIA H100 PCIe"
    assert (idle["utilization.gpu"], idle["memory.used"], idle["processes"]) == (0, 0, [])
    assert busy["utilization.gpu"] == 100
    assert busy["power.draw"] in range(345, 352)
    assert busy["enforced.power.limit"] == 350
    assert busy["temperature.gpu"] > idle["temperature.gpu"]
    assert (busy["memory.used"], busy["memory.total"]) == (7168, 81559)
    (process,) = busy["processes"]
    assert (process["pid"], process["gpu_memory_usage"]) == (os.getpid(), 7168)


def test_gpustat_shows_a_lost_gpu_as_lost_and_the_other_as_before(board: SteppedBoard) -> None:
    board.world.lose(0)
    lines = client(board, "-m", "gpustat", "--no-color").splitlines()
    assert "GPU is lost" in lines[1]
    assert "100 %" in lines[2]


def test_nvitop_shows_both_gpus_their_load_and_the_process(board: SteppedBoard) -> None:
    shown = client(board, "-m", "nvitop", "-1", "--no-unicode")
    assert "Driver Version: 580.95.05" in shown
    assert "CUDA Driver Version: 13.0" in shown
    assert re.search(r"0 +H100 PCIe +On \| 00000000:01:00\.0 Off \| Disabled +0 ", shown)
    assert re.search(r"\d+C +P0 +(49|50|51)W / 350W \| +0B / 79\.65GiB \| +0% ", shown)
    assert re.search(r"\d+C +P0 +3(4[5-9]|5[01])W / 350W \| +7168MiB / 79\.65GiB \| +100% ", shown)
    assert re.search(rf"\| +1 +{os.getpid()} C .* 7168MiB +100 ", shown)


def test_nvitop_shows_a_lost_gpu_as_lost_and_errors_of_the_other(board: SteppedBoard) -> None:
    board.world.lose(0)
    board.world.ecc(1, corrected=0, uncorrected=3)
    shown = client(board, "-m", "nvitop", "-1", "--no-unicode")
    assert "0  ERROR: GPU is Lost" in shown
    assert re.search(r"00000000:02:00\.0 Off \| Disabled +3 ", shown)


def test_every_getter_of_the_python_binding_answers_or_says_not_supported(
    board: SteppedBoard,
) -> None:
    answered, wrong = client(board, "-c", EVERY_GETTER).split(" ", 1)
    assert wrong == "[]\n"
    assert int(answered) > 60
