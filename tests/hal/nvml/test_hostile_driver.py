"""A driver that lies: the readings say so, a GPU stays itself, and nothing grows or spins."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sim_hw.nvml_library import build

ROOT = Path(__file__).parents[3]
SOURCE = Path(__file__).with_name("hostile_nvml.c")


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The hostile library, built for this session."""
    path = tmp_path_factory.mktemp("hostile") / "libnvidia-ml.so.1"
    flags = ("-O1", "-std=gnu11", "-shared", "-fPIC", f"-Wl,-soname,{path.name}")
    subprocess.run([*build.compiler(), *flags, "-o", str(path), str(SOURCE)], check=True)
    return path


class Driver:
    """Has a child process open the board beside the hostile library."""

    def __init__(self, library: Path, folder: Path) -> None:
        self.library, self.mode = library, folder / "mode"
        self.numbers = folder / "gpus.json"
        self.peak_mib = 0.0

    def run(self, *steps: str, mode: str = "") -> list[Any]:
        """What each step answered."""
        self.mode.write_text(mode)
        done = subprocess.run(
            [sys.executable, "-m", "tests.hal.nvml.hostile_program", str(self.mode), *steps],
            cwd=ROOT,
            env={
                **os.environ,
                "VANALLEN_NVML_LIBRARY": str(self.library),
                "HOSTILE_MODE": str(self.mode),
                "VANALLEN_GPU_NUMBERS": str(self.numbers),
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        answer = json.loads(done.stdout)
        self.peak_mib = answer["peak_mib"]
        seen: list[Any] = answer["seen"]
        return seen


@pytest.fixture
def driver(library: Path, tmp_path: Path) -> Driver:
    return Driver(library, tmp_path)


def test_a_driver_that_tells_the_truth_is_believed(driver: Driver) -> None:
    readings, devices = driver.run("read", "devices")
    assert readings["gpu0.power_w"][:2] == [100.0, "VALID"]
    assert readings["gpu1.power_w"][:2] == [200.0, "VALID"]
    assert devices == [
        ["GPU-aaaa", "00000000:01:00.0", 350.0, 80 << 30],
        ["GPU-bbbb", "00000000:02:00.0", 350.0, 80 << 30],
    ]


def test_bits_are_told_to_the_last_one(driver: Driver) -> None:
    (readings,) = driver.run("read")
    assert readings["gpu0.throttle_reasons"][:2] == [0x8000000000000004, "VALID"]


def test_all_ones_are_no_value_anywhere(driver: Driver) -> None:
    readings, devices, processes = driver.run("read", "devices", "processes", mode="all ones")
    valid = {name: row for name, row in readings.items() if row[1] == "VALID"}
    assert set(valid) == {f"gpu{n}.{name}" for n in (0, 1) for name in ("ecc_enabled", "processes")}
    assert "all ones" in readings["gpu0.ecc_corrected_volatile"][2]
    assert readings["gpu0.temperature_c"][0] is None
    assert readings["gpu0.performance_state"][1] == "OUT_OF_RANGE"
    assert devices[0][2:] == [None, None]
    assert processes[0] == [0, 4242, None]


def test_what_is_no_number_is_not_valid(driver: Driver) -> None:
    (readings,) = driver.run("read", mode="not a number")
    assert readings["gpu0.power_instant_w"][1] == "OUT_OF_RANGE"


def test_a_gpu_that_is_gone_is_lost_and_the_one_left_keeps_its_number(driver: Driver) -> None:
    before, _, after, devices = driver.run("read", "mode:only b", "read", "devices")
    assert before["gpu0.power_w"][:2] == [100.0, "VALID"]
    assert after["gpu0.power_w"][:2] == [None, "LOST"]
    assert "GPU-aaaa is not among the GPUs" in after["gpu0.power_w"][2]
    assert after["gpu1.power_w"][:2] == [200.0, "VALID"]
    assert [uuid for uuid, *_ in devices] == ["GPU-aaaa", "GPU-bbbb"]


def test_a_limit_for_a_gpu_that_is_gone_changes_no_other(driver: Driver) -> None:
    limit_a, limit_b = "control:power_limit_w:250:0", "control:power_limit_w:300:1"
    _, _, refused, done, _, back = driver.run(
        "read", "mode:only b", limit_a, limit_b, "mode:", limit_a
    )
    assert refused[0] is False
    assert "GPU-aaaa is not among" in refused[2]
    assert done[:2] == [True, 300.0]
    assert back[:2] == [True, 250.0]


def test_a_gpu_without_uuid_is_known_by_its_bus_id(driver: Driver) -> None:
    devices, _, readings = driver.run("devices", "mode:only b", "read", mode="no uuid")
    assert [row[:2] for row in devices] == [["", "00000000:01:00.0"], ["", "00000000:02:00.0"]]
    assert readings["gpu0.power_w"][1] == "LOST"
    assert readings["gpu1.power_w"][:2] == [200.0, "VALID"]


def test_gpus_that_come_later_are_seen(driver: Driver) -> None:
    steps = ["read", "mode:", *["read"] * 12, "devices"]
    first, _, *readings, devices = driver.run(*steps, mode="none")
    assert first == {}
    assert readings[-1]["gpu0.power_w"][:2] == [100.0, "VALID"]
    assert len(devices) == 2


@pytest.mark.parametrize("mode", ["huge count", "null handles", "garbage"])
def test_nonsense_about_gpus_ends_nothing(driver: Driver, mode: str) -> None:
    _, during, _, _, after = driver.run("mode:" + mode, "read", "devices", "mode:", "read")
    assert all(row[0] is None or row[1] == "VALID" for row in during.values() if mode != "garbage")
    assert after["gpu0.power_w"][:2] == [100.0, "VALID"]


def test_a_number_of_processes_that_cannot_be_takes_no_memory(driver: Driver) -> None:
    (readings,) = driver.run("read", mode="huge processes")
    assert readings["gpu0.processes"][1] == "ERROR"
    assert "402653184 processes" in readings["gpu0.processes"][2]
    assert driver.peak_mib < 500


def test_an_event_of_nobody_names_no_gpu(driver: Driver) -> None:
    (answer,) = driver.run("faults:0.1", mode="xid of nobody")
    assert answer[0][0][:3] == [None, "XID", 79]
    (answer,) = driver.run("faults:0.1", mode="xid of b")
    assert answer[0][0][:3] == [1, "XID", 79]


@pytest.mark.verifies("VA-BRD-15")
def test_an_event_of_nobody_has_the_gpus_counted_again(driver: Driver) -> None:
    steps = ("read", "mode:xid of nobody", "faults:0.1", "devices", "read")
    _, _, faults, devices, readings = driver.run(*steps, mode="only b")
    assert faults[0][0][0] is None
    assert [uuid for uuid, *_ in devices] == ["GPU-bbbb", "GPU-aaaa"]
    assert readings["gpu1.power_w"][:2] == [100.0, "VALID"]


@pytest.mark.verifies("VA-BRD-15")
def test_a_gpu_keeps_its_number_when_the_board_is_opened_again(driver: Driver) -> None:
    driver.run("read")
    readings, devices = driver.run("read", "devices", mode="only b")
    assert readings["gpu0.power_w"][:2] == [None, "LOST"]
    assert readings["gpu1.power_w"][:2] == [200.0, "VALID"]
    assert [uuid for uuid, *_ in devices] == ["GPU-aaaa", "GPU-bbbb"]


@pytest.mark.verifies("VA-BRD-15")
@pytest.mark.parametrize(
    "kept",
    [b"", b"\xff", b"[" * 100_000, b"[]", b'{"format": 2, "gpus": [["GPU-x", ""]]}',
     b'{"format": 1, "gpus": 7}', b'{"format": 1, "gpus": [["GPU-x"]]}',
     b'{"format": 1, "gpus": [[7, 8]]}'],
)  # fmt: skip
def test_numbers_that_cannot_be_read_are_given_anew(driver: Driver, kept: bytes) -> None:
    driver.numbers.write_bytes(kept)
    (devices,) = driver.run("devices")
    assert [uuid for uuid, *_ in devices] == ["GPU-aaaa", "GPU-bbbb"]
    assert json.loads(driver.numbers.read_text())["gpus"][0] == ["GPU-aaaa", "00000000:01:00.0"]


def test_a_driver_that_does_not_wait_is_waited_for(driver: Driver) -> None:
    answers = driver.run(*["faults:0.2"] * 3, mode="wait returns at once")
    assert all(spent >= 0.19 for _, spent in answers)


@pytest.mark.parametrize("mode", ["wait unknown", "wait lost"])
def test_watching_that_is_dead_is_told_once_and_begun_again(driver: Driver, mode: str) -> None:
    answers = driver.run(*["faults:0.01"] * 8, "mode:xid of b", *["faults:0.05"] * 4, mode=mode)
    during, after = answers[:8], answers[9:]
    told = [fault for faults, _ in during for fault in faults]
    assert [fault[1] for fault in told] == ["OTHER"]
    assert "does not watch for faults" in told[0][3]
    assert [1, "XID", 79] in [fault[:3] for faults, _ in after for fault in faults]
    assert any("watches for faults again" in fault[3] for faults, _ in after for fault in faults)


@pytest.mark.parametrize(("mode", "status"), [("", 0), ("none", 1)])
def test_showing_a_board_is_text_and_fails_where_no_gpu_is(
    driver: Driver, mode: str, status: int
) -> None:
    driver.mode.write_text(mode)
    shown = subprocess.run(
        [sys.executable, "-m", "flight", "board", "show", "nvml"],
        cwd=ROOT,
        env={
            **os.environ,
            "VANALLEN_NVML_LIBRARY": str(driver.library),
            "HOSTILE_MODE": str(driver.mode),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert shown.returncode == status, shown.stderr
    if mode == "none":
        assert shown.stderr.startswith("Error: nvml: the driver (version 580.1) shows no GPU;")
    else:
        assert "gpu0: NVIDIA H100, GPU-aaaa, serial 1, at 00000000:01:00.0, 80 GiB" in shown.stdout
