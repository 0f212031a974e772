"""The fault sweep: every NVML call that the driver makes, answering every error there is."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pynvml
import pytest

from hal import boards
from hal.device import CONTROLS, Board, ControlRequest
from hal.errors import BoardError
from hal.nvml import board as nvml
from hal.nvml import calls, gpus, processes
from hal.nvml import controls as nvml_controls
from hal.nvml import events as nvml_events
from hal.nvml import sensors as nvml_sensors
from hal.nvml.board import NvmlBoard
from hal.nvml.reset_ladder import Ladder
from hal.reading import Validity
from sim_hw.nvml_library import build
from tests.sim_hw.support.emulated import SteppedBoard

pytestmark = [pytest.mark.portable, pytest.mark.verifies("VA-BRD-01")]

ERRORS = (*range(1, 31), 999, 4711)
USED_BY_DRIVER = 40
_PLACES = (nvml, gpus, processes, nvml_controls, nvml_events, nvml_sensors)


@pytest.fixture
def quiet(stepped: SteppedBoard) -> Iterator[Board]:
    """The emulated H100, every control allowed; programs of the ladder do nothing."""
    boards.open_board("emulated-h100").close()  # loads the library
    yield from _opened(stepped)
    stepped.world.fail("all", 0)
    with contextlib.suppress(pynvml.NVMLError):  # where it failed to, it still has to end
        while True:
            pynvml.nvmlShutdown()


def _opened(stepped: SteppedBoard) -> Iterator[Board]:
    def run(_arguments: Sequence[str], _limit_s: float) -> str:
        return "done"

    ladder = Ladder(run, host_bus="bus")
    board = NvmlBoard("x", frozenset(CONTROLS), stepped.clock, lambda _: None, ladder)
    yield board
    board.close()


def ask_everything(board: Board, names: list[str]) -> None:
    """Use every method; whatever the hardware says, each answers in its own terms."""
    readings = board.read()
    assert [reading.name for reading in readings] == names
    for reading in readings:
        assert reading.is_valid == (reading.reason == ""), reading
        assert reading.value is not None or not reading.is_valid
    identity = board.identity()
    assert len(identity.devices) == len(board.devices()) == 1
    board.processes()
    for fault in board.faults(0.0):
        assert fault.text
    for action in CONTROLS:
        result = board.control(ControlRequest(action, 300.0))
        assert result.text
    board.faults(0.0)


@pytest.fixture(scope="module")
def used() -> list[str]:
    """The C functions behind the calls of the driver, each with its versions."""
    asked = {f"{name}{version}" for name in _asked() for version in ("", "_v2", "_v3")}
    return [name for name in build.calls() if name in asked]


def _asked() -> set[str]:
    """Names of calls that are written in the driver's files."""
    text = "".join(Path(place.__file__).read_text() for place in (*_PLACES, calls))
    return set(re.findall(r'"(nvml[A-Z]\w+?)(?:_v\d)?"', text))


def test_the_sweep_covers_every_call_that_the_driver_makes(used: list[str]) -> None:
    covered = {name.partition("_v")[0] for name in used} | {"nvmlInit"}
    assert _asked() <= covered
    assert len(covered) >= USED_BY_DRIVER


@pytest.mark.parametrize("error", ERRORS)
def test_no_error_of_any_call_rises_above_the_driver(
    stepped: SteppedBoard, quiet: Board, used: list[str], error: int
) -> None:
    names = [reading.name for reading in quiet.read()]
    for call in used:
        stepped.world.fail(call, error)
        stepped.world.xid(0, 121)
        ask_everything(quiet, names)
        stepped.world.fail(call, 0)
        recovered = [quiet.read() for _ in range(2)][-1]
        assert all(reading.is_valid for reading in recovered), call
        stepped.world.xid(0, 13)
        codes = [fault.code for _ in range(2) for fault in quiet.faults(0.0)]
        assert 13 in codes or _lost_its_watch(call), call


def _lost_its_watch(call: str) -> bool:
    """The XID came while the driver had no event set: the next one is heard."""
    return "Event" in call or call.startswith(("nvmlInit", "nvmlDeviceGetHandle"))


@pytest.mark.parametrize("error", ERRORS)
def test_a_driver_that_fails_in_every_call_gives_readings_that_say_why(
    stepped: SteppedBoard, quiet: Board, error: int
) -> None:
    names = [reading.name for reading in quiet.read()]
    stepped.world.fail("all", error)
    for _ in range(2):
        ask_everything(quiet, names)
    readings = quiet.read()
    assert not any(reading.is_valid for reading in readings)
    assert all(f"(NVML {error})" in r.reason or "upgrade" in r.reason for r in readings)
    stepped.world.fail("all", 0)
    quiet.read()
    assert all(reading.is_valid for reading in quiet.read())


@pytest.mark.parametrize("error", ERRORS)
def test_a_board_opens_with_any_call_failing_or_says_that_it_cannot(
    stepped: SteppedBoard, quiet: Board, used: list[str], error: int
) -> None:
    names = [reading.name for reading in quiet.read()]
    quiet.close()
    for call in used:
        stepped.world.fail(call, error)
        opened = _opened(stepped)
        if call.startswith(("nvmlInitWithFlags", "nvmlDeviceGetCount_v2")):
            with pytest.raises(BoardError, match=rf"\(NVML {error}\)"):
                next(opened)
        else:
            ask_everything(next(opened), names)
        stepped.world.fail(call, 0)
        opened.close()


@pytest.mark.parametrize(
    ("error", "validity"),
    [(3, Validity.UNSUPPORTED), (4, Validity.ERROR), (15, Validity.LOST), (999, Validity.ERROR)],
)
def test_a_reading_is_invalid_in_the_way_its_error_says(
    stepped: SteppedBoard, quiet: Board, error: int, validity: Validity
) -> None:
    stepped.world.fail("nvmlDeviceGetPowerUsage", error)
    (power,) = [r for r in quiet.read() if r.name == "gpu0.power_w"]
    assert (power.value, power.validity) == (None, validity)


@pytest.mark.parametrize(
    ("action", "call"),
    [
        ("power_limit_w", "nvmlDeviceSetPowerManagementLimit"),
        ("locked_clock_mhz", "nvmlDeviceSetGpuLockedClocks"),
        ("reset_clock", "nvmlDeviceResetGpuLockedClocks"),
        ("clear_ecc", "nvmlDeviceClearEccErrorCounts"),
    ],
)
@pytest.mark.parametrize("error", [2, 3, 4, 15, 24, 999])
def test_a_control_that_the_driver_refuses_is_answered_with_its_words(
    stepped: SteppedBoard, quiet: Board, action: str, call: str, error: int
) -> None:
    stepped.world.fail(call, error)
    result = quiet.control(ControlRequest(action, 300.0))
    assert (result.done, result.value) == (False, None)
    assert f"(NVML {error})" in result.text
