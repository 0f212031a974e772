"""What hardware costs: a getter, a reading of the board, an XID's way, an idle companion."""

from __future__ import annotations

import os
import statistics
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pynvml
import pytest

from hal import boards
from hal.compute.host import HostDevice
from hal.device import Board
from sim_hw.nvml.inject import World
from sim_hw.nvml_library import build

SUBSCRIBER = """
import os, struct, time
import pynvml
pynvml.nvmlInit()
events = pynvml.nvmlEventSetCreate()
pynvml.nvmlDeviceRegisterEvents(pynvml.nvmlDeviceGetHandleByIndex(0), 8, events)
os.write(1, struct.pack("q", 0))
while True:
    pynvml.nvmlEventSetWait_v2(events, 60000)
    os.write(1, struct.pack("q", time.monotonic_ns()))
"""


class Companion:
    """A running emulated board."""

    def __init__(self, run_dir: Path) -> None:
        row = boards.row("emulated-h100")
        self.environment = row.environment(run_dir)
        self.folder = run_dir / "board"
        arguments = row.companion(run_dir)
        ready = row.ready_file(run_dir)
        assert arguments is not None
        assert ready is not None
        self.process = subprocess.Popen(arguments)
        deadline = time.monotonic() + 20.0
        while not ready.exists():
            assert time.monotonic() < deadline
            time.sleep(0.005)

    def cpu_ns(self) -> int:
        """Time it has spent on a core."""
        return int(Path(f"/proc/{self.process.pid}/schedstat").read_text().split()[0])

    def close(self) -> None:
        self.process.terminate()
        self.process.wait()


@pytest.fixture(scope="module")
def companion(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Companion]:
    started = Companion(tmp_path_factory.mktemp("board"))
    yield started
    started.close()


@pytest.fixture
def board(companion: Companion, monkeypatch: pytest.MonkeyPatch) -> Iterator[Board]:
    for key, value in companion.environment.items():
        monkeypatch.setenv(key, value)
    opened = boards.open_board("emulated-h100")
    yield opened
    opened.close()


def test_a_getter_through_pynvml_takes_at_most_2_us(
    board: Board, benchmark: Any, goal: Any
) -> None:
    assert board.devices()
    handle = pynvml.nvmlDeviceGetHandleByIndex(0)
    benchmark(pynvml.nvmlDeviceGetPowerUsage, handle)
    goal("NVML getter", benchmark.stats.stats.median * 1e6, at_most=2, unit="us")


def test_a_whole_reading_of_the_board(board: Board, benchmark: Any) -> None:
    readings = benchmark(board.read)
    assert all(reading.is_valid for reading in readings)


def test_a_launch_on_the_host_device(companion: Companion, benchmark: Any) -> None:
    with HostDevice(companion.folder / "board.state") as device:
        array = device.allocate(8, np.float32)

        def launch() -> None:
            device.launch(_nothing, array)
            device.synchronise()

        benchmark(launch)


def _nothing(_array: Any) -> None:
    pass


def test_an_xid_reaches_a_subscriber_within_5_ms(
    companion: Companion, benchmark: Any, goal: Any
) -> None:
    latencies = benchmark.pedantic(_xid_latencies, args=(companion, 300), rounds=1)
    latencies.sort()
    benchmark.extra_info["p50_us"] = statistics.median(latencies) / 1e3
    benchmark.extra_info["p99_us"] = latencies[int(len(latencies) * 0.99)] / 1e3
    goal("XID to subscriber, p99", benchmark.extra_info["p99_us"], at_most=5000, unit="us")


def _xid_latencies(companion: Companion, count: int) -> list[int]:
    environment = {**os.environ, **companion.environment}
    with (
        World(companion.folder) as world,
        subprocess.Popen(
            [sys.executable, "-c", SUBSCRIBER], stdout=subprocess.PIPE, env=environment
        ) as subscriber,
    ):
        assert subscriber.stdout is not None
        subscriber.stdout.read(8)
        found = []
        for _ in range(count):
            time.sleep(0.002)  # let the subscriber fall asleep again
            sent = time.monotonic_ns()
            world.xid(0, 13)
            (seen,) = struct.unpack("q", subscriber.stdout.read(8))
            found.append(seen - sent)
        subscriber.kill()
    return found


def test_an_idle_companion_uses_at_most_half_a_percent_of_a_core(
    companion: Companion, benchmark: Any, goal: Any
) -> None:
    def rest(seconds: float) -> float:
        before = companion.cpu_ns()
        time.sleep(seconds)
        return (companion.cpu_ns() - before) / (seconds * 1e9)

    share = benchmark.pedantic(rest, args=(5.0,), rounds=1)
    benchmark.extra_info["percent_of_a_core"] = share * 100.0
    goal("idle companion", share * 100, at_most=0.5, unit="% of a core")


def test_building_the_library_from_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, benchmark: Any
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert benchmark.pedantic(build.library, rounds=1).exists()
