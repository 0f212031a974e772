"""Recording a board and playing it back: what was read comes again, at its pace, and ends stale."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from hal import boards
from hal.__main__ import main
from hal.compute.host import HostDevice
from hal.device import Board, ControlRequest, FaultKind
from hal.errors import DriverMissing, WrongTrace
from hal.reading import Reading, Validity
from hal.recording import trace
from hal.recording.load import work
from hal.recording.recorder import Phase, record
from hal.recording.replay import ReplayBoard
from hal.recording.trace import Trace
from icd.board_state import mark_running
from tests.hal.conftest import GOLDEN
from tests.sim_hw.support.emulated import SteppedBoard

pytestmark = [pytest.mark.portable, pytest.mark.verifies("VA-BRD-03")]


class Player:
    """A replay whose clock the test moves."""

    def __init__(self, recorded: Trace, is_repeated: bool = False) -> None:
        self.now_ns = 10**18
        self.board = ReplayBoard("replay", recorded, lambda: self.now_ns, self.wait, is_repeated)

    def wait(self, seconds: float) -> None:
        self.now_ns += round(seconds * 1e9)

    def at(self, time_us: int) -> list[Reading]:
        self.now_ns = 10**18 + 1000 * time_us
        return self.board.read()

    def value(self, name: str) -> float | None:
        (value,) = (r.value for r in self.board.read() if r.name == f"gpu0.{name}")
        return value


@pytest.fixture
def recorded(stepped: SteppedBoard, emulated_board: Board) -> Trace:
    """Two seconds of idleness and two of load on the stepped H100, with an error in between."""

    @contextlib.contextmanager
    def load(phase: str) -> Iterator[None]:
        if phase == "idle":
            yield
            return
        row = stepped.world.board.claim(0, os.getpid())
        mark_running(row, stepped.now_ns)
        stepped.world.ecc(0, 1, 0)
        yield
        stepped.world.board.release(row)

    phases = [Phase("idle", 2.0), Phase("compute", 2.0)]
    return record(emulated_board, phases, 10.0, load, stepped.clock, stepped.sleep)


def test_a_recording_holds_every_reading_at_its_rate_through_its_phases(recorded: Trace) -> None:
    assert len(recorded.samples) == 40
    assert [s.time_us for s in recorded.samples[:3]] == [0, 100_000, 200_000]
    assert [s.phase for s in recorded.samples[::20]] == ["idle", "compute"]
    assert recorded.identity.devices[0].name == "NVIDIA H100 PCIe"
    assert max(recorded.values("gpu0.power_w", "idle")) < 55.0
    assert max(recorded.values("gpu0.power_w", "compute")) > 340.0
    faults = [fault for sample in recorded.samples for fault in sample.faults]
    assert [fault.kind for fault in faults] == [FaultKind.ECC_CORRECTED]


def test_a_trace_comes_back_from_its_file_as_it_was(recorded: Trace, tmp_path: Path) -> None:
    path = tmp_path / "trace"
    trace.write(path, recorded)
    again = trace.read(path)
    assert again.identity == recorded.identity
    for one, other in zip(again.samples, recorded.samples, strict=True):
        values = [(r.name, r.value, r.unit, r.validity, r.reason) for r in one.readings]
        assert values == [(r.name, r.value, r.unit, r.validity, r.reason) for r in other.readings]
        assert (one.time_us, one.phase, one.processes) == (
            other.time_us,
            other.phase,
            other.processes,
        )
    before = path.read_bytes()
    trace.write(path, again)
    assert path.read_bytes() == before


@pytest.mark.verifies("VA-BRD-08")
def test_a_replay_says_at_each_time_what_the_board_said(recorded: Trace) -> None:
    player = Player(recorded)
    for sample in recorded.samples:
        found = player.at(sample.time_us + 1)
        assert [r.value for r in found] == [r.value for r in sample.readings]
        assert {r.time_ns for r in found} == {player.now_ns}
        assert player.board.processes() == list(sample.processes)


def test_a_replay_tells_each_fault_once_at_its_time(recorded: Trace) -> None:
    player = Player(recorded)
    assert player.board.faults(1.0) == []
    (fault,) = player.board.faults(5.0)
    assert fault.kind is FaultKind.ECC_CORRECTED
    assert (player.now_ns - 10**18) / 1e9 == pytest.approx(2.0, abs=0.06)
    assert player.board.faults(9.0) == []


def test_after_its_end_a_replay_is_stale_and_keeps_what_was_last(recorded: Trace) -> None:
    player = Player(recorded)
    found = player.at(recorded.duration_us + 200_000)
    assert {r.validity for r in found} == {Validity.STALE}
    assert found[0].value == recorded.samples[-1].readings[0].value
    assert found[0].reason == "the trace ended after 4 s"


def test_a_repeated_replay_starts_over_and_tells_its_faults_again(recorded: Trace) -> None:
    player = Player(recorded, is_repeated=True)
    first = [r.value for r in player.at(0)]
    assert [r.value for r in player.at(4_000_000)] == first
    player.at(8_000_000)
    assert len(player.board.faults(0.0)) == 2


def test_what_was_lost_when_it_was_recorded_is_lost_when_it_is_played(
    stepped: SteppedBoard, emulated_board: Board
) -> None:
    stepped.world.lose(0)
    made = record(
        emulated_board,
        [Phase("idle", 0.3)],
        10.0,
        lambda _: contextlib.nullcontext(),
        stepped.clock,
        stepped.sleep,
    )
    player = Player(made)
    assert {r.validity for r in player.board.read()} == {Validity.LOST}
    assert all(r.value is None and "lost" in r.reason for r in player.at(10**7))
    assert player.board.faults(0.0)[0].code == 79


def test_a_recorded_board_cannot_be_changed(recorded: Trace) -> None:
    result = Player(recorded).board.control(ControlRequest("power_limit_w", 300.0))
    assert (result.done, result.text) == (False, "a recorded board cannot be changed")


@pytest.mark.usefixtures("golden")
def test_the_golden_trace_plays_idle_computing_and_moving_memory() -> None:
    recorded = trace.read(GOLDEN)
    assert recorded.rate_hz == 10.0
    means = {}
    for phase in ("idle", "compute", "memory"):
        power = recorded.values("gpu0.power_w", phase)
        assert len(power) >= 40
        means[phase] = sum(power) / len(power)
    assert means["idle"] < 60.0 < 150.0 < means["compute"]
    assert max(recorded.values("gpu0.temperature_c")) > recorded.values("gpu0.temperature_c")[0]
    codes = {fault.code for sample in recorded.samples for fault in sample.faults}
    assert codes == {0x1, 0x400, 63}
    player = Player(recorded)
    assert len(player.at(5_500_000)) == len(recorded.samples[0].readings)
    boards.open_board("replay").close()


def test_without_a_trace_the_replay_board_says_how_to_record_one() -> None:
    with pytest.raises(DriverMissing, match="python -m hal record"):
        boards.open_board("replay", {})


def lines(*rows: object) -> bytes:
    return gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode(), mtime=0)


HEADING = json.loads(gzip.decompress(GOLDEN.read_bytes()).splitlines()[0])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"not gzip", "Not a gzipped file"),
        (gzip.compress(b"x" * 99, mtime=0)[:-9], "damaged"),
        (gzip.compress(b"\xff", mtime=0), "damaged"),
        (gzip.compress(b"", mtime=0), "line 1"),
        (lines([1]), "line 1"),
        (lines({**HEADING, "trace": 99}), "version 99; this reads 1"),
        (lines(HEADING), "holds no sample"),
        (lines(HEADING, {"t": 0, "phase": "idle", "v": [1.0]}), "line 2"),
        (lines(HEADING, "sample"), "line 2"),
    ],
)
def test_a_file_that_is_no_trace_is_refused_with_the_line(
    tmp_path: Path, content: bytes, said: str
) -> None:
    path = tmp_path / "trace"
    path.write_bytes(content)
    with pytest.raises(WrongTrace, match=said):
        boards.open_board("replay", {"VANALLEN_TRACE": str(path)})


def test_a_trace_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(WrongTrace, match="No such file"):
        trace.read(tmp_path / "none")


@pytest.mark.parametrize("phase", ["compute", "memory"])
def test_a_load_runs_until_it_is_told_to_end(monkeypatch: pytest.MonkeyPatch, phase: str) -> None:
    monkeypatch.setattr("hal.recording.load._LENGTH", {"host": 64})
    monkeypatch.setattr("hal.recording.load._SIDE", {"host": 8})
    turns = iter([False, False, False, True])
    with HostDevice() as device:
        assert work(device, phase, lambda: next(turns)) == 3


def test_a_load_of_no_known_kind_is_refused() -> None:
    with HostDevice() as device, pytest.raises(ValueError, match="give compute or memory"):
        work(device, "dance", lambda: True)


def test_a_board_is_recorded_by_hand_and_compared_with_itself(
    stepped: SteppedBoard, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    words = ["record", "--board", "emulated-h100", "--run", str(stepped.folder.parent)]
    words += ["--seconds", "0.3", "--phases", "idle,compute", "--compute", "host"]
    made = CliRunner().invoke(main, [*words, "--out", str(out)])
    assert made.exit_code == 0, made.output
    assert "6 samples" in made.output or "5 samples" in made.output
    compared = CliRunner().invoke(main, ["compare", str(out), str(out)])
    assert "power_w                0.000" in compared.output


def test_a_wrong_recording_is_answered_with_what_is_right(tmp_path: Path) -> None:
    for words, said in (
        (["--phases", "sleep"], "give any of idle, compute, memory"),
        (["--board", "emulated-h10"], "did you mean 'emulated-h100'"),
    ):
        result = CliRunner().invoke(main, ["record", *words, "--out", str(tmp_path / "x")])
        assert result.exit_code == 1
        assert said in result.output
