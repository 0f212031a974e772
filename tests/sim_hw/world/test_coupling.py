"""A scenario beside an emulated board: each is told what the other did, and faults arrive."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hal.compute.host import HostDevice
from icd import flips
from icd.flips import FlipDraw, FlipKind
from sim_hw.orin import inject as orin_inject
from sim_hw.orin import kernel_files as orin_tree
from sim_hw.orin.sysfs_tree import SysfsTree
from sim_hw.world import coupling, history, records, scenario
from sim_hw.world.board_adapters import Host
from sim_hw.world.coupling import ADAPTERS, AWAY_S, Coupling
from sim_hw.world.devices import Upset
from sim_hw.world.effects import Effect, Recovery
from sim_hw.world.faults import Fault
from sim_hw.world.flip_delivery import NOBODY, UNUSED, FlipDelivery
from sim_hw.world.settings import SettingsError
from tests.sim_hw.support.emulated import SteppedBoard, wait_until
from tests.sim_hw.support.emulated_orin import SteppedOrin

QUIET = """
name = "quiet"
start = "2026-03-20T00:00:00Z"
duration = "10 min"
log_period = "1 s"
"""
NO_COSMIC_RAYS = "[particles]\ncosmic_rays = 0.0\n"
BOARDS: dict[str, Callable[[Path], SteppedBoard | SteppedOrin]] = {
    "h100": SteppedBoard,
    "orin": SteppedOrin,
}


class Processes:
    """A host of whose processes none is ended for real."""

    def __init__(self) -> None:
        self.ended: list[int] = []
        self.pids = [4711]

    def end_one(self, draw: int) -> int | None:  # noqa: ARG002
        self.ended += self.pids
        return self.pids[0] if self.pids else None

    def close(self) -> None:
        pass


class Flight:
    """A stepped board and the world around it, on one clock."""

    def __init__(self, folder: Path, model: str, more: str, now_ns: int | None = None) -> None:
        self.folder = folder
        path = folder / "flight.toml"
        path.write_text(f'{QUIET}{more}\n{NO_COSMIC_RAYS}[board]\nmodel = "{model}"\n')
        self.what = coupling.load(str(path), model)
        self.board = BOARDS[model](folder)
        self.board.now_ns = self.board.now_ns if now_ns is None else now_ns
        self.adapter = ADAPTERS[model](folder)
        self.host = Processes()
        self.world = Coupling(
            self.what, folder, self.board.emulated, self.adapter, self.board.now_ns, self.host
        )
        self.world.tick(self.board.now_ns)

    def run(self, seconds: int) -> None:
        for _ in range(seconds):
            self.board.run(1.0)
            self.world.tick(self.board.now_ns)

    def is_on(self) -> bool:
        return self.adapter.is_on

    def log(self, kind: str) -> list[dict[str, Any]]:
        return [one for one in records.read(self.folder / records.NAME) if one["type"] == kind]


@contextmanager
def flown(folder: Path, model: str, more: str = "", now_ns: int | None = None) -> Iterator[Flight]:
    flight = Flight(folder, model, more, now_ns)
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


def test_a_scenario_is_flown_in_seconds_with_its_door_and_the_seed_of_the_command() -> None:
    shipped = scenario.load("aggressive-jetson")
    assert shipped.flips.door == "job"
    what = coupling.load("aggressive-jetson", "orin", 77)
    assert (what.step, what.flips.door, what.seed) == (1.0, "job", 77)
    with pytest.raises(SettingsError, match='flies on "orin", this board is "h100"; write'):
        coupling.load("aggressive-jetson", "h100")


OPEN = '[flips]\ndoor = "job"\n'


def test_a_flip_is_sent_to_the_context_that_computes_and_changes_its_result(tmp_path: Path) -> None:
    with (
        flown(tmp_path, "h100", OPEN + fault(1, "logic")) as flight,
        HostDevice(tmp_path / "board.state") as device,
    ):
        held = device.allocate((32, 32), np.float32)
        flight.run(1)
        device.launch(np.add, held, held, held)
        assert not held.any()
        flight.run(1)
        device.launch(np.add, held, held, held)
        assert held.any()
        done = [one for one in flips.read_log(tmp_path / flips.LOG) if one["type"] == "flip"]
        (struck,) = flight.log("fault")
    assert {one["id"] for one in done} == {struck["id"]}
    assert {(one["t"], one["kind"]) for one in done} == {(struck["t"], "logic")}
    assert np.count_nonzero(held.view(np.uint32)) == len(done)


@pytest.mark.verifies("VA-FLP-01")
@pytest.mark.parametrize("model", sorted(BOARDS))
def test_behind_a_closed_door_nothing_flips(tmp_path: Path, model: str) -> None:
    with (
        flown(tmp_path, model, fault(0, "logic")) as flight,
        HostDevice(tmp_path / "board.state") as device,
    ):
        held = device.allocate((32, 32), np.float32)
        flight.run(2)
        device.launch(np.add, held, held, held)
        assert not held.any()
        assert [one["effect"] for one in flight.log("fault")] == ["wrong result"]
    assert not list(tmp_path.glob("flips*"))


def test_a_flip_that_finds_nobody_computing_says_so(tmp_path: Path) -> None:
    with flown(tmp_path, "h100", OPEN + fault(0, "logic")) as flight:
        flight.run(2)
    (missed,) = flips.read_log(tmp_path / flips.LOG)
    assert (missed["type"], missed["reason"]) == ("missed", NOBODY)


def memory_draw(where: float) -> Fault:
    draw = FlipDraw(1, FlipKind.MEMORY, "test", int(where * 2**64), 0, 1, 1, ("01",))
    return Fault(1, 3.0, Upset.DRAM_CORRECTABLE, Effect("silent flip"), draw)


def test_through_the_door_to_all_memory_most_draws_hit_what_nobody_uses(tmp_path: Path) -> None:
    board = SteppedBoard(tmp_path)
    post = FlipDelivery(tmp_path, "memory", 1.0)
    row = board.world.board.devices[0]
    size = 1 << 20
    with HostDevice(tmp_path / "board.state") as device:
        held = device.allocate(size, np.uint8)
        inside = (row.reserved_bytes + size * 0.5) / row.memory_bytes
        for where in (0.0, inside, 0.5, 1.0 - 2**-53):
            post.send(memory_draw(where))
        device.launch(lambda: 1)
        assert np.flatnonzero(held).tolist() == [pytest.approx(size / 2, abs=64)]
    reasons = [one.get("reason") for one in flips.read_log(tmp_path / flips.LOG)]
    assert reasons.count(UNUSED) == 3
    del row
    post.close()
    board.close()


def test_jobs_side_by_side_are_each_struck_in_their_own_memory(tmp_path: Path) -> None:
    board = SteppedBoard(tmp_path)
    post = FlipDelivery(tmp_path, "job", 1.0)
    path = tmp_path / "board.state"
    with HostDevice(path) as one, HostDevice(path) as other:
        first, second = one.allocate(100, np.uint8), other.allocate(100, np.uint8)
        post.send(memory_draw(0.25))
        post.send(memory_draw(0.9525))
        one.launch(lambda: 1)
        other.launch(lambda: 1)
        assert (np.flatnonzero(first).tolist(), np.flatnonzero(second).tolist()) == ([50], [90])
    post.close()
    board.close()


@pytest.mark.parametrize("model", sorted(BOARDS))
def test_a_process_of_the_host_that_dies_is_one_that_computes(tmp_path: Path, model: str) -> None:
    with flown(tmp_path, model, "") as flight:
        dies = Effect("host process dies", Recovery.RESTART_PROCESS)
        flight.world._meet_faults((Fault(1, 0.5, Upset.HOST_INTERRUPT, dies),), 0.0)
        flight.host.pids.clear()
        flight.world._meet_faults((Fault(2, 0.5, Upset.HOST_INTERRUPT, dies),), 0.0)
        told = [event["event"] for event in flight.log("event")]
    assert flight.host.ended == [4711]
    assert told == [
        "process 4711 of the host dies: it computed on the board",
        "no process of the host computes, so none dies",
    ]


def test_a_host_ends_the_process_that_computes_and_never_its_own(tmp_path: Path) -> None:
    board = SteppedBoard(tmp_path)
    ended: list[tuple[int, int]] = []
    host = Host(tmp_path / "board.state", lambda pid, number: ended.append((pid, number)))
    with HostDevice(tmp_path / "board.state"):
        assert host.end_one(5) is None
        with subprocess.Popen(["sleep", "60"]) as process:
            try:
                board.world.board.claim(0, process.pid)
                assert host.end_one(5) == process.pid
            finally:
                process.kill()
        assert ended == [(process.pid, signal.SIGKILL)]
        assert host.end_one(5) is None
    host.close()
    board.close()


@pytest.mark.parametrize(("model", "limit_w"), [("h100", 250), ("orin", 30)])
def test_the_power_limit_of_a_scenario_is_set_on_the_board(
    tmp_path: Path, model: str, limit_w: int
) -> None:
    path = tmp_path / "limited.toml"
    path.write_text(f'{QUIET}[board]\nmodel = "{model}"\npower_limit = "{limit_w} W"\n')
    board = BOARDS[model](tmp_path)
    what = coupling.load(str(path), model)
    adapter = ADAPTERS[model](tmp_path)
    world = Coupling(what, tmp_path, board.emulated, adapter, board.now_ns, Processes())
    if isinstance(board, SteppedBoard):
        assert board.world.gpu(0).power_limit_mw == 1000 * limit_w
    else:
        tree = SysfsTree(tmp_path / "root", tmp_path / "staging")
        assert orin_tree.mode_of(tree).budget_w == limit_w
    world.close()
    board.close()


def test_a_power_limit_that_no_mode_of_an_orin_has_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "limited.toml"
    path.write_text(f'{QUIET}[board]\nmodel = "orin"\npower_limit = "40 W"\n')
    with pytest.raises(SettingsError, match='"15 W", "30 W", "50 W", or leave it out'):
        coupling.load(str(path), "orin")


IN_THE_SAA = """
acceleration = 3000
[orbit]
altitude = "650 km"
inclination = "98 deg"
node = "168 deg"
anomaly = "330 deg"
"""


def cut_off(flight: Flight) -> None:
    """What a kill leaves: nothing is completed, and the last line is half written."""
    flight.world._file.write('{"type":"sta')
    flight.world._file.close()
    flight.world._host.close()
    flight.adapter.close()
    if isinstance(flight.board, SteppedBoard):
        flight.board.world.close()


def logged(path: Path) -> list[dict[str, Any]]:
    """A log without what tells of the board's power: that is not the same twice."""
    told = ("power_w", "battery", "gpu_c", "plate_c", "clock_mhz")
    return [
        {name: value for name, value in one.items() if name not in told}
        for one in records.read(path / records.NAME)
        if one["type"] in ("scenario", "state", "event", "fault")
    ]


