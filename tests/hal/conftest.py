"""Boards for the suites of `hal`: the one that was asked for, and an emulated one to play with."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hal import boards
from hal.device import CONTROLS, Board
from hal.errors import DriverMissing
from sim_hw.nvml_library import build
from tests.sim_hw.support.emulated import SteppedBoard
from tests.sim_hw.support.emulated_orin import SteppedOrin

EVERY_CONTROL = frozenset(CONTROLS)
EMULATED = ("emulated-h100", "emulated-orin")
VARIANTS = ("emulated-h100-sxm", "emulated-h200", "emulated-a100", "emulated-h100 x4")
"""The emulated H100 with other figures, or more of them."""
GOLDEN = Path(__file__).parent.parent / "golden" / "emulated-h100.trace.jsonl.gz"
"""Recorded with `python -m hal record --board emulated-h100`, while errors were injected."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """What takes `board` runs on every emulated board, or on the one that was named.

    A recorded board can be read and not controlled.
    """
    if "conforming" in metafunc.fixturenames:
        named: str | None = metafunc.config.getoption("--board")
        is_control = metafunc.definition.get_closest_marker("control") is not None
        ours = (*EMULATED, *VARIANTS) if is_control else (*EMULATED, *VARIANTS, "replay")
        metafunc.parametrize("conforming", [named] if named else ours, scope="session")


@contextmanager
def nvml_board(
    folder: Path, monkeypatch: pytest.MonkeyPatch, model: str = "h100", gpus: int = 1
) -> Iterator[SteppedBoard]:
    """An emulated board whose clock the test moves, found by this process's NVML clients."""
    (folder / "board" / "lib").mkdir(parents=True)
    (folder / "board" / "lib" / build.NAME).symlink_to(build.library())
    for key, value in boards.row(f"emulated-{model}").environment(folder).items():
        monkeypatch.setenv(key, value)
    emulated = SteppedBoard(folder / "board", gpus, model=model)
    try:
        yield emulated
    finally:
        emulated.close()


@pytest.fixture
def stepped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SteppedBoard]:
    """An emulated H100."""
    with nvml_board(tmp_path, monkeypatch) as emulated:
        yield emulated


@pytest.fixture
def variant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, conforming: str
) -> Iterator[SteppedBoard]:
    """One of `VARIANTS`."""
    name, _, gpus = conforming.partition(" x")
    model = name.removeprefix("emulated-")
    with nvml_board(tmp_path, monkeypatch, model, int(gpus or 1)) as emulated:
        yield emulated


@pytest.fixture
def emulated_board(stepped: SteppedBoard) -> Iterator[Board]:
    """The emulated H100 through its driver, every control allowed, stamped by the stepped clock."""
    opened = boards.open_board("emulated-h100", allow_control=EVERY_CONTROL, clock=stepped.clock)
    yield opened
    opened.close()


@pytest.fixture
def orin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SteppedOrin]:
    """An emulated Orin whose clock the test moves, found by this process's drivers."""
    (tmp_path / "board").mkdir()
    for key, value in boards.row("emulated-orin").environment(tmp_path).items():
        monkeypatch.setenv(key, value)
    emulated = SteppedOrin(tmp_path / "board")
    yield emulated
    emulated.close()


@pytest.fixture
def jetson(orin: SteppedOrin) -> Iterator[Board]:
    """The emulated Orin through its driver, every control allowed, stamped by the stepped clock.

    Whoever waits moves that clock.
    """
    opened = boards.open_board(
        "emulated-orin", allow_control=EVERY_CONTROL, clock=orin.clock, wait=orin.run
    )
    yield opened
    opened.close()


@pytest.fixture
def golden(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The golden trace, as the one to replay."""
    monkeypatch.setenv("VANALLEN_TRACE", str(GOLDEN))
    return GOLDEN


@pytest.fixture
def board(request: pytest.FixtureRequest, conforming: str) -> Iterator[Board]:
    """The board under test, read-only unless `--allow-control` or it is emulated."""
    known = {"emulated-h100": "stepped", "emulated-orin": "orin", "replay": "golden"}
    ours = known.get(conforming) or ("variant" if conforming in VARIANTS else None)
    if ours:
        request.getfixturevalue(ours)
    allowed = ours is not None or request.config.getoption("--allow-control")
    try:
        opened = boards.open_board(
            conforming.partition(" ")[0],
            os.environ,
            allow_control=EVERY_CONTROL if allowed else frozenset(),
        )
    except DriverMissing as error:
        pytest.skip(f"no such board here: {error}")
    yield opened
    opened.close()
