"""What a Jetson costs: reading the board, looking at its alarms, a step of the emulator."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hal.jetson.board import JetsonBoard
from tests.sim_hw.support.emulated_orin import SteppedOrin


@pytest.fixture
def orin(tmp_path: Path) -> Iterator[SteppedOrin]:
    stepped = SteppedOrin(tmp_path)
    yield stepped
    stepped.close()


@pytest.fixture
def board(orin: SteppedOrin) -> JetsonBoard:
    return JetsonBoard("emulated-orin", orin.root, frozenset())


def test_reading_the_board(benchmark: Any, board: JetsonBoard) -> None:
    assert len(benchmark(board.read)) > 30


def test_looking_at_the_alarms(benchmark: Any, board: JetsonBoard) -> None:
    assert benchmark(board.faults, 0.0) == []


def test_a_step_that_publishes(benchmark: Any, orin: SteppedOrin) -> None:
    """Every file that moves is written: the dearest step there is."""
    benchmark(orin.run, 0.1)
