"""Memory traffic: launches that tell what they move load the memory, and draw less power."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hal.compute.host import HostDevice
from hal.kernels import Kernel
from icd.board_state import Context
from sim_hw.model import gpu as model
from sim_hw.model.gpu import H100, GpuInputs
from sim_hw.model.thermal import ThermalProfile
from sim_hw.model.traffic import USUAL_BYTES_S, Traffic, measured_bytes_s
from tests.sim_hw.support.emulated import SteppedBoard
from tests.sim_hw.support.emulated_orin import SteppedOrin

BURST_S = 0.5
PATH = ThermalProfile()


def context(busy_s: float, moved: float = 0.0, moved_s: float = 0.0, runs: bool = False) -> Context:
    busy_ns, moved_ns = round(busy_s * 1e9), round(moved_s * 1e9)
    return Context(3, 77, 1, 0, 0, 0, busy_ns, runs, 0, round(moved), moved_ns)


def after(*seen: Context) -> float:
    traffic = Traffic(0.6, 1e9)
    for one in seen:
        traffic.look([one])
    return traffic.share(seen[-1])


def test_traffic_that_is_known_is_measured_and_any_other_is_the_usual() -> None:
    assert after(context(1.0)) == 0.6
    assert after(context(0.0), context(1.0)) == 0.6
    assert after(context(0.0), context(1.0, 0.25e9, 1.0)) == pytest.approx(0.25)
    assert after(context(0.0), context(1.0, 5e9, 1.0)) == 1.0
    assert after(context(0.0), context(2.0, 0.2e9, 1.0)) == pytest.approx(0.5 * 0.2 + 0.5 * 0.6)


def test_a_long_launch_is_taken_for_what_the_one_before_it_was() -> None:
    first = context(1.0, 0.1e9, 1.0)
    assert after(context(0.0), first, context(1.5, 0.1e9, 1.0, runs=True)) == pytest.approx(0.1)
    assert after(context(0.0), first, context(1.5, 0.1e9, 1.0)) == 0.6
    assert after(context(0.0), first, first) == pytest.approx(0.1)


def test_a_launch_that_was_begun_before_tells_of_all_its_time() -> None:
    ended = context(1.1, 0.5e9, 1.1)
    running = context(1.0, runs=True)
    assert after(context(0.0), running, ended) == pytest.approx(0.5 / 1.1)


@pytest.mark.verifies("VA-SIM-10")
def test_what_moves_memory_draws_less_and_warms_the_memory() -> None:
    def settled(memory_use: float | None) -> model.GpuState:
        state = model.initial(H100, PATH, H100.sink_c)
        for _ in range(200):
            inputs = GpuInputs(1.0, H100.max_power_w, H100.sink_c, memory_use=memory_use)
            state = model.step(H100, PATH, state, inputs, 0.1)
        return state

    usual, computing, moving = settled(None), settled(0.05), settled(1.0)
    assert computing.power_w == pytest.approx(usual.power_w, rel=0.01)
    assert moving.power_w - H100.idle_power_w == pytest.approx(
        H100.memory_bound_share * (usual.power_w - H100.idle_power_w), rel=0.05
    )
    assert computing.memory_c - computing.sensor_c < usual.memory_c - usual.sensor_c
    assert moving.memory_c - moving.sensor_c == pytest.approx(
        H100.memory_above_c + H100.memory_above_loaded_k
    )


def burst(world: SteppedBoard | SteppedOrin, moved_bytes: float) -> Kernel:
    """A kernel that takes `BURST_S` of the world's time."""

    def body(_array: np.ndarray) -> None:
        world.run(BURST_S)

    return Kernel(f"moves {moved_bytes:g} octets", body, body)


def array_of(octets: float) -> np.ndarray:
    """An array that counts so many octets and takes none."""
    return np.broadcast_to(np.zeros(1, np.uint8), round(octets))


@pytest.mark.parametrize(("share", "percent"), [(0.1, 10), (1.0, 100), (3.0, 100)])
def test_a_client_sees_how_busy_the_memory_is(tmp_path: Path, share: float, percent: int) -> None:
    board = SteppedBoard(tmp_path)
    with HostDevice(tmp_path / "board.state", clock=board.clock, sleep=board.sleep) as device:
        for _ in range(4):
            moved = share * BURST_S * USUAL_BYTES_S
            device.launch(burst(board, moved), array_of(moved))
        assert board.world.gpu(0).utilization_percent >= 95
        assert board.world.gpu(0).memory_utilization_percent == pytest.approx(percent, abs=6)
    board.close()


@pytest.mark.parametrize(
    ("function", "is_known"),
    [(np.add, True), (lambda a, b, out: np.add(a, b, out), False)],
    ids=["NumPy's own", "any function"],
)
def test_the_traffic_of_a_function_that_may_use_other_arrays_is_not_known(
    tmp_path: Path, function: Callable[..., object], is_known: bool
) -> None:
    board = SteppedBoard(tmp_path)
    with HostDevice(tmp_path / "board.state") as device:
        a, out = device.allocate(1000, np.uint8), device.allocate(1000, np.uint8)
        device.launch(function, a, a, out)
        (row,) = board.world.board.snapshot(0)
        assert row.moved_bytes == (3000 if is_known else 0)
        assert bool(row.moved_ns) == is_known
    board.close()


def test_the_memory_bus_of_an_orin_is_as_busy_as_its_launches_make_it(tmp_path: Path) -> None:
    board = SteppedOrin(tmp_path)
    with HostDevice(tmp_path / "board.state", clock=board.clock, sleep=board.run) as device:
        for _ in range(4):
            moved = 0.3 * BURST_S * USUAL_BYTES_S
            device.launch(burst(board, moved), array_of(moved))
        tree = tmp_path / "root" / "sys" / "kernel" / "debug"
        khz = int((tree / "bpmp/debug/clk/emc/rate").read_text()) / 1000
        load = int((tree / "cactmon/mc_all").read_text()) / khz
    board.close()
    assert load == pytest.approx(30, abs=4)


def test_this_machine_moves_memory() -> None:
    assert measured_bytes_s() > 1e8