@pytest.mark.verifies("VA-FLP-05")
@pytest.mark.parametrize("model", sorted(BOARDS))
def test_a_companion_that_follows_one_that_was_killed_goes_on_with_the_same_draws(
    tmp_path: Path, model: str
) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    whole.mkdir()
    cut.mkdir()
    more = IN_THE_SAA + OPEN
    with flown(whole, model, more) as flight:
        flight.run(90)
        began_ns = flight.board.now_ns - 90 * 10**9
    killed = Flight(cut, model, more)
    killed.run(40)
    cut_off(killed)
    with flown(cut, model, more, now_ns=began_ns + 45 * 10**9) as flight:
        assert flight.world._world.done == 45
        flight.run(45)
    assert len([one for one in logged(whole) if one["type"] == "fault"]) > 5
    assert logged(cut) == logged(whole)
    assert not (cut / "truth.1.jsonl").exists()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(b"nonsense"),
        lambda path: path.write_bytes(path.read_bytes().replace(b'"boot": "', b'"boot": "x')),
        lambda path: path.write_bytes(path.read_bytes().replace(b'"digest": "', b'"digest": "x')),
    ],
    ids=["gone", "nonsense", "another boot", "another scenario"],
)
def test_without_a_history_to_go_on_from_the_scenario_begins_anew(
    tmp_path: Path, spoil: Callable[[Path], object]
) -> None:
    killed = Flight(tmp_path, "h100", "")
    killed.run(3)
    cut_off(killed)
    spoil(tmp_path / history.NAME)
    with flown(tmp_path, "h100", now_ns=killed.board.now_ns) as flight:
        assert flight.world._world.done == 0
    assert (tmp_path / "truth.1.jsonl").exists()


def test_after_a_long_absence_the_scenario_begins_anew(tmp_path: Path) -> None:
    killed = Flight(tmp_path, "h100", "")
    killed.run(3)
    cut_off(killed)
    late_ns = killed.board.now_ns + round((history.LONGEST_GAP_S + 2) * 1e9)
    with flown(tmp_path, "h100", now_ns=late_ns) as flight:
        assert flight.world._world.done == 0


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
