"""The board server over a fake board: readings, faults, controls, and a driver that hangs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flight.components.board.worker.server import MOST_FAULTS, BoardServer
from flight.framework.channel import Channel, Message, pair
from flight.workers.lifeline import Lifeline
from hal.device import BoardIdentity, ControlRequest, ControlResult, Device, Fault, FaultKind
from hal.errors import BoardLost, DriverMissing
from hal.reading import Reading, Validity
from tests.flight.support.processes import wait_for
from tests.flight.support.worker_harness import WorkerBench


class FakeBoard:
    """A board in memory."""

    def __init__(self) -> None:
        self.sensors, self.gpus = 2, 1
        self.pending: list[Fault] = []
        self.is_lost = False
        self.is_closed = False
        self.asked = 0

    def identity(self) -> BoardIdentity:
        if self.is_lost:
            raise BoardLost("device 0 is off the bus", "nvmlDeviceGetName")
        return BoardIdentity("fake", "fake", "1", "2", "13", tuple(self.devices()))

    def devices(self) -> list[Device]:
        return [
            Device(number, "Fake", f"GPU-{number + 1}", "", "", 80 << 30, None, 350.0)
            for number in range(self.gpus)
        ]

    def read(self) -> list[Reading]:
        rows = [
            Reading(f"gpu0.sensor{n}", 1.5 * n, "W", 99, Validity.VALID)
            for n in range(self.sensors - 1)
        ]
        return [*rows, Reading("gpu0.fan", None, "%", 99, Validity.UNSUPPORTED, "no fan")]

    def faults(self, timeout_s: float) -> list[Fault]:
        assert timeout_s <= 0.1
        found, self.pending = self.pending, []
        return found

    def control(self, request: ControlRequest) -> ControlResult:
        self.asked += 1
        return ControlResult(request, request.value <= 350.0, request.value, "as asked")

    def close(self) -> None:
        self.is_closed = True


class Bench:
    """A board server in this process."""

    def __init__(self) -> None:
        self.board = FakeBoard()
        self.open_error: Exception | None = None
        mine, theirs = pair()
        self.channel, self._other = Channel(mine), Channel(theirs)
        self._lease = os.pipe()
        lifeline = Lifeline(self._other, self._lease[0])
        self.server = BoardServer(
            lifeline, self.open, period_s=0.5, computer=self.computer, identity=7
        )
        self.epoch = self._other.epoch = 1

    def open(self) -> FakeBoard:
        if self.open_error is not None:
            raise self.open_error
        return self.board

    def computer(self) -> list[Reading]:
        return [Reading("host.load_1", 0.5, "1", 99, Validity.VALID)]

    def step(self, now: float, *requests: tuple[str, dict[str, object]]) -> list[Message]:
        messages = [Message(self.epoch, n, kind, body) for n, (kind, body) in enumerate(requests)]
        self.server.step(messages, now)
        return self.channel.receive(1000)

    def close(self) -> None:
        self.channel.close()
        self._other.close()
        for fd in self._lease:
            os.close(fd)


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()


def kinds(messages: list[Message]) -> list[str]:
    return [message.kind for message in messages]


@pytest.mark.verifies("VA-BRD-01")
def test_it_names_the_board_and_reads_it_at_its_period(bench: Bench) -> None:
    identity, readings = bench.step(10.0)
    assert identity.body["board"] == "fake"
    assert identity.body["devices"][0]["uuid"] == "GPU-1"
    assert readings.body == {
        "server": 7,
        "sequence": 0,
        "rows": [
            ["gpu0.sensor0", 0.0, 0, "", "W"],
            ["gpu0.fan", None, 2, "no fan", "%"],
            ["host.load_1", 0.5, 0, "", "1"],
        ],
    }
    assert [kinds(bench.step(10.0 + 0.1 * n)) for n in range(1, 6)] == [
        [],
        [],
        [],
        [],
        ["readings"],
    ]


@pytest.mark.verifies("VA-BRD-12")
def test_the_computer_is_read_with_the_board_but_not_each_time(bench: Bench) -> None:
    names = [
        [row[0] for row in message.body["rows"]]
        for half in range(12)
        for message in bench.step(10.0 + 0.5 * half)
        if message.kind == "readings"
    ]
    assert [half for half, rows in enumerate(names) if "host.load_1" in rows] == [0, 10]


def test_a_slow_driver_is_not_made_up_for_with_a_burst(bench: Bench) -> None:
    bench.step(10.0)
    assert kinds(bench.step(20.0)) == ["readings"]
    assert kinds(bench.step(20.01)) == ["readings"]
    assert kinds(bench.step(20.02)) == []


def test_a_greeting_is_answered_with_the_identity(bench: Bench) -> None:
    bench.step(10.0)
    assert kinds(bench.step(10.1, ("hello", {}))) == ["identity"]
    bench.board.is_lost = True
    (answer,) = bench.step(10.2, ("hello", {}))
    assert (answer.kind, answer.body) == ("unavailable", {"text": "device 0 is off the bus"})


@pytest.mark.verifies("VA-BRD-15")
def test_gpus_that_come_later_are_told_without_being_asked_for(bench: Bench) -> None:
    bench.step(10.0)
    bench.board.gpus = 2
    assert kinds(bench.step(14.9)) == ["readings"]
    identity = next(m for m in bench.step(15.0) if m.kind == "identity")
    assert [device["uuid"] for device in identity.body["devices"]] == ["GPU-1", "GPU-2"]
    assert "identity" not in kinds(bench.step(25.0))


def test_many_sensors_go_in_several_messages(bench: Bench) -> None:
    bench.board.sensors = 450
    messages = bench.step(10.0)[1:]
    assert [len(message.body["rows"]) for message in messages] == [200, 200, 51]


def test_faults_are_passed_on_as_they_come(bench: Bench) -> None:
    bench.step(10.0)
    bench.board.pending = [Fault(5, 0, FaultKind.XID, 79, "fallen off the bus")]
    (faults,) = bench.step(10.1)
    row = [5, 0, 0, 79, "fallen off the bus"]
    assert faults.body == {"server": 7, "first": 1, "faults": [row]}
    bench.board.pending = [Fault(6, None, FaultKind.XID, 13, "")]
    assert bench.step(10.2)[0].body == {"server": 7, "first": 2, "faults": [[6, None, 0, 13, ""]]}


@pytest.mark.verifies("VA-BRD-14")
def test_faults_are_sent_again_to_each_executive_until_one_has_kept_that_it_heard(
    bench: Bench,
) -> None:
    bench.step(10.0)
    bench.board.pending = [Fault(n, 0, FaultKind.XID, 13, "") for n in range(60)]
    assert [len(m.body["faults"]) for m in bench.step(10.1)] == [50, 10]
    assert bench.step(10.2) == []
    _, *again = bench.step(10.3, ("hello", {}))
    assert [(m.body["first"], len(m.body["faults"])) for m in again] == [(1, 50), (51, 10)]
    bench.step(10.31, ("heard", {"server": 7, "upto": 58}))
    bench.step(10.32, ("heard", {"server": 8, "upto": 60}), ("heard", {"server": 7}))
    _, left = bench.step(10.33, ("hello", {}))
    assert (left.body["first"], [row[0] for row in left.body["faults"]]) == (59, [58, 59])
    assert [m.kind for m in bench.step(15.4)] == ["readings", "faults"][::-1]  # nobody answered
    bench.step(15.5, ("heard", {"server": 7, "upto": 60}))
    assert kinds(bench.step(15.6, ("hello", {}))) == ["identity"]
    assert kinds(bench.step(90.0)) == ["readings"]


@pytest.mark.verifies("VA-BRD-14")
def test_what_a_dead_executive_asked_for_is_not_done_and_its_answers_are_its_own(
    bench: Bench,
) -> None:
    bench.step(10.0)
    request = ("control", {"id": 1, "action": "power_limit_w", "value": 300})
    (answer,) = bench.step(10.1, request)
    assert answer.epoch == 1
    bench._other.epoch = 2  # its successor has greeted meanwhile
    assert bench.step(10.2, request) == []
    assert bench.board.asked == 1


def test_faults_wait_for_an_executive_that_does_not_read_and_the_oldest_are_let_go(
    bench: Bench,
) -> None:
    bench.step(10.0)
    while bench.server._send("filler", {"data": bytes(30_000)}):
        pass
    bench.board.pending = [Fault(n, 0, FaultKind.XID, 13, "x" * 160) for n in range(1300)]
    bench.server.step([], 10.1)
    bench.channel.receive(1000)
    faults: list[dict[str, Any]] = []
    for turn in range(1, 10):
        faults += [m.body for m in bench.step(10.1 + 0.1 * turn) if m.kind == "faults"]
    assert sum(len(body["faults"]) for body in faults) == MOST_FAULTS
    assert faults[0]["first"] == 1300 - MOST_FAULTS + 1  # an executive sees the gap
    assert faults[-1]["faults"][-1][0] == 1299


@pytest.mark.parametrize(
    ("body", "ok", "text"),
    [
        ({"id": 4, "action": "power_limit_w", "value": 300}, True, "as asked"),
        ({"id": 4, "action": "power_limit_w", "value": 900.0, "device": 0}, False, "as asked"),
        ({"id": 4}, False, "needs an action"),
        ({"id": 4, "action": "power_limit_w", "value": [1]}, False, "needs an action"),
    ],
)
def test_a_control_is_answered(bench: Bench, body: dict[str, object], ok: bool, text: str) -> None:
    bench.step(10.0)
    (answer,) = bench.step(10.1, ("control", body))
    assert (answer.kind, answer.body["id"], answer.body["ok"]) == ("done", 4, ok)
    assert text in answer.body["text"]


def test_a_board_that_cannot_be_opened_is_said_and_tried_again(bench: Bench) -> None:
    bench.open_error = DriverMissing("no libnvidia-ml.so.1; install the driver")
    (answer,) = bench.step(10.0)
    assert answer.body["text"] == "no libnvidia-ml.so.1; install the driver"
    (refusal,) = bench.step(11.0, ("control", {"id": 1, "action": "clear_ecc"}))
    assert refusal.body["ok"] is False
    bench.open_error = None
    assert kinds(bench.step(12.0)) == []
    assert kinds(bench.step(15.0)) == ["identity", "readings"]


HANGING = """
import sys
from functools import partial
import flight.components.board.worker.server as server
from tests.flight.components.board.worker.test_server import FakeBoard

