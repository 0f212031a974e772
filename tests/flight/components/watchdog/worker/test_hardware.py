"""The process that holds the watchdog's device: armed by a stroke, disarmed only when asked to."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from flight.components.watchdog.strokes import Strokes
from flight.components.watchdog.worker.hardware import HardwareWatchdogServer, Timer, main
from flight.framework.channel import Channel, Message, pair
from flight.framework.ports import WorkerMessage
from flight.framework.worker_link import WorkerLink
from flight.workers.lifeline import Lifeline
from hal.errors import DriverFault
from hal.linux.watchdog import BootCause, HardwareWatchdog
from tests.flight.support.worker_harness import WorkerBench


class Countdown:
    """A device in memory."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self.timeout_s = bench.grants_s
        self.boot_cause = bench.boot_cause
        self.trouble = ""

    def _do(self, what: str) -> bool:
        self._bench.calls.append(what)
        self.trouble = f"{what} failed" if what in self._bench.broken else ""
        return not self.trouble

    def stroke(self) -> bool:
        return self._do("stroke")

    def close(self, disarm: bool = True) -> bool:
        return self._do("disarm" if disarm else "abandon")


class Bench:
    """A server in this process, and the executive's end of its channel."""

    def __init__(self) -> None:
        mine, theirs = pair()
        self.channel, self._other = Channel(mine), Channel(theirs)
        self._lease = os.pipe()
        self.calls: list[str] = []
        self.broken: set[str] = set()
        self.grants_s = 60
        self.boot_cause = BootCause.NONE
        self.server = HardwareWatchdogServer(Lifeline(self._other, self._lease[0]), self.open)

    def open(self) -> Timer:
        self.calls.append("open")
        if "open" in self.broken:
            raise DriverFault("device is busy")
        return Countdown(self)

    def step(self, *kinds: str) -> list[tuple[str, dict[str, object]]]:
        self.server.step([Message(1, n, kind, {}) for n, kind in enumerate(kinds)])
        return [(message.kind, message.body) for message in self.channel.receive()]

    def close(self) -> None:
        self.channel.close()
        self._other.close()
        for fd in self._lease:
            os.close(fd)


@pytest.fixture
def bench() -> Iterator[Bench]:
    opened = Bench()
    yield opened
    opened.close()


@pytest.mark.verifies("VA-SUP-09")
def test_the_device_is_not_touched_before_the_first_stroke(bench: Bench) -> None:
    assert bench.step("hello") == []
    assert bench.calls == []


def test_the_first_stroke_arms_the_device_and_says_what_time_it_gives(bench: Bench) -> None:
    assert bench.step("stroke") == [("armed", {"timeout_s": 60})]
    assert bench.calls == ["open", "stroke"]
    assert bench.step("stroke") == []
    assert bench.calls == ["open", "stroke", "stroke"]


@pytest.mark.verifies("VA-RCV-13")
def test_a_device_that_reset_the_computer_says_so_once(bench: Bench) -> None:
    bench.boot_cause = BootCause.WATCHDOG | BootCause.OVERHEAT
    assert bench.step("stroke") == [("reset", {}), ("armed", {"timeout_s": 60})]
    assert bench.step("stroke", "hello") == [("armed", {"timeout_s": 60})]


def test_strokes_that_waited_together_count_once(bench: Bench) -> None:
    bench.step("stroke", "stroke", "stroke")
    assert bench.calls == ["open", "stroke"]


def test_a_device_that_is_missing_or_taken_is_told_once_and_tried_again(bench: Bench) -> None:
    bench.broken = {"open"}
    assert bench.step("stroke") == [("failed", {"text": "device is busy"})]
    assert bench.step("stroke") == []
    bench.broken = set()
    assert bench.step("stroke") == [("armed", {"timeout_s": 60})]


def test_a_device_too_quick_for_a_restart_of_the_executive_is_disarmed_at_once(
    bench: Bench,
) -> None:
    bench.grants_s = 5
    ((kind, body),) = bench.step("stroke")
    assert kind == "failed"
    assert "grants 5 s" in str(body["text"])
    assert bench.calls == ["open", "disarm"]


def test_a_device_that_fails_is_opened_anew_and_never_disarmed(bench: Bench) -> None:
    bench.step("stroke")
    bench.broken = {"stroke", "abandon"}
    assert bench.step("stroke") == [("failed", {"text": "stroke failed"})]
    bench.broken = set()
    bench.step("stroke")
    assert bench.calls == ["open", "stroke", "stroke", "abandon", "open", "stroke"]


def test_a_new_executive_hears_how_the_device_is(bench: Bench) -> None:
    bench.step("stroke")
    assert bench.step("hello") == [("armed", {"timeout_s": 60})]


