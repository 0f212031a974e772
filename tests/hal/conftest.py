"""Boards for the suites of `hal`: the one that was asked for, and an emulated one to play with."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hal import boards
from hal.device import CONTROLS, Board
from hal.errors import DriverMissing
from sim_hw.nvml_library import build
from tests.sim_hw.emulated import SteppedBoard

EVERY_CONTROL = frozenset(CONTROLS)


@pytest.fixture
def stepped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SteppedBoard]:
    """An emulated H100 whose clock the test moves, found by this process's NVML clients."""
    (tmp_path / "board" / "lib").mkdir(parents=True)
    (tmp_path / "board" / "lib" / build.NAME).symlink_to(build.library())
    environment = boards.row("emulated-h100").environment(tmp_path)
    for key, value in environment.items():
        monkeypatch.setenv(key, value)
    emulated = SteppedBoard(tmp_path / "board")
    yield emulated
    emulated.close()


@pytest.fixture
def emulated_board(stepped: SteppedBoard) -> Iterator[Board]:
    """The emulated H100 through its driver, every control allowed, stamped by the stepped clock."""
    opened = boards.open_board("emulated-h100", allow_control=EVERY_CONTROL, clock=stepped.clock)
    yield opened
    opened.close()


@pytest.fixture
def board(request: pytest.FixtureRequest, board_name: str) -> Iterator[Board]:
    """The board under test, read-only unless `--allow-control` or it is emulated."""
    emulated = board_name.startswith("emulated-")
    if emulated:
        request.getfixturevalue("stepped")
    allowed = emulated or request.config.getoption("--allow-control")
    try:
        opened = boards.open_board(
            board_name, os.environ, allow_control=EVERY_CONTROL if allowed else frozenset()
        )
    except DriverMissing as error:
        pytest.skip(f"no such board here: {error}")
    yield opened
    opened.close()