class Hanging(FakeBoard):
    def read(self):
        import os
        if os.path.exists(sys.argv[1] + ".hang"):
            open(sys.argv[1] + ".hung", "w").close()
            os.read(os.pipe()[0], 1)  # goes on after a signal, as a driver in the kernel does
        return super().read()

server.open_board = lambda name, environment, allow_control, wait: Hanging()
sys.exit(server.main(sys.argv))
"""


@pytest.mark.verifies("VA-BRD-02")
def test_a_driver_that_hangs_stops_the_beat_and_only_a_kill_helps(tmp_path: Path) -> None:
    (tmp_path / "hanging.py").write_text(HANGING)
    bench = WorkerBench(
        "flight.components.board.worker.server", tmp_path, {"board": "x", "period_s": 0.05}
    )
    configuration = tmp_path / "flight.components.board.worker.server.json"
    try:
        bench.process.kill()
        bench.process.wait(60)
        bench.channel.close()
        bench._command[1:3] = [str(tmp_path / "hanging.py")]
        bench.start()
        bench.hello()
        bench.expect("readings")
        Path(f"{configuration}.hang").touch()
        wait_for(Path(f"{configuration}.hung").exists)
        bench.channel.receive(1000)
        assert bench.channel.receive() == []
        bench.process.terminate()  # the driver call goes on: a polite end is not enough
        assert bench.process.poll() is None
        bench.process.kill()
        assert bench.process.wait(60) == -9
    finally:
        bench.close()


def test_it_ends_with_its_lease_and_says_what_is_missing(tmp_path: Path) -> None:
    bench = WorkerBench(
        "flight.components.board.worker.server", tmp_path, {"board": "no such board"}
    )
    try:
        bench.hello()
        assert "no board 'no such board'" in bench.expect("unavailable").body["text"]
        bench.end_lease()
        assert bench.process.wait(60) == 0
    finally:
        bench.close()


@pytest.mark.parametrize("content", ["", "[]", "{}", "{"])
def test_a_wrong_configuration_ends_it_with_a_sentence(tmp_path: Path, content: str) -> None:
    bench = WorkerBench("flight.components.board.worker.server", tmp_path, {})
    try:
        assert bench.process.wait(60) == 2
        (tmp_path / "flight.components.board.worker.server.json").write_text(content)
        bench.channel.close()
        bench.start()
        assert bench.process.wait(60) == 2
    finally:
        bench.close()