@pytest.mark.verifies("VA-SUP-09")
@pytest.mark.parametrize("broken", [set[str](), {"disarm"}])
def test_asked_to_end_it_disarms(bench: Bench, broken: set[str]) -> None:
    bench.step("stroke")
    bench.broken = broken
    bench.server.is_asked_to_end = True
    bench.server.end()
    bench.server.end()
    assert bench.calls == ["open", "stroke", "disarm"]


@pytest.mark.verifies("VA-SUP-09")
def test_when_the_supervisor_dies_the_device_counts_on(bench: Bench) -> None:
    bench.step("stroke")
    bench.channel.close()
    bench.server.run()
    assert bench.calls == ["open", "stroke", "abandon"]


@pytest.mark.verifies("VA-SUP-09")
def test_the_worker_flies_on_without_its_device_and_ends_when_asked(tmp_path: Path) -> None:
    configuration = {"device": str(tmp_path / "watchdog0"), "timeout_s": 60}
    worker = WorkerBench("flight.components.watchdog.worker.hardware", tmp_path, configuration)
    try:
        worker.hello()
        worker.channel.send("stroke", {})
        assert "watchdog0" in worker.expect("failed").body["text"]
        worker.expect("beat")
        worker.process.send_signal(signal.SIGTERM)
        assert worker.process.wait(60) == 0
    finally:
        worker.close()


def test_a_start_by_hand_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["hardware_watchdog", str(tmp_path / "none.json")]) == 2
    assert "hardware watchdog: cannot read" in capsys.readouterr().err


class TestStrokes:
    """The executive's side."""

    @staticmethod
    def linked() -> tuple[WorkerLink, Channel]:
        mine, theirs = pair()
        link = WorkerLink("hardware_watchdog")
        link.attach(Channel(mine), 5)
        return link, Channel(theirs)

    def test_a_stroke_goes_to_the_supervisor_and_to_the_device(self) -> None:
        link, other = self.linked()
        passed: list[bool] = []
        Strokes(lambda: not passed.append(True), link).stroke()
        assert passed == [True]
        assert [message.kind for message in other.receive()] == ["hello", "stroke"]
        link.close()
        other.close()

    def test_without_a_device_the_supervisor_alone_is_told(self) -> None:
        passed: list[bool] = []
        Strokes(lambda: not passed.append(True)).stroke()
        assert passed == [True]

    def test_a_supervisor_that_does_not_read_is_a_stroke_not_taken(self) -> None:
        with pytest.raises(OSError, match="supervisor does not read"):
            Strokes(lambda: False).stroke()

    def test_a_process_that_is_gone_is_a_stroke_not_taken(self) -> None:
        with pytest.raises(OSError, match="hardware_watchdog takes no message"):
            Strokes(lambda: True, WorkerLink("hardware_watchdog")).stroke()

    @pytest.mark.parametrize(
        ("body", "says"),
        [
            ({"text": "device is busy"}, "device is busy"),
            ({}, "no reason given"),
            ({"text": 5}, "5"),
            ({"text": "x" * 500}, "^x{64}$"),
        ],
    )
    def test_what_the_device_said_is_the_reason_until_it_is_armed(
        self, body: dict[str, object], says: str
    ) -> None:
        link, other = self.linked()
        strokes = Strokes(lambda: True, link)
        strokes._hear(WorkerMessage("hardware_watchdog", "failed", body))
        with pytest.raises(OSError, match=says):
            strokes.stroke()
        strokes._hear(WorkerMessage("hardware_watchdog", "armed", {"timeout_s": 60}))
        strokes.stroke()
        link.close()
        other.close()


@pytest.mark.parametrize(("is_asked", "written"), [(True, b"V"), (False, b"")])
def test_with_the_real_driver_only_a_polite_end_writes_the_letter_that_disarms(
    tmp_path: Path, is_asked: bool, written: bytes
) -> None:
    device = tmp_path / "watchdog0"
    device.touch()
    asked: list[int] = []
    mine, theirs = pair()
    channel, other, lease = Channel(mine), Channel(theirs), os.pipe()
    server = HardwareWatchdogServer(
        Lifeline(other, lease[0]),
        lambda: HardwareWatchdog(device, 60, lambda _fd, request, _buffer: asked.append(request)),
    )
    server.step([Message(1, 1, "stroke", {})])
    assert [(m.kind, m.body) for m in channel.receive()] == [("armed", {"timeout_s": 60})]
    strokes_before = len(asked)
    server.step([Message(1, 2, "stroke", {})])
    assert len(asked) == strokes_before + 1
    server.is_asked_to_end = is_asked
    server.end()
    assert device.read_bytes() == written
    channel.close()
    other.close()
    for fd in lease:
        os.close(fd)
