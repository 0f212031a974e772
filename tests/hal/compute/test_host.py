"""The host device: memory, busy time, throttling and loss, all as the board tells it."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from hal.compute.device import ComputeError, DeviceLost, OutOfMemory, open_device
from hal.compute.host import HostDevice
from hal.kernels.matmul import MATMUL
from tests.sim_hw.support.emulated import SteppedBoard

pytestmark = pytest.mark.numerical

pytestmark = pytest.mark.portable


@pytest.fixture
def world(tmp_path: Path) -> Iterator[SteppedBoard]:
    stepped = SteppedBoard(tmp_path)
    yield stepped
    stepped.close()


@pytest.fixture
def device(world: SteppedBoard) -> Iterator[HostDevice]:
    opened = HostDevice(world.folder / "board.state", clock=world.clock, sleep=world.sleep)
    yield opened
    opened.close()


def test_arrays_go_in_are_computed_on_and_come_out() -> None:
    with HostDevice() as plain:
        a = np.arange(6, dtype=np.float32).reshape(2, 3)
        out = plain.allocate((2, 2), np.float32)
        on_device = plain.copy_in(a)
        plain.launch(MATMUL, on_device, plain.copy_in(a.T.copy()), out)
        plain.synchronise()
        assert np.array_equal(plain.copy_out(out), a @ a.T)
        assert plain.copy_in(a, on_device) is on_device


def test_a_copy_is_not_the_original() -> None:
    with HostDevice() as plain:
        source = np.ones(4)
        inside = plain.copy_in(source)
        source[:] = 0.0
        outside = plain.copy_out(inside)
        inside[:] = 5.0
        assert outside.tolist() == [1.0] * 4


def test_a_plain_function_answers_and_its_own_errors_pass() -> None:
    with HostDevice() as plain:
        assert plain.launch(lambda x: x + 1, 4) == 5
        with pytest.raises(KeyError):
            plain.launch({}.__getitem__, "nothing")


def test_copies_between_unlike_arrays_are_refused() -> None:
    with HostDevice() as plain:
        inside = plain.allocate(3, np.float32)
        with pytest.raises(ComputeError, match="unlike"):
            plain.copy_in(np.zeros(4, np.float32), inside)
        with pytest.raises(ComputeError, match="unlike"):
            plain.copy_in(np.zeros(3, np.float64), inside)


@pytest.mark.parametrize("shape", [(-1,), (2, -3)])
def test_an_impossible_shape_is_refused(shape: tuple[int, ...]) -> None:
    with HostDevice() as plain, pytest.raises(ComputeError, match="shape"):
        plain.allocate(shape, np.uint8)


def test_more_memory_than_the_machine_has_is_out_of_memory() -> None:
    with HostDevice() as plain, pytest.raises(OutOfMemory):
        plain.allocate(1 << 60, np.uint8)


def test_more_memory_than_the_board_has_is_out_of_memory(device: HostDevice) -> None:
    with pytest.raises(OutOfMemory, match="the device has"):
        device.allocate(81 << 30, np.uint8)


def test_memory_of_another_context_is_not_free(world: SteppedBoard, device: HostDevice) -> None:
    with HostDevice(world.folder / "board.state") as other:
        assert other._board is not None
        other._board.row.memory_bytes = 79 << 30
        with pytest.raises(OutOfMemory):
            device.allocate(1 << 30, np.uint8)


def test_the_board_knows_how_much_memory_is_held_and_when_it_is_dropped(
    world: SteppedBoard, device: HostDevice
) -> None:
    held = device.allocate(1 << 20, np.uint8)
    view = held[10:]
    (context,) = world.world.board.snapshot(world.now_ns)
    assert (context.pid, context.memory_bytes) == (os.getpid(), 1 << 20)
    del held
    gc.collect()
    assert world.world.board.snapshot(0)[0].memory_bytes == 1 << 20
    del view
    gc.collect()
    assert world.world.board.snapshot(0)[0].memory_bytes == 0


def test_a_launch_that_runs_out_of_memory_says_so() -> None:
    def greedy() -> None:
        raise MemoryError("all of it")

    with HostDevice() as plain, pytest.raises(OutOfMemory, match="all of it"):
        plain.launch(greedy)


def test_a_running_launch_is_load_before_it_ends(world: SteppedBoard, device: HostDevice) -> None:
    device.launch(world.run, 1.0)
    assert world.world.gpu(0).utilization_percent > 95
    assert world.world.board.snapshot(world.now_ns)[0].busy_ns == 1_000_000_000


def test_a_device_at_full_clock_does_not_wait(world: SteppedBoard, device: HostDevice) -> None:
    device.launch(world.run, 2.0)
    before = world.now_ns
    device.synchronise()
    assert world.now_ns == before


@pytest.mark.verifies("VA-SIM-02")
def test_a_power_cap_slows_the_job_by_the_ratio_of_clocks(
    world: SteppedBoard, device: HostDevice
) -> None:
    world.world.gpu(0).power_limit_mw = 200_000
    device.launch(world.run, 3.0)  # the governor settles
    device.synchronise()
    scale = world.world.board.devices[0].clock_scale
    assert scale < 0.8
    start = world.now_ns
    device.launch(world.run, 1.0)
    device.synchronise()
    assert (world.now_ns - start) / 1e9 == pytest.approx(1.0 / scale, rel=0.02)
    assert world.world.gpu(0).utilization_percent > 95


@pytest.mark.verifies("VA-SIM-02")
def test_thermal_throttling_slows_the_job(world: SteppedBoard, device: HostDevice) -> None:
    def duration() -> float:
        start = world.now_ns
        device.launch(world.run, 1.0)
        device.synchronise()
        return (world.now_ns - start) / 1e9

    assert duration() == 1.0
    world.world.temperature(0, 84.0 - world.world.gpu(0).temperature_c)
    duration()
    assert duration() > 2.0
    assert world.world.gpu(0).clock_reasons & 0x20


def test_a_lost_gpu_ends_every_call(world: SteppedBoard, device: HostDevice) -> None:
    inside = device.allocate(4, np.float32)
    world.world.lose(0)
    for call in (
        lambda: device.allocate(1, np.float32),
        lambda: device.launch(np.sum, inside),
        lambda: device.copy_out(inside),
        lambda: device.copy_in(np.zeros(4, np.float32), inside),
        device.synchronise,
    ):
        with pytest.raises(DeviceLost, match="lost"):
            call()


def test_a_gpu_lost_during_a_launch_fails_the_next_synchronise(
    world: SteppedBoard, device: HostDevice
) -> None:
    device.launch(world.world.lose, 0)
    with pytest.raises(DeviceLost):
        device.synchronise()


def test_a_gpu_lost_while_a_throttled_job_waits_ends_the_wait(world: SteppedBoard) -> None:
    def lose_then_sleep(seconds: float) -> None:
        world.world.lose(0)
        world.sleep(seconds)

    path = world.folder / "board.state"
    with HostDevice(path, clock=world.clock, sleep=lose_then_sleep) as device:
        world.world.board.devices[0].clock_scale = 0.5
        device.launch(lambda: setattr(world, "now_ns", world.now_ns + 10**9))
        start = world.now_ns
        with pytest.raises(DeviceLost):
            device.synchronise()
        assert world.now_ns - start <= 50_000_000


def test_after_a_reset_only_a_newly_opened_device_works(
    world: SteppedBoard, device: HostDevice
) -> None:
    world.world.lose(0)
    with pytest.raises(DeviceLost, match="reset first"):
        HostDevice(world.folder / "board.state")
    world.world.restore(0)
    with pytest.raises(DeviceLost, match="was reset"):
        device.synchronise()
    with HostDevice(world.folder / "board.state") as fresh:
        fresh.launch(np.sum, fresh.allocate(3, np.float32))


def test_a_closed_device_says_so_and_closes_again(device: HostDevice, world: SteppedBoard) -> None:
    device.close()
    device.close()
    with pytest.raises(ComputeError, match="closed"):
        device.synchronise()
    assert world.world.board.snapshot(0) == []


def test_a_clock_scale_that_cannot_be_is_taken_for_full_speed(
    world: SteppedBoard, device: HostDevice
) -> None:
    for nonsense in (float("nan"), -1.0, 7.0):
        world.world.board.devices[0].clock_scale = nonsense
        device.launch(lambda: setattr(world, "now_ns", world.now_ns + 10**9))
        before = world.now_ns
        device.synchronise()
        assert world.now_ns == before


def test_a_board_state_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ComputeError, match="start the board first"):
        open_device("host", tmp_path / "nothing")


def test_a_device_number_the_board_lacks_is_refused(world: SteppedBoard) -> None:
    with pytest.raises(ComputeError, match="this board has 1"):
        open_device("host", world.folder / "board.state", device=3)


def test_an_unknown_kind_of_device_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match="'host' or 'cuda'"):
        open_device("abacus")
