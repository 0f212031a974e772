"""The emulated board: loads told apart by context and GPU, and a companion that goes on or ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from icd.board_state import BoardState, mark_running
from sim_hw.__main__ import main
from sim_hw.nvml.board import BUSY_PERIOD_S, IDLE_PERIOD_S, EmulatedBoard
from sim_hw.nvml_library.state import StateFile
from tests.sim_hw.support.emulated import SteppedBoard, wait_until


@pytest.fixture
def board(tmp_path: Path) -> Iterator[SteppedBoard]:
    stepped = SteppedBoard(tmp_path, gpus=2)
    yield stepped
    stepped.close()


def test_a_load_warms_its_own_gpu_only(board: SteppedBoard) -> None:
    row = board.world.board.claim(1, os.getpid())
    mark_running(row, board.now_ns)
    board.run(2.0)
    assert board.world.gpu(0).utilization_percent == 0
    assert board.world.gpu(1).utilization_percent > 95
    assert board.world.gpu(1).processes[0].pid == os.getpid()
    assert board.world.gpu(0).energy_mj < board.world.gpu(1).energy_mj


def test_two_contexts_of_one_process_are_one_entry_and_at_most_full_load(
    board: SteppedBoard,
) -> None:
    for memory in (100, 50):
        row = board.world.board.claim(0, os.getpid())
        row.memory_bytes = memory
        mark_running(row, board.now_ns)
    board.run(1.0)
    gpu = board.world.gpu(0)
    assert gpu.process_count == 1
    assert gpu.processes[0].memory_bytes == gpu.used_bytes == 150
    assert gpu.processes[0].utilization_percent == 100
    assert gpu.utilization_percent <= 100


def test_the_board_is_stepped_often_under_load_and_seldom_without(board: SteppedBoard) -> None:
    assert board.tick() == IDLE_PERIOD_S
    row = board.world.board.claim(0, os.getpid())
    assert board.tick() == BUSY_PERIOD_S
    board.world.board.release(row)
    assert board.tick() == IDLE_PERIOD_S


def test_a_context_of_before_a_reset_is_no_load(board: SteppedBoard) -> None:
    row = board.world.board.claim(0, os.getpid())
    row.memory_bytes = 100
    mark_running(row, board.now_ns)
    board.world.restore(0)
    board.run(1.0)
    assert board.world.gpu(0).utilization_percent == 0
    assert board.world.gpu(0).used_bytes == 0


def test_a_gpu_that_is_too_hot_falls_off_the_bus_and_its_compute_with_it(
    board: SteppedBoard,
) -> None:
    board.world.temperature(0, 200.0)
    board.run(0.2)
    assert [gpu.lost for gpu in (board.world.gpu(0), board.world.gpu(1))] == [1, 0]
    assert [row.lost for row in board.world.board.devices] == [1, 0]
    assert board.world.nvml.state.events[0].data == 79


def test_the_same_seed_gives_the_same_board(tmp_path: Path) -> None:
    boards = []
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        (tmp_path / name).mkdir()
        boards.append(SteppedBoard(tmp_path / name, seed=seed))
    for stepped in boards:
        stepped.run(1.0)
    first, same, other = (stepped.world.gpu(0) for stepped in boards)
    assert (first.uuid, first.power_mw) == (same.uuid, same.power_mw)
    assert first.uuid != other.uuid
    for stepped in boards:
        stepped.close()


def test_a_companion_that_died_is_followed_by_one_that_goes_on(tmp_path: Path) -> None:
    first = SteppedBoard(tmp_path)
    first.run(10.0)
    energy, uuid = first.world.gpu(0).energy_mj, first.world.gpu(0).uuid
    first.world.ecc(0, corrected=3, uncorrected=0)
    second = EmulatedBoard(tmp_path, "h100", 1, seed=9)  # no close of the first: it was killed
    second.tick(first.now_ns, 0)
    gpu = first.world.gpu(0)
    assert gpu.uuid == uuid
    assert gpu.energy_mj == pytest.approx(energy, abs=1)
    assert gpu.corrected.volatile_count[2] == 3
    first.world.close()
    second.close()


def test_a_closed_board_leaves_no_state(tmp_path: Path) -> None:
    SteppedBoard(tmp_path).close()
    assert list(tmp_path.iterdir()) == []


class Companion:
    """`sim_hw board` as a process of its own, with a lease."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self.ready = folder / "ready"
        lease, self.lease = os.pipe()
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "sim_hw", "board"),
                *("--dir", folder, "--ready", self.ready, *options),
            ],
            env={**os.environ, "VANALLEN_LEASE_FD": str(lease)},
            pass_fds=[lease],
        )
        os.close(lease)
        wait_until(lambda: self.ready.exists() or self.process.poll() is not None)

    def end(self) -> int:
        """Its exit status, once it ended by itself."""
        return self.process.wait(10.0)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.lease)


