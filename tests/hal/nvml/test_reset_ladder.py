"""The recovery ladder: who is killed, what is run and refused, and what the board says then."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from hal import boards, errors
from hal.compute.host import HostDevice
from hal.device import RECOVERIES, Board, ControlRequest
from hal.nvml import reset_ladder as recovery
from hal.nvml.board import NvmlBoard
from hal.nvml.reset_ladder import Ladder
from hal.reading import Validity
from icd import host_bus
from icd.processes import process_start_time
from sim_hw.nvml.inject import World
from sim_hw.nvml.xid import Cure
from tests.sim_hw.nvml.test_board import Companion
from tests.sim_hw.support.emulated import SteppedBoard, wait_until

pytestmark = pytest.mark.portable


def rest(seconds: float) -> None:
    select.select([], [], [], seconds)


@pytest.fixture
def victim() -> Iterator[subprocess.Popen[bytes]]:
    """A process that ends only when it is killed."""
    process = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    yield process
    process.kill()
    process.wait()


def named(process: subprocess.Popen[bytes]) -> tuple[int, int]:
    start_time = process_start_time(process.pid)
    assert start_time is not None
    return process.pid, start_time


class Machine:
    """Programs that do to the stepped board what the real ones do, in no time."""

    def __init__(self, stepped: SteppedBoard) -> None:
        self.stepped = stepped
        self.run_so_far: list[list[str]] = []

    def run(self, arguments: Sequence[str], _limit_s: float) -> str:
        self.run_so_far.append(list(arguments))
        if "-r" in arguments:
            self.stepped.world.load_driver(False)
            return ""
        action = {
            "nvidia-smi": Cure.GPU_RESET,
            "modprobe": Cure.DRIVER_RELOAD,
            "bus": Cure.RAIL_POWER_CYCLE,
        }[arguments[0]]
        ticket = self.stepped.world.ask(0, action)
        for _ in range(100):
            if self.stepped.world.has_ended(0, ticket):
                break
            self.stepped.run(1.0)
        if self.stepped.world.gpu(0).action_failed and action is Cure.GPU_RESET:
            raise errors.DriverFault("nvidia-smi: Unknown Error", "nvidia-smi")
        return "so it was"


@pytest.fixture
def machine(stepped: SteppedBoard) -> Machine:
    return Machine(stepped)


@pytest.fixture
def ladder_board(stepped: SteppedBoard, machine: Machine) -> Iterator[Board]:
    """The emulated H100 with a ladder whose programs move the stepped clock."""
    boards.open_board("emulated-h100").close()  # loads the library
    ladder = Ladder(machine.run, host_bus="bus")
    board = NvmlBoard("x", frozenset(RECOVERIES), stepped.clock, stepped.sleep, ladder)
    yield board
    board.close()


@pytest.mark.verifies("VA-BRD-04")
@pytest.mark.verifies("VA-BRD-07")
def test_every_rung_is_refused_until_it_is_enabled_by_name(stepped: SteppedBoard) -> None:
    board = boards.open_board("emulated-h100", allow_control=frozenset({"clear_ecc"}))
    for action in RECOVERIES:
        result = board.control(ControlRequest(action))
        assert not result.done
        assert f"allow {action} by name" in result.text
    assert stepped.world.gpu(0).actions_asked == 0
    board.close()


@pytest.mark.parametrize(
    ("code", "action", "programs"),
    [
        (62, "gpu_reset", [["nvidia-smi", "--gpu-reset", "-i", "00000000:01:00.0"]]),
        (143, "driver_reload", [["modprobe", "-r", *recovery._MODULES], ["modprobe", "nvidia"]]),
        (79, "rail_power_cycle", [["bus", "power-cycle"]]),
    ],
)
def test_the_rung_that_an_xid_needs_brings_the_gpu_back(
    stepped: SteppedBoard,
    machine: Machine,
    ladder_board: Board,
    code: int,
    action: str,
    programs: list[list[str]],
) -> None:
    stepped.world.xid(0, code)
    result = ladder_board.control(ControlRequest(action))
    assert (result.done, result.value, result.text) == (
        True,
        0.0,
        "driver loaded again" if action == "driver_reload" else "so it was",
    )
    assert machine.run_so_far == programs
    assert all(reading.is_valid for reading in ladder_board.read())
    HostDevice(stepped.folder / "board.state").close()


@pytest.mark.parametrize(("code", "action"), [(143, "gpu_reset"), (79, "driver_reload")])
def test_a_rung_that_is_too_mild_says_that_it_did_not_help(
    stepped: SteppedBoard, ladder_board: Board, code: int, action: str
) -> None:
    stepped.world.xid(0, code)
    result = ladder_board.control(ControlRequest(action))
    assert not result.done
    assert result.text
    assert ladder_board.control(ControlRequest("rail_power_cycle")).done


def test_readings_are_lost_while_a_gpu_is_reset_and_come_back_after_it(
    stepped: SteppedBoard, ladder_board: Board
) -> None:
    ticket = stepped.world.ask(0, Cure.GPU_RESET)
    stepped.tick()
    assert {reading.validity for reading in ladder_board.read()} == {Validity.LOST}
    stepped.run(4.0)
    assert stepped.world.has_ended(0, ticket)
    assert all(reading.is_valid for reading in ladder_board.read())
    assert stepped.world.board.devices[0].generation == 1


def test_a_recovery_of_a_device_that_is_not_there_is_refused(
    machine: Machine, ladder_board: Board
) -> None:
    for action in RECOVERIES:
        result = ladder_board.control(ControlRequest(action, device=5))
        assert (result.done, "no device 5" in result.text) == (False, True)
    assert machine.run_so_far == []


def test_a_closed_board_recovers_nothing(machine: Machine, ladder_board: Board) -> None:
    ladder_board.close()
    assert not ladder_board.control(ControlRequest("gpu_reset")).done
    assert machine.run_so_far == []


def test_contexts_are_ended_only_where_their_process_was_given_and_computes_there(
    stepped: SteppedBoard, ladder_board: Board, victim: subprocess.Popen[bytes]
) -> None:
    ours = HostDevice(stepped.folder / "board.state")
    stepped.world.board.claim(0, victim.pid)
    stepped.tick()
    result = ladder_board.control(
        ControlRequest("kill_contexts", processes=(named(victim), (4_000_000, 1)))
    )
    assert (result.done, result.value) == (True, 1.0)
    assert result.text == f"ended {victim.pid}; not ours, left alone: {os.getpid()}"
    assert victim.wait(5.0) == -9
    ours.close()


def test_a_lost_gpu_cannot_tell_who_computes_so_all_that_were_given_end(
    stepped: SteppedBoard, ladder_board: Board, victim: subprocess.Popen[bytes]
) -> None:
    stepped.world.lose(0)
    result = ladder_board.control(ControlRequest("kill_contexts", processes=(named(victim),)))
    assert (result.done, result.value) == (True, 1.0)
    assert victim.wait(5.0) == -9


@pytest.mark.verifies("VA-BRD-07")
def test_a_process_that_took_over_a_pid_is_left_alone(victim: subprocess.Popen[bytes]) -> None:
    pid, start_time = named(victim)
    assert recovery.kill([(pid, start_time - 1)], rest) == recovery.Killed((pid,), ())
    assert victim.poll() is None


def test_a_process_that_does_not_die_is_told(
    victim: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery, "_DEATH_S", 0.02)
    monkeypatch.setattr(recovery, "_signal", lambda *_: None)
    assert recovery.kill([named(victim)], rest) == recovery.Killed((), (victim.pid,))


def program(folder: Path, text: str) -> str:
    path = folder / "tool"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o700)
    return str(path)


def test_whoever_waits_for_a_program_can_show_that_it_lives(tmp_path: Path) -> None:
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        (tmp_path / "go").touch()
        rest(seconds)

    path = program(tmp_path, f"while [ ! -e {tmp_path}/go ]; do :; done; echo done")
    assert recovery.runner(wait)([path], 20.0) == "done"
    assert waits
    assert max(waits) <= 0.1


@pytest.mark.parametrize(
    ("text", "limit_s", "kind", "said"),
    [
        ("echo in use; exit 19", 20.0, errors.DriverFault, "tool: in use"),
        ("exit 7", 20.0, errors.DriverFault, "exit status 7"),
        ("echo no; exit 4", 20.0, errors.NotPermitted, "no"),
        ("exec tail -f /dev/null", 0.05, errors.TimedOut, "did not end within 0.05 s"),
    ],
)
def test_a_program_that_fails_is_one_of_our_errors_with_its_words(
    tmp_path: Path, text: str, limit_s: float, kind: type[errors.BoardError], said: str
) -> None:
    with pytest.raises(kind, match=said):
        recovery.runner(rest)([program(tmp_path, text)], limit_s)


def test_a_program_that_is_missing_or_may_not_be_run_is_told(tmp_path: Path) -> None:
    with pytest.raises(errors.DriverMissing, match="not installed"):
        recovery.runner(rest)([str(tmp_path / "none")], 1.0)
    (tmp_path / "plain").touch(mode=0o600)
    with pytest.raises(errors.NotPermitted):
        recovery.runner(rest)([str(tmp_path / "plain")], 1.0)


def test_without_a_host_bus_a_power_cycle_says_what_to_name() -> None:
    with pytest.raises(errors.Unsupported, match="VANALLEN_HOST_BUS"):
        recovery.ladder({}, rest).rail_power_cycle()


def test_a_host_bus_that_is_a_folder_is_asked_when_no_program_is_named(tmp_path: Path) -> None:
    def answer(_seconds: float) -> None:
        request = host_bus.read_request(tmp_path)
        assert request is not None
        done = host_bus.Answer(request.number, host_bus.DONE, "cycled")
        host_bus.write_answer(tmp_path, done)

    ladder = recovery.ladder({host_bus.ENVIRONMENT: str(tmp_path)}, answer)
    assert ladder.rail_power_cycle() == "cycled"


@pytest.mark.verifies("VA-SIM-03")
def test_the_ladder_recovers_a_board_that_runs_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, victim: subprocess.Popen[bytes]
) -> None:
    """From a hung context to a power cycle, through the programs that the environment names."""
    for key, text in boards.row("emulated-h100").environment(tmp_path).items():
        monkeypatch.setenv(key, text)
    companion = Companion(tmp_path / "board", "--recovery-scale", "0.01")
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        rest(seconds)

    try:
        board = boards.open_board("emulated-h100", allow_control=frozenset(RECOVERIES), wait=wait)
        with World(companion.folder) as world:
            world.board.claim(0, victim.pid)
            world.xid(0, 95)
            refused = board.control(ControlRequest("gpu_reset"))
            assert (refused.done, "in use" in refused.text) == (False, True)
            wait_until(board.processes)
            killed = board.control(ControlRequest("kill_contexts", processes=(named(victim),)))
            assert (killed.done, killed.value) == (True, 1.0), killed.text
            victim.wait()
            for action, code in (("gpu_reset", 62), ("driver_reload", 143)):
                world.xid(0, code)
                result = board.control(ControlRequest(action))
                assert (result.done, result.value) == (True, 0.0), result.text
            world.lose(0)
            assert not board.control(ControlRequest("gpu_reset")).done
            result = board.control(ControlRequest("rail_power_cycle"))
            assert (result.done, result.text) == (True, "payload rail cycled")
        assert all(reading.is_valid for reading in board.read())
        assert max(waits) <= 0.1
        board.close()
    finally:
        companion.close()
