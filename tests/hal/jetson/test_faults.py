"""Nothing that happens to a kernel file raises above the Jetson driver: the reading says why."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from hal.device import Board, Fault, FaultKind
from hal.jetson.board import JetsonBoard
from hal.jetson.faults import JetsonFault
from hal.reading import Reading, Validity
from tests.sim_hw.support.emulated_orin import SteppedOrin
from tests.sim_hw.support.jetson_trees import ALL, plant

pytestmark = [pytest.mark.portable, pytest.mark.verifies("VA-BRD-01")]

GARBAGE = ("", "\n", "n/a\n", "\0\0\0", "1e999\n", "12 34\n", "\x80\xff", "9" * 400)


def files_of(root: Path) -> list[Path]:
    """Every file of a tree once, where it really is."""
    return sorted(path for path in root.rglob("*") if path.is_file() and not path.is_symlink())


def broken_ways() -> list[tuple[str, Callable[[Path], None]]]:
    ways: list[tuple[str, Callable[[Path], None]]] = [("vanished", Path.unlink)]
    for text in GARBAGE:
        octets = text.encode("latin-1")
        ways.append((repr(text[:8]), partial(_replace, octets)))
    ways.append(("a folder", _become_folder))
    return ways


def _replace(octets: bytes, path: Path) -> None:
    path.write_bytes(octets)


def _become_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def mended(path: Path, octets: bytes, mode: int) -> None:
    if path.is_dir():
        path.rmdir()
    path.write_bytes(octets)
    path.chmod(mode)


def told(readings: list[Reading]) -> list[Reading]:
    """The readings, each checked to be whole: a value or a reason, never neither."""
    for reading in readings:
        assert (reading.value is not None) or reading.reason, reading.name
        assert reading.is_valid == (reading.reason == ""), reading.name
    return readings


def everything(board: Board) -> list[Reading]:
    """Call whatever reads; what comes back is checked, and nothing may raise."""
    board.identity()
    assert all(use.pid > 0 for use in board.processes())
    assert all(isinstance(fault, Fault) for fault in board.faults(0.0))
    return told(board.read())


@pytest.mark.parametrize("way", broken_ways(), ids=lambda way: way[0])
@pytest.mark.verifies("VA-BRD-09")
def test_every_file_broken_in_every_way_gives_readings_and_raises_nothing(
    orin: SteppedOrin, jetson: Board, way: tuple[str, Callable[[Path], None]]
) -> None:
    names = [reading.name for reading in jetson.read()]
    valid = {reading.name for reading in jetson.read() if reading.is_valid}
    hit: set[str] = set()
    for path in files_of(orin.root):
        before, mode = path.read_bytes(), path.stat().st_mode
        way[1](path)
        found = everything(jetson)
        assert [reading.name for reading in found] == names, path
        hit |= valid - {reading.name for reading in found if reading.is_valid}
        mended(path, before, mode)
    assert {reading.name for reading in jetson.read() if reading.is_valid} == valid
    if way[0] in ("vanished", "'n/a\\n'", "a folder"):
        assert "gpu0.power_w" in hit
        assert "gpu0.temperature_c" in hit
        assert "gpu0.clock_sm_mhz" in hit


@pytest.mark.native("starts hundreds of programs: minutes under QEMU; what it reads is text")
@pytest.mark.parametrize("way", broken_ways()[::4], ids=lambda way: way[0])
def test_a_board_opened_on_a_broken_tree_opens_or_says_that_it_is_no_jetson(
    orin: SteppedOrin, way: tuple[str, Callable[[Path], None]]
) -> None:
    for path in files_of(orin.root):
        if path.name in ("model", "compatible"):
            continue
        before, mode = path.read_bytes(), path.stat().st_mode
        way[1](path)
        board = JetsonBoard("jetson", orin.root, frozenset(), clock=orin.clock, wait=orin.run)
        everything(board)
        board.close()
        mended(path, before, mode)


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, int], None]]:
    """Lets files whose path ends so answer an errno, whoever the user is."""
    endings: dict[str, int] = {}
    really = os.open

    def fail(path: Any, *arguments: Any, **named: Any) -> int:
        for ending, code in endings.items():
            if str(path).endswith(ending):
                raise OSError(code, os.strerror(code), path)
        return really(path, *arguments, **named)

    monkeypatch.setattr(os, "open", fail)
    yield lambda ending, code: endings.update({ending: code})
    endings.clear()


@pytest.mark.parametrize(
    ("code", "validity"),
    [
        (errno.EACCES, Validity.ERROR),
        (errno.EPERM, Validity.ERROR),
        (errno.EIO, Validity.ERROR),
        (errno.ETIMEDOUT, Validity.ERROR),
        (errno.ENOENT, Validity.ERROR),
        (errno.EINVAL, Validity.ERROR),
        (errno.EAGAIN, Validity.UNSUPPORTED),
        (errno.ENODATA, Validity.UNSUPPORTED),
        (errno.ENODEV, Validity.UNSUPPORTED),
        (9999, Validity.ERROR),
    ],
)
def test_what_the_kernel_answers_is_told_in_the_reading(
    jetson: Board, failing: Callable[[str, int], None], code: int, validity: Validity
) -> None:
    failing("thermal_zone1/temp", code)
    found = {reading.name: reading for reading in everything(jetson)}["gpu0.temperature_c"]
    assert found.validity is validity
    assert "thermal_zone1/temp" in found.reason


def test_a_file_that_is_closed_to_this_user_says_so(
    jetson: Board, failing: Callable[[str, int], None]
) -> None:
    failing("emc/rate", errno.EACCES)
    found = {reading.name: reading for reading in jetson.read()}["gpu0.clock_memory_mhz"]
    assert "closed to this user" in found.reason


def test_every_file_refused_at_once_leaves_a_board_that_still_answers(
    jetson: Board, failing: Callable[[str, int], None]
) -> None:
    failing("", errno.EIO)
    assert not [reading for reading in everything(jetson) if reading.is_valid]


@pytest.mark.parametrize("name", ALL)
def test_files_that_vanish_from_any_module_raise_nothing(tmp_path: Path, name: str) -> None:
    board = JetsonBoard("jetson", plant(tmp_path, ALL[name]), frozenset(), wait=lambda _: None)
    for path in files_of(tmp_path):
        path.unlink()
        everything(board)


def codes(faults: list[Fault]) -> list[int]:
    return [fault.code for fault in faults]


def test_an_over_current_alarm_is_told_once_and_again_when_it_comes_again(
    orin: SteppedOrin, jetson: Board
) -> None:
    assert jetson.faults(0.0) == []
    orin.world.over_current("VDD_GPU_SOC", "critical")
    orin.run(0.2)
    faults = jetson.faults(0.0)
    assert codes(faults) == [
        JetsonFault.OVER_CURRENT_WARNING,
        JetsonFault.OVER_CURRENT_CRITICAL,
        JetsonFault.OVER_CURRENT_THROTTLE,
    ]
    assert "VDD_GPU_SOC" in faults[0].text
    assert jetson.faults(0.0) == []
    assert _value(jetson, "throttle_reasons") == 0x81
    orin.world.over_current("VDD_GPU_SOC", None)
    orin.run(0.2)
    assert jetson.faults(0.0) == []
    orin.world.over_current("VDD_GPU_SOC", "warning")
    orin.run(0.2)
    assert JetsonFault.OVER_CURRENT_WARNING in codes(jetson.faults(0.0))


def test_heat_is_told_when_it_slows_the_module_and_when_it_passes_a_trip(
    orin: SteppedOrin, jetson: Board
) -> None:
    orin.world.temperature(92.0)
    orin.run(1.0)
    assert JetsonFault.THERMAL_THROTTLE in codes(jetson.faults(0.0))
    assert int(_value(jetson, "throttle_reasons") or 0) & 0x20
    orin.world.temperature(95.5)
    orin.run(0.3)
    found = jetson.faults(0.0)
    assert JetsonFault.THERMAL_HOT in codes(found)
    assert any("hot trip, 103.0 °C" in fault.text for fault in found)
    assert int(_value(jetson, "throttle_reasons") or 0) & 0x48 == 0x48


def test_memory_errors_are_counted_and_told_with_their_place(
    orin: SteppedOrin, jetson: Board
) -> None:
    orin.world.ecc(3, 1)
    orin.run(0.2)
    faults = jetson.faults(0.0)
    assert [(fault.kind, fault.code) for fault in faults] == [
        (FaultKind.ECC_CORRECTED, JetsonFault.MEMORY_CORRECTED),
        (FaultKind.ECC_UNCORRECTED, JetsonFault.MEMORY_UNCORRECTED),
    ]
    assert "3 corrected memory error(s) in mc/mc0" in faults[0].text
    assert _value(jetson, "ecc_corrected_volatile") == 3.0
    assert _value(jetson, "ecc_uncorrected_volatile") == 1.0
    assert jetson.faults(0.0) == []


def test_a_module_without_power_is_lost_told_once_and_read_again_when_it_is_back(
    orin: SteppedOrin, jetson: Board
) -> None:
    orin.world.power(False)
    orin.run(0.1)
    assert {reading.validity for reading in jetson.read()} == {Validity.LOST}
    assert [fault.kind for fault in jetson.faults(0.0)] == [FaultKind.LOST]
    assert jetson.faults(0.0) == []
    orin.world.power(True)
    orin.run(0.2)
    assert _value(jetson, "power_w") == pytest.approx(8.0, abs=0.5)
    orin.world.power(False)
    orin.run(0.1)
    assert [fault.kind for fault in jetson.faults(0.0)] == [FaultKind.LOST]


def test_waiting_for_faults_ends_when_one_comes_and_at_the_end_of_the_time(
    orin: SteppedOrin, jetson: Board
) -> None:
    started_ns = orin.now_ns
    assert jetson.faults(0.5) == []
    assert 0.4e9 <= orin.now_ns - started_ns <= 0.7e9
    orin.world.ecc(1, 0)
    assert codes(jetson.faults(60.0)) == [JetsonFault.MEMORY_CORRECTED]
    assert orin.now_ns - started_ns < 5e9


def _value(board: Board, name: str) -> float | None:
    return {reading.name: reading.value for reading in board.read()}[f"gpu0.{name}"]