@pytest.fixture
def companion(tmp_path: Path) -> Iterator[Companion]:
    started = Companion(tmp_path / "board")
    yield started
    started.close()


def test_a_ready_companion_steps_its_board_by_itself(companion: Companion) -> None:
    nvml = StateFile.attach(companion.folder / "nvml.state")
    board = BoardState.attach(companion.folder / "board.state")
    row = board.claim(0, os.getpid())
    mark_running(row, 1)
    gpu = nvml.state.gpus[0]
    wait_until(lambda: gpu.process_count == 1)
    before = gpu.energy_mj
    wait_until(lambda: gpu.energy_mj > before)
    assert int(companion.ready.read_text()) == companion.process.pid
    board.close()
    nvml.close()


def test_a_companion_ends_politely_and_leaves_only_the_ways_to_its_library_and_tools(
    companion: Companion,
) -> None:
    companion.process.send_signal(signal.SIGTERM)
    assert companion.end() == 0
    assert sorted(path.name for path in companion.folder.iterdir()) == ["bin", "lib"]


def test_a_companion_ends_when_whoever_started_it_is_gone(companion: Companion) -> None:
    os.close(companion.lease)
    assert companion.end() == 0
    companion.lease = os.open(os.devnull, os.O_RDONLY)


def inject(folder: Path, *arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["inject", "--dir", str(folder), *arguments])
    return result.exit_code, result.output


@pytest.mark.parametrize(
    ("arguments", "field", "wanted"),
    [
        (("xid", "46"), "recovery_action", 1),
        (("lost",), "lost", 1),
        (("xid", "79"), "lost", 1),
        (("temperature", "12.5"), "sensor_offset_c", 12.5),
        (("temperature", "-3"), "sensor_offset_c", -3.0),
        (("sink", "-40"), "sink_temperature_c", -40.0),
        (("ecc", "--uncorrected", "1"), "remap_pending", 1),
    ],
)
def test_what_is_injected_by_hand_happens(
    board: SteppedBoard, arguments: tuple[str, ...], field: str, wanted: float
) -> None:
    assert inject(board.folder, *arguments) == (0, "")
    assert getattr(board.world.gpu(0), field) == wanted


def test_an_injection_can_be_taken_back(board: SteppedBoard) -> None:
    for there, back in ((("lost",), ("restore",)), (("hang",), ("unhang",))):
        assert inject(board.folder, *there)[0] == inject(board.folder, *back)[0] == 0
    assert board.world.gpu(0).lost == board.world.nvml.state.hang == 0
    assert board.world.board.devices[0].generation == 1
    inject(board.folder, "fail", "all", "999")
    assert max(board.world.nvml.state.errors) == 999
    inject(board.folder, "fail", "all", "0")
    assert max(board.world.nvml.state.errors) == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("xid", "0"), "1<=x<=999"),
        (("--gpu", "5", "lost"), "give 0 … 1"),
        (("fail", "nvmlNothing", "1"), "no call 'nvmlNothing'"),
        (("ecc", "--place", "tape"), "dram"),
    ],
)
def test_a_wrong_injection_is_answered_with_what_is_right(
    board: SteppedBoard, arguments: tuple[str, ...], said: str
) -> None:
    status, output = inject(board.folder, *arguments)
    assert status != 0
    assert said in output


def test_the_constants_of_a_model_are_printed_with_their_sources() -> None:
    result = CliRunner().invoke(main, ["constants"])
    assert result.exit_code == 0
    assert "max_power_w                               350 W" in result.output
    assert "PB-11133" in result.output


def test_injecting_without_a_board_says_how_to_start_one(tmp_path: Path) -> None:
    status, output = inject(tmp_path, "lost")
    assert status == 1
    assert "python -m sim_hw board" in output
