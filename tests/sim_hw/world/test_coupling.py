"""A scenario beside an emulated board: each is told what the other did, and faults arrive."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sim_hw import orin_inject
from sim_hw.world import coupling, records, scenario
from sim_hw.world.coupling import AWAY_S, DOORS, Coupling
from sim_hw.world.settings import SettingsError
from tests.sim_hw.emulated import SteppedBoard, wait_until
from tests.sim_hw.emulated_orin import SteppedOrin

QUIET = """
name = "quiet"
start = "2026-03-20T00:00:00Z"
duration = "10 min"
log_period = "1 s"
[particles]
cosmic_rays = 0.0
"""
BOARDS: dict[str, Callable[[Path], SteppedBoard | SteppedOrin]] = {
    "h100": SteppedBoard,
    "orin": SteppedOrin,
}


class Flight:
    """A stepped board and the world around it, on one clock."""

    def __init__(self, folder: Path, model: str, more: str) -> None:
        self.folder = folder
        path = folder / "flight.toml"
        path.write_text(f'{QUIET}{more}\n[board]\nmodel = "{model}"\n')
        self.what = coupling.load(str(path), model)
        self.board = BOARDS[model](folder)
        self.door = DOORS[model](folder)
        self.world = Coupling(self.what, folder, self.board.emulated, self.door)
        self.world.tick(self.board.now_ns)

    def run(self, seconds: int) -> None:
        for _ in range(seconds):
            self.board.run(1.0)
            self.world.tick(self.board.now_ns)

    def is_on(self) -> bool:
        return self.door.is_on

    def log(self, kind: str) -> list[dict[str, Any]]:
        return [one for one in records.read(self.folder / records.NAME) if one["type"] == kind]


@contextmanager
def flown(folder: Path, model: str, more: str = "") -> Iterator[Flight]:
    flight = Flight(folder, model, more)
    try:
        yield flight
    finally:
        flight.world.close()
        flight.board.close()


def fault(at_s: int, event: str, xid: int | None = None) -> str:
    code = "" if xid is None else f"xid = {xid}\n"
    return f'[[fault]]\nat = "{at_s} s"\nevent = "{event}"\n{code}'


@pytest.mark.parametrize(("model", "idle_w"), [("h100", 50.0), ("orin", 8.0)])
def test_the_world_takes_the_power_that_the_board_drew(
    tmp_path: Path, model: str, idle_w: float
) -> None:
    with flown(tmp_path, model) as flight:
        flight.run(5)
        states = flight.log("state")
    assert [state["t"] for state in states] == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert all(state["power_w"] == pytest.approx(idle_w, abs=0.5) for state in states)
    assert all(state["load"] == 0.0 for state in states)


def test_the_radiator_of_an_h100_sees_what_the_scenario_says(tmp_path: Path) -> None:
    with flown(tmp_path, "h100") as flight:
        flight.run(2)
        assert isinstance(flight.board, SteppedBoard)
        sink_c = flight.board.world.gpu(0).sink_temperature_c
        assert sink_c == pytest.approx(flight.log("state")[-1]["sink_c"], abs=0.01)


def test_the_radiator_of_an_orin_sees_what_the_scenario_says(tmp_path: Path) -> None:
    with flown(tmp_path, "orin") as flight:
        flight.run(2)
        assert orin_inject.load(tmp_path).sink_c == flight.log("state")[-1]["sink_c"]


def test_a_fault_strikes_the_board_and_is_in_the_log(tmp_path: Path) -> None:
    with flown(tmp_path, "h100", fault(2, "gpu_interrupt", 79)) as flight:
        assert isinstance(flight.board, SteppedBoard)
        gpu = flight.board.world.gpu(0)
        flight.run(2)
        assert not gpu.lost
        flight.run(1)
        assert gpu.lost
        (struck,) = flight.log("fault")
        del gpu
    assert (struck["t"], struck["xids"], struck["scripted"]) == (2.0, [79], True)


@pytest.mark.parametrize("model", sorted(BOARDS))
def test_a_latched_board_is_without_power_for_a_while(tmp_path: Path, model: str) -> None:
    with flown(tmp_path, model, fault(1, "latch_up")) as flight:
        flight.run(1)
        assert flight.is_on()
        flight.run(2)
        assert not flight.is_on()
        flight.run(round(AWAY_S))
        assert flight.is_on()
        powers = [state["power_w"] for state in flight.log("state")]
    assert powers[1] > 0.0
    assert set(powers[2 : 2 + round(AWAY_S)]) == {0.0}


@pytest.mark.parametrize("model", sorted(BOARDS))
def test_an_empty_battery_takes_the_rail_until_it_is_charged(tmp_path: Path, model: str) -> None:
    small = '[power]\nbattery = "1 Wh"\ninitial = 0.0\nbus = "10 W"\n'
    with flown(tmp_path, model, small) as flight:
        flight.run(1)
        assert not flight.is_on()
        flight.run(6)
        assert flight.is_on()
        events = [event["event"] for event in flight.log("event")]
    assert events == ["payload shed, battery low", "payload restored"]


def test_an_earlier_log_is_kept_and_every_log_ends_with_its_summary(tmp_path: Path) -> None:
    for _ in range(3):
        with flown(tmp_path, "h100") as flight:
            flight.run(1)
    logs = sorted(path.name for path in tmp_path.glob("truth*"))
    assert logs == ["truth.1.jsonl", "truth.2.jsonl", "truth.jsonl"]
    assert all(records.read(tmp_path / name)[-1]["type"] == "summary" for name in logs)


def test_after_its_duration_the_world_stands_still(tmp_path: Path) -> None:
    with flown(tmp_path, "h100") as flight:
        late_ns = flight.board.now_ns + round((flight.what.duration + 5) * 1e9)
        assert flight.world.tick(late_ns) == float("inf")
        assert len(flight.log("state")) == flight.what.duration
        assert flight.world.tick(late_ns + 10**9) == float("inf")


def test_a_scenario_is_flown_in_seconds_with_closed_flips_and_the_seed_of_the_command() -> None:
    shipped = scenario.load("aggressive-jetson")
    assert shipped.flips.door == "job"
    what = coupling.load("aggressive-jetson", "orin", 77)
    assert (what.step, what.flips.door, what.seed) == (1.0, "closed", 77)
    with pytest.raises(SettingsError, match='flies on "orin", this board is "h100"; write'):
        coupling.load("aggressive-jetson", "h100")


def test_the_companion_flies_a_scenario_and_completes_its_log(tmp_path: Path) -> None:
    ready, log = tmp_path / "ready", tmp_path / "board" / records.NAME
    command = [sys.executable, "-m", "sim_hw", "board", "--model", "orin", "--ready", str(ready)]
    command += ["--dir", str(tmp_path / "board"), "--scenario", "aggressive-jetson"]
    with subprocess.Popen(command) as process:
        try:
            wait_until(ready.exists)
            wait_until(lambda: '"state"' in log.read_text())
        finally:
            process.terminate()
    assert process.returncode == 0
    assert [one["type"] for one in records.read(log)][-1] == "summary"
