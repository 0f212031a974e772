"""The table of boards: what is known, what each needs, and how a wrong name is answered."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from hal import boards
from hal.device import BoardIdentity, Device
from hal.errors import DriverMissing, UnknownBoard
from hal.identity_text import lines_of

pytestmark = pytest.mark.portable


def test_an_unknown_board_is_answered_with_the_known_ones_and_the_nearest() -> None:
    with pytest.raises(UnknownBoard, match=r"nvml, jetson, replay; did you mean 'emulated-h100'"):
        boards.row("emulated-h10")


def test_an_emulated_board_names_its_companion_and_where_its_files_are(tmp_path: Path) -> None:
    row = boards.row("emulated-h100")
    companion = row.companion(tmp_path)
    assert companion is not None
    assert companion[:4] == [sys.executable, "-m", "sim_hw", "board"]
    assert str(tmp_path / "board") in companion
    assert row.ready_file(tmp_path) == tmp_path / "board" / "ready"
    environment = row.environment(tmp_path, {"LD_LIBRARY_PATH": "/mine"})
    assert environment["LD_LIBRARY_PATH"] == f"{tmp_path}/board/lib:/mine"
    assert environment["VANALLEN_NVML_STATE"] == f"{tmp_path}/board/nvml.state"


@pytest.mark.parametrize("model", ["h100", "h100-sxm", "h200", "a100"])
def test_each_emulated_gpu_is_a_board_and_may_be_several(tmp_path: Path, model: str) -> None:
    row = boards.row(f"emulated-{model}")
    companion = row.companion(tmp_path, "saa-pass", 4)
    assert companion is not None
    assert companion[companion.index("--model") + 1] == model
    assert companion[-4:] == ["--scenario", "saa-pass", "--gpus", "4"]
    assert row.takes_gpus
    assert not boards.row("emulated-orin").takes_gpus
    assert not boards.row("nvml").takes_gpus


def test_an_emulated_jetson_names_the_root_of_its_kernel_files(tmp_path: Path) -> None:
    environment = boards.row("emulated-orin").environment(tmp_path, {})
    assert environment["VANALLEN_JETSON_ROOT"] == f"{tmp_path}/board/root"
    assert environment["VANALLEN_BOARD_STATE"] == f"{tmp_path}/board/board.state"


@pytest.mark.parametrize("name", ["nvml", "jetson"])
def test_a_real_board_needs_neither_companion_nor_environment(tmp_path: Path, name: str) -> None:
    row = boards.row(name)
    assert row.companion(tmp_path) is None
    assert row.ready_file(tmp_path) is None
    assert row.environment(tmp_path) == {}


def test_an_emulated_board_without_its_environment_says_how_to_start_it() -> None:
    with pytest.raises(DriverMissing, match="flight run --board emulated-h100"):
        boards.open_board("emulated-h100", {})


def test_a_library_that_does_not_load_is_named(tmp_path: Path) -> None:
    wrong = tmp_path / "libnvidia-ml.so.1"
    wrong.write_text("not a library")
    with pytest.raises(DriverMissing, match="does not load"):
        boards.open_board("nvml", {"VANALLEN_NVML_LIBRARY": str(wrong)})


def test_allowing_a_control_that_no_board_has_is_refused() -> None:
    with pytest.raises(ValueError, match="'self_destruct'; allow any of power_limit_w"):
        boards.open_board("nvml", {}, allow_control=frozenset({"self_destruct"}))


def test_every_row_describes_itself() -> None:
    assert all(boards.row(name).description for name in boards.names())


def test_a_board_says_in_lines_what_it_is_and_leaves_out_what_nobody_told() -> None:
    known = Device(0, "NVIDIA H100", "GPU-1", "16", "00:01:00.0", 80 << 30, 1755.0, 350.0)
    bare = Device(1, "", "", "", "", None, None, None)
    identity = BoardIdentity("nvml", "nvml", "580.1", "13.1", "13.0", (known, bare))
    assert lines_of(identity) == [
        "board nvml: driver nvml 580.1, library 13.1, CUDA 13.0",
        "gpu0: NVIDIA H100, GPU-1, serial 16, at 00:01:00.0, 80 GiB, 1755 MHz, 350 W",
        "gpu1: a GPU that does not tell its name",
    ]
    assert lines_of(BoardIdentity("x", "nvml", "", "", "", ())) == ["board x: driver nvml"]
