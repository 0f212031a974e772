"""The supervisor's decisions, driven without a process and without a clock."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from flight.supervisor.core import Core, Finish, Instruction, Kill, Publish, Start, Tell
from flight.supervisor.plan import PlanError, parse

CONTENT = {
    "run_dir": "/run/va",
    "state_dir": "/state/va",
    "payload_id": 3,
    "processes": [
        {"name": "sim_hw", "argv": ["sim"], "companion": True, "ready_file": "/run/va/sim.ready"},
        {"name": "storage", "argv": ["storage"], "channel": True},
        {"name": "board", "argv": ["board"], "channel": True},
    ],
    "executive": {"argv": ["executive"]},
}


class Bench:
    """A process table in memory around the core: executes what it instructs, and records it."""

    def __init__(self) -> None:
        self.core = Core(parse(CONTENT))
        self.now = 100.0
        self.pids: dict[str, int] = {}
        self.immortal: set[int] = set()
        self.done: list[Instruction] = []
        self._next_pid = 1000

    def give(self, instructions: list[Instruction]) -> list[Instruction]:
        """Act on instructions as the shell would; returns all that were given, in order."""
        todo, given = list(instructions), []
        while todo:
            instruction = todo.pop(0)
            given.append(instruction)
            if isinstance(instruction, Start):
                self._next_pid += 1
                self.pids[instruction.name] = self._next_pid
                todo += self.core.started(instruction.name, self._next_pid, self.now)
            if isinstance(instruction, Kill) and instruction.pid not in self.immortal:
                todo += self.core.exited(instruction.pid, -instruction.signal, self.now)
        self.done += given
        return given

    def fly(self) -> None:
        self.give(self.core.begin(self.now))
        self.give(self.core.companion_ready("sim_hw", self.now))
        self.give(self.core.message("ready", {"endpoint": "tcp://127.0.0.1:1"}, self.now))

    def pass_time(self, seconds: float, *, beat: bool = True) -> list[Instruction]:
        """Let time pass in steps of 0.1 s, the executive beating or not."""
        given = []
        for _ in range(round(seconds / 0.1)):
            self.now += 0.1
            if beat:
                given += self.give(self.core.message("beat", {}, self.now))
            given += self.give(self.core.tick(self.now))
        return given


@pytest.fixture
def bench() -> Bench:
    flying = Bench()
    flying.fly()
    return flying


def starts(given: list[Instruction]) -> list[str]:
    return [instruction.name for instruction in given if isinstance(instruction, Start)]


def told(given: list[Instruction]) -> list[tuple[str, dict[str, object]]]:
    return [(item.kind, item.body) for item in given if isinstance(item, Tell)]


def test_companions_start_first_and_the_rest_when_they_are_ready() -> None:
    bench = Bench()
    assert starts(bench.give(bench.core.begin(bench.now))) == ["sim_hw"]
    assert starts(bench.pass_time(1.0, beat=False)) == []
    ready = bench.give(bench.core.companion_ready("sim_hw", bench.now))
    assert starts(ready) == ["storage", "board", "executive"]


def test_a_companion_that_is_never_ready_ends_the_start_with_its_log_named() -> None:
    bench = Bench()
    bench.give(bench.core.begin(bench.now))
    given = bench.pass_time(10.5, beat=False)
    finish = given[-1]
    assert isinstance(finish, Finish)
    assert finish.status == 1
    assert "companion sim_hw is not ready; see /run/va/sim_hw.log" in finish.reason


def test_the_ready_file_names_every_process(bench: Bench) -> None:
    publish = next(item for item in bench.done if isinstance(item, Publish))
    assert publish.first
    assert publish.executive_pid == bench.pids["executive"]
    assert publish.workers == {name: bench.pids[name] for name in ("sim_hw", "storage", "board")}


def test_the_ready_file_follows_every_restart(bench: Bench) -> None:
    for name in ("sim_hw", "board"):
        given = bench.give(bench.core.exited(bench.pids[name], 1, bench.now))
        publish = next(item for item in given if isinstance(item, Publish))
        assert publish.workers[name] == bench.pids[name]
        assert not publish.first
    assert not any(
        isinstance(item, Publish)
        for item in bench.give(bench.core.exited(bench.pids["executive"], 1, bench.now))
    )


@pytest.mark.verifies("VA-SUP-01")
def test_a_silent_executive_is_killed_and_started_again(bench: Bench) -> None:
    assert starts(bench.pass_time(1.9, beat=False)) == []
    old = bench.pids["executive"]
    given = bench.pass_time(0.2, beat=False)
    assert Kill(old, signal.SIGKILL) in given
    assert starts(given) == ["executive"]


def test_an_executive_that_beats_is_left_alone(bench: Bench) -> None:
    assert bench.pass_time(60.0) == []


def test_a_new_executive_has_its_startup_time_before_silence_counts(bench: Bench) -> None:
    bench.give(bench.core.exited(bench.pids["executive"], -9, bench.now))
    assert starts(bench.pass_time(9.5, beat=False)) == []
    assert starts(bench.pass_time(1.0, beat=False)) == ["executive"]


def test_a_last_beat_read_after_the_end_of_the_executive_changes_nothing(bench: Bench) -> None:
    bench.core._executive.plan = bench.core._executive.plan._replace(startup_s=None)
    bench.immortal.add(bench.pids["executive"])
    bench.pass_time(2.1, beat=False)
    bench.give(bench.core.message("beat", {}, bench.now))
    assert starts(bench.pass_time(2.1, beat=False)) == ["executive"]


@pytest.mark.verifies("VA-SUP-03")
def test_a_worker_that_exits_is_started_again_and_the_executive_is_told(bench: Bench) -> None:
    pid = bench.pids["storage"]
    given = bench.give(bench.core.exited(pid, 1, bench.now))
    assert starts(given) == ["storage"]
    assert told(given) == [
        ("exited", {"name": "storage", "pid": pid, "status": 1}),
        ("worker", {"name": "storage", "pid": bench.pids["storage"], "restarts": 1}),
    ]
    assert bench.core.workers()["storage"] == {"pid": bench.pids["storage"], "restarts": 1}


def test_restarts_back_off_after_five_in_a_minute_and_recover(bench: Bench) -> None:
    for _ in range(5):
        assert starts(bench.give(bench.core.exited(bench.pids["board"], 1, bench.now)))
    delays = []
    for _ in range(6):
        given = bench.give(bench.core.exited(bench.pids["board"], 1, bench.now))
        waited = 0.0
        while not starts(given):
            given = bench.pass_time(0.1)
            waited += 0.1
        delays.append(round(waited))
    assert delays == [1, 2, 4, 8, 16, 30]
    bench.pass_time(120.0)
    assert starts(bench.give(bench.core.exited(bench.pids["board"], 1, bench.now)))


def test_replace_kills_and_starts_with_a_new_channel(bench: Bench) -> None:
    old = bench.pids["board"]
    given = bench.give(bench.core.message("replace", {"name": "board"}, bench.now))
    assert Kill(old, signal.SIGKILL) in given
    assert (
        Tell("worker", {"name": "board", "pid": bench.pids["board"], "restarts": 1}, "board")
        in given
    )


@pytest.mark.parametrize("name", ["nothing", "executive", ""])
def test_only_a_worker_can_be_replaced(bench: Bench, name: str) -> None:
    given = bench.give(bench.core.message("replace", {"name": name}, bench.now))
    assert not any(isinstance(item, Kill | Start) for item in given)


@pytest.mark.verifies("VA-SUP-03")
def test_a_worker_that_survives_its_kill_is_abandoned_and_replaced_once(bench: Bench) -> None:
    first = bench.pids["board"]
    bench.immortal.add(first)
    bench.give(bench.core.message("replace", {"name": "board"}, bench.now))
    assert starts(bench.pass_time(1.8)) == []
    given = bench.pass_time(0.4)
    assert ("unkillable", {"name": "board", "pid": first}) in told(given)
    assert starts(given) == ["board"]
    again = bench.give(bench.core.message("ready", {"endpoint": "tcp://x"}, bench.now))
    assert ("unkillable", {"name": "board", "pid": first}) in told(again)  # the next executive

    second = bench.pids["board"]
    bench.immortal.add(second)
    bench.give(bench.core.message("replace", {"name": "board"}, bench.now))
    given = bench.pass_time(30.0)
    assert ("unkillable", {"name": "board", "pid": second}) in told(given)
    assert starts(given) == []


def test_a_held_worker_starts_again_when_an_abandoned_one_is_reaped(bench: Bench) -> None:
    for _ in range(2):
        bench.immortal.add(bench.pids["board"])
        bench.give(bench.core.message("replace", {"name": "board"}, bench.now))
        bench.pass_time(2.5)
    abandoned = min(bench.immortal)
    assert starts(bench.give(bench.core.exited(abandoned, -9, bench.now))) == ["board"]


def test_the_exit_of_an_abandoned_worker_does_not_touch_its_replacement(bench: Bench) -> None:
    first = bench.pids["board"]
    bench.immortal.add(first)
    bench.give(bench.core.message("replace", {"name": "board"}, bench.now))
    bench.pass_time(2.5)
    assert starts(bench.give(bench.core.exited(first, -9, bench.now))) == []
    assert bench.core.workers()["board"]["pid"] == bench.pids["board"]


def test_a_program_that_cannot_be_executed_is_tried_again_later(bench: Bench) -> None:
    given = bench.core.exited(bench.pids["board"], 1, bench.now)
    assert starts(given) == ["board"]
    bench.give(bench.core.not_started("board", "no such file", bench.now))
    assert starts(bench.pass_time(0.5)) == []
    assert starts(bench.pass_time(1.0)) == ["board"]


def test_an_executive_that_never_gets_ready_ends_the_start() -> None:
    bench = Bench()
    bench.give(bench.core.begin(bench.now))
    given = bench.give(bench.core.companion_ready("sim_hw", bench.now))
    for _ in range(6):
        given = bench.give(bench.core.exited(bench.pids["executive"], 2, bench.now))
    finish = given[-1]
    assert isinstance(finish, Finish)
    assert "ended 6 times before ready; see /run/va/executive.log" in finish.reason


def test_stop_ends_the_executive_then_the_workers_then_the_companions(bench: Bench) -> None:
    given = bench.give(bench.core.asked_to_stop(bench.now))
    killed = [item for item in given if isinstance(item, Kill)]
    order = ("executive", "storage", "board", "sim_hw")
    assert killed == [Kill(bench.pids[name], signal.SIGTERM) for name in order]
    assert given[-1] == Finish(0)


def test_what_does_not_end_politely_is_killed_and_what_survives_is_left(bench: Bench) -> None:
    pid = bench.pids["storage"]
    bench.immortal.add(pid)
    bench.give(bench.core.asked_to_stop(bench.now))
    given = bench.pass_time(5.0, beat=False)
    assert Kill(pid, signal.SIGKILL) in given
    assert given[-1] == Finish(0)


def test_a_second_signal_does_not_wait(bench: Bench) -> None:
    pid = bench.pids["executive"]
    bench.immortal.add(pid)
    bench.give(bench.core.asked_to_stop(bench.now))
    assert Kill(pid, signal.SIGKILL) in bench.give(bench.core.asked_to_stop(bench.now))


def test_reboot_ends_everything_and_asks_to_start_again(bench: Bench) -> None:
    assert bench.give(bench.core.message("reboot", {}, bench.now))[-1] == Finish(0, reboot=True)


def test_the_deadline_is_never_in_the_past_after_a_tick(bench: Bench) -> None:
    for _ in range(300):
        bench.pass_time(0.1, beat=bench.now < 110.0)
        deadline = bench.core.deadline()
        assert deadline is not None
        assert deadline > bench.now


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"colour": 1}, "unknown keys"),
        ({"executive": {"argv": []}}, "command to execute"),
        ({"run_dir": 4}, "needs 'run_dir'"),
        ({"processes": [{"name": "executive", "argv": ["x"]}]}, "must differ"),
        ({"processes": [{"name": "a/b", "argv": ["x"]}]}, "without '/'"),
        ({"processes": ["storage"]}, "must be an object"),
        ({"processes": [{"name": "x", "argv": ["x"], "chanel": True}]}, "known are"),
    ],
)
def test_a_wrong_plan_is_refused_with_a_sentence(change: dict[str, object], text: str) -> None:
    with pytest.raises(PlanError, match=text):
        parse({**CONTENT, **change})


def test_a_plan_keeps_its_paths_and_defaults() -> None:
    plan = parse(CONTENT)
    assert plan.run_dir == Path("/run/va")
    assert (plan.silence_s, plan.startup_s) == (2.0, 10.0)
