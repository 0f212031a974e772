"""Recovery of the emulated board: what an action reaches, how long it takes, what it cures."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from sim_hw.__main__ import main
from sim_hw.nvml.reset_effects import RecoveryProfile
from sim_hw.nvml.xid import Cure
from tests.sim_hw.nvml.test_board import Companion
from tests.sim_hw.support.emulated import SteppedBoard

pytestmark = pytest.mark.verifies("VA-SIM-03")

ACTIONS = [action for action in Cure if action is not Cure.NONE]


@pytest.fixture
def board(tmp_path: Path) -> Iterator[SteppedBoard]:
    stepped = SteppedBoard(tmp_path, gpus=2)
    yield stepped
    stepped.close()


def act(board: SteppedBoard, action: Cure, gpu: int = 0) -> float:
    """Ask for an action and let time go by; how long it took."""
    ticket, start_ns = board.world.ask(gpu, action), board.now_ns
    while not board.world.has_ended(gpu, ticket):
        assert board.now_ns - start_ns < 100e9
        board.run(0.05)
    return (board.now_ns - start_ns) / 1e9


@pytest.mark.parametrize("action", ACTIONS)
def test_an_action_takes_its_time_within_what_the_mission_allows(
    board: SteppedBoard, action: Cure
) -> None:
    took_s = act(board, action)
    assert took_s == pytest.approx(RecoveryProfile().duration_s(action), abs=0.15)
    assert took_s <= {Cure.GPU_RESET: 10.0, Cure.RAIL_POWER_CYCLE: 60.0}.get(action, 60.0)


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("needed", ACTIONS)
@pytest.mark.verifies("VA-SIM-08")
def test_an_action_helps_when_it_is_strong_enough(
    board: SteppedBoard, action: Cure, needed: Cure
) -> None:
    board.world.stick(0, needed)
    act(board, action)
    gpu = board.world.gpu(0)
    helped = action >= needed
    assert (gpu.action_failed, gpu.lost, gpu.cure) == (
        (0, 0, Cure.NONE) if helped else (1, 1, needed)
    )


def test_a_reset_reaches_one_gpu_and_a_reload_the_whole_board(board: SteppedBoard) -> None:
    rows = board.world.board.devices
    act(board, Cure.GPU_RESET, gpu=1)
    assert [row.generation for row in rows] == [0, 1]
    act(board, Cure.DRIVER_RELOAD)
    assert [row.generation for row in rows] == [1, 2]


def test_while_the_driver_is_reloaded_it_answers_nobody_and_then_counts_energy_from_zero(
    board: SteppedBoard,
) -> None:
    board.run(30.0)
    board.world.ask(0, Cure.DRIVER_RELOAD)
    board.run(1.0)
    assert not board.world.nvml.state.driver_loaded
    assert all(row.lost for row in board.world.board.devices)
    board.run(8.0)
    assert board.world.nvml.state.driver_loaded
    assert board.world.gpu(1).energy_mj < 200_000


def test_a_reset_clears_what_is_volatile_and_makes_new_modes_current(board: SteppedBoard) -> None:
    world, gpu = board.world, board.world.gpu(0)
    world.ecc(0, corrected=4, uncorrected=1)
    world.pcie(0, replays=2, lcrc=3)
    gpu.ecc_pending, gpu.mig_pending = 0, 1
    before = world.nvml.state.event_head
    act(board, Cure.GPU_RESET)
    assert (gpu.corrected.volatile_count[2], gpu.corrected.aggregate_count[2]) == (0, 4)
    assert (gpu.pcie_errors[9], gpu.pcie_replays) == (0, 2)
    assert (gpu.ecc_current, gpu.mig_current, gpu.remap_pending) == (0, 1, 0)
    assert world.nvml.state.events[before].kind == 0x100


def call(board: SteppedBoard, name: str, *words: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["tool", "--dir", str(board.folder), name, "--", *words])
    return result.exit_code, result.output.strip()


def test_nvidia_smi_refuses_as_the_real_one_does(board: SteppedBoard) -> None:
    reset = ("nvidia-smi", "--gpu-reset", "-i")
    assert call(board, *reset, "7") == (6, "No devices were found: 7")
    row = board.world.board.claim(0, os.getpid())
    status, text = call(board, *reset, "00000000:01:00.0")
    assert (status, "in use by another process" in text) == (19, True)
    board.world.board.release(row)
    board.world.lose(0)
    assert call(board, *reset, "0") == (15, "Unable to reset GPU 00000000:01:00.0: GPU is lost.")
    board.world.load_driver(False)
    assert call(board, *reset, "0")[0] == 9
    assert call(board, "nvidia-smi", "-q")[0] == 2


def test_a_driver_in_use_is_not_unloaded(board: SteppedBoard) -> None:
    row = board.world.board.claim(1, os.getpid())
    assert call(board, "modprobe", "-r", "nvidia") == (
        1,
        "modprobe: FATAL: Module nvidia is in use.",
    )
    board.world.board.release(row)
    assert call(board, "modprobe", "-r", "nvidia") == (0, "")
    assert not board.world.nvml.state.driver_loaded
    assert call(board, "modprobe", "coffee") == (1, "modprobe: FATAL: Module coffee not found.")


def test_the_host_bus_says_what_it_knows(board: SteppedBoard) -> None:
    status, text = call(board, "host-bus", "make-tea")
    assert (status, "power-cycle" in text) == (2, True)


def test_a_tool_of_a_board_that_is_gone_says_how_to_start_one(tmp_path: Path) -> None:
    words = ["tool", "--dir", str(tmp_path), "host-bus", "power-cycle"]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 1
    assert "python -m sim_hw board" in result.output


def inject(board: SteppedBoard, *words: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["inject", "--dir", str(board.folder), *words])
    return result.exit_code, result.output


def test_what_goes_wrong_by_hand_is_told_by_status(board: SteppedBoard) -> None:
    for words in (
        ("xid", "13", "--count", "5"),
        ("stick", "driver-reload"),
        ("pcie", "lane", "3"),
        ("pcie", "replays"),
        ("ecc", "--uncorrected", "1", "--bank", "3", "--containment", "contained"),
    ):
        assert inject(board, *words) == (0, "")
    gpu = board.world.gpu(0)
    assert (gpu.pcie_errors[10], gpu.pcie_replays, gpu.bank_used[3]) == (3, 1, 1)
    status, told = inject(board, "status")
    assert status == 0
    assert "cure             driver_reload" in told
    assert "remap pending    1" in told
    assert "events posted    11" in told


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("ecc", "--uncorrected", "1", "--bank", "640"), "give 0 … 639"),
        (("pcie", "coffee"), "lcrc"),
        (("stick", "prayer"), "gpu-reset"),
    ],
)
def test_a_wrong_injection_is_refused_with_what_is_right(
    board: SteppedBoard, words: tuple[str, ...], said: str
) -> None:
    status, told = inject(board, *words)
    assert status != 0
    assert said in told


def test_pages_are_retired_only_by_a_board_without_row_remapping(board: SteppedBoard) -> None:
    with pytest.raises(ValueError, match="remaps rows"):
        board.world.retire_page(0, 0x1000, True)
    gpu = board.world.gpu(0)
    gpu.retires_pages = 1
    for page in range(65):
        board.world.retire_page(0, page << 12, is_double_bit=page % 2 == 0)
    assert (gpu.retired_count, gpu.retired_pending, gpu.remap_failed) == (64, 1, 1)
    board.world.ecc(0, 0, 1)
    assert gpu.remapped_uncorrectable == 0


def test_programs_recover_a_board_that_runs_by_itself(tmp_path: Path) -> None:
    """The same programs that the driver runs, on a companion with a clock of its own."""
    companion = Companion(tmp_path / "board", "--recovery-scale", "0.01", "--gpus", "2")
    try:
        programs = companion.folder / "bin"

        def run(name: str, *words: str) -> tuple[int, str]:
            done = subprocess.run(
                [programs / name, *words], capture_output=True, text=True, check=False, timeout=30
            )
            return done.returncode, done.stdout.strip()

        status, text = run("nvidia-smi", "--gpu-reset", "-i", "1")
        assert (status, text.splitlines()[0]) == (
            0,
            "GPU 00000000:02:00.0 was successfully reset.",
        )
        assert CliRunner().invoke(
            main, ["inject", "--dir", str(companion.folder), "stick", "driver-reload"]
        ).exit_code == 0  # fmt: skip
        assert run("nvidia-smi", "--gpu-reset", "-i", "0")[0] == 255
        assert run("modprobe", "-r", "nvidia") == run("modprobe", "nvidia") == (0, "")
        assert run("host-bus", "power-cycle") == (0, "payload rail cycled")
    finally:
        companion.close()
