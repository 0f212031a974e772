"""What no longer answers is found, told once, replaced, and given up in the end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import pytest

from flight.components.watchdog.component import Health, Watchdog
from flight.framework.ports import WorkerMessage
from flight.framework.time_units import SECOND
from icd.codec import FieldError
from icd.dictionary import Severity
from icd.failures import FailureCode
from tests.flight.support.component_harness import Bench


class Part:
    """A component that answers pings when it is well."""

    def __init__(self, name: str, apid: int, *, is_critical: bool = True) -> None:
        self.name, self.apid, self.is_critical = name, apid, is_critical
        self.is_well = True
        self.is_full = False
        self.held: list[Callable[[], None]] = []

    def ping(self, key: int, answer: Callable[[int], None]) -> bool:
        if self.is_full:
            return False
        self.held.append(lambda: answer(key))
        if self.is_well:
            self.answer()
        return True

    def answer(self) -> None:
        while self.held:
            self.held.pop(0)()


class Process:
    """A worker that beats when it is well."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.pid = 100
        self.last_beat: int | None = None
        self.doing = ""
        self.is_well = True

    def send(self, _kind: str, _body: Mapping[str, Any]) -> bool:
        return True

    def on_message(self, handler: Callable[[WorkerMessage], None]) -> None:
        pass


class Scene:
    """A watchdog with three components, two workers, and what it may call upon."""

    def __init__(self) -> None:
        self.parts = [Part("commands", 1), Part("files", 6), Part("jobs", 5, is_critical=False)]
        self.storage, self.board = self.workers = [Process("storage"), Process("board")]
        self.replaced: list[str] = []
        self.restarts: list[str] = []
        self.strokes = 0
        self.stroke_error: OSError | None = None
        self.bench = Bench("watchdog", 3)
        self.bench.plug(Watchdog(self.bench.port, self.parts, self.workers, self, self))

    def replace(self, worker: str) -> None:
        self.replaced.append(worker)

    def restart_executive(self, reason: str) -> None:
        self.restarts.append(reason)

    def stroke(self) -> None:
        if self.stroke_error:
            raise self.stroke_error
        self.strokes += 1

    def live(self, seconds: int) -> None:
        for _ in range(seconds):
            for worker in self.workers:
                if worker.is_well:
                    worker.last_beat = self.bench.now + SECOND
            self.bench.step(1.0)

    @property
    def hk(self) -> Any:
        return self.bench.component.hk


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_as_long_as_all_answer_the_hardware_is_stroked_every_second(scene: Scene) -> None:
    scene.live(10)
    assert scene.strokes == 10
    assert scene.hk.answers == scene.hk.pings == 30
    assert scene.bench.told == []


def test_the_next_ping_is_due_one_period_later(scene: Scene) -> None:
    due = scene.bench.step(0)
    assert due == scene.bench.now + SECOND
    assert scene.bench.step(0.5) == due
    assert scene.hk.pings == 3


def test_a_silent_component_is_told_once_and_again_when_it_is_back(scene: Scene) -> None:
    scene.live(3)
    scene.parts[2].is_well = False
    scene.live(5)
    assert scene.bench.events("component_silent") == [("jobs", 5, 1)]
    assert scene.hk.silent_components == 1
    scene.parts[2].is_well = True
    scene.live(3)
    assert scene.bench.events("component_back") == [("jobs",)]
    assert scene.hk.silent_components == 0


def test_a_critical_component_that_misses_three_pings_has_the_executive_restarted(
    scene: Scene,
) -> None:
    scene.parts[1].is_well = False
    scene.live(20)
    assert scene.restarts == ["files missed 3 pings"]
    assert scene.bench.severity("executive_restart_asked") is Severity.HIGH


def test_a_component_that_is_not_critical_never_restarts_the_executive(scene: Scene) -> None:
    scene.parts[2].is_well = False
    scene.live(60)
    assert scene.restarts == []
    assert scene.strokes > 50


@pytest.mark.verifies("VA-EXE-08")
def test_a_silent_critical_component_keeps_the_hardware_from_being_stroked(scene: Scene) -> None:
    scene.live(3)
    scene.parts[0].is_well = False
    strokes = scene.strokes
    scene.live(10)
    assert scene.strokes == strokes
    assert scene.bench.events("stroke_withheld") == [("commands",)]


def test_a_late_or_repeated_answer_is_refused_and_counted(scene: Scene) -> None:
    part = scene.parts[1]
    part.is_well = False
    scene.live(1)
    late = part.held.pop()
    scene.live(2)
    late()
    assert scene.hk.stale_answers == 1
    fresh = part.held[0]
    part.answer()
    fresh()
    assert scene.hk.stale_answers == 2


def test_a_full_queue_counts_as_a_missed_ping(scene: Scene) -> None:
    scene.parts[1].is_full = True
    scene.live(3)
    assert scene.hk.undelivered == 2
    assert scene.bench.events("component_silent") == [("files", 6, 1)]


def test_a_worker_has_its_time_to_start(scene: Scene) -> None:
    scene.board.is_well = False
    scene.live(10)
    assert scene.replaced == []
    scene.live(1)
    assert scene.replaced == ["board"]


@pytest.mark.verifies("VA-BRD-02")
def test_a_silent_worker_is_replaced_once_and_told_when_it_is_back(scene: Scene) -> None:
    scene.live(3)
    scene.board.is_well = False
    scene.live(5)
    assert scene.replaced == ["board"]
    assert len(scene.bench.events("worker_silent")) == 1
    assert scene.hk.replaced == (0, 1, 0, 0, 0, 0)
    assert scene.hk.silent_workers == 1
    scene.board.pid, scene.board.last_beat = 200, None
    scene.live(8)
    assert scene.replaced == ["board"]
    scene.board.is_well = True
    scene.live(1)
    assert scene.bench.events("worker_back") == [("board", 200)]
    assert scene.hk.silent_workers == 0


@pytest.mark.verifies("VA-SUP-10")
def test_a_worker_that_says_that_it_compiles_has_as_long_as_a_start(scene: Scene) -> None:
    scene.live(3)
    scene.board.doing, scene.board.is_well = "compiles", False
    scene.live(9)
    assert scene.replaced == []
    assert scene.bench.events("worker_busy") == [("board", 100, "compiles")]
    scene.live(3)
    assert scene.replaced == ["board"]


@pytest.mark.verifies("VA-SUP-10")
def test_a_replaced_worker_may_be_silent_for_twice_as_long_until_it_was_well_for_a_minute(
    scene: Scene,
) -> None:
    def silent_for() -> float:
        before = len(scene.replaced)
        last = scene.board.last_beat or 0
        scene.board.is_well = False
        while len(scene.replaced) == before:
            scene.live(1)
        scene.board.pid, scene.board.is_well = scene.board.pid + 1, True
        silence = (scene.bench.now - last) / SECOND
        scene.live(15 << before)  # until it may be replaced again
        return silence

    scene.live(3)
    assert [silent_for() for _ in range(3)] == [2.0, 4.0, 7.0]
    scene.live(62)
    assert silent_for() == 2.0


def test_replacements_are_ever_further_apart_until_the_worker_is_given_up(scene: Scene) -> None:
    scene.live(3)
    scene.board.is_well = False
    times = []
    for second in range(400):
        scene.live(1)
        while len(times) < len(scene.replaced):
            times.append(second)
    gaps = [b - a for a, b in pairwise(times)]
    assert gaps == [10, 20, 40, 80]
    assert scene.bench.events("worker_given_up") == [("board", 5)]
    assert scene.bench.severity("worker_given_up") is Severity.HIGH


def test_a_worker_that_was_well_for_a_minute_gets_all_its_attempts_again(scene: Scene) -> None:
    for _ in range(8):
        scene.live(62)
        scene.board.is_well = False
        scene.live(3)
        scene.board.is_well = True
    assert len(scene.replaced) == 8
    assert scene.bench.events("worker_given_up") == []


def test_a_worker_given_up_is_replaced_again_when_ground_asks(scene: Scene) -> None:
    scene.board.is_well = False
    scene.live(400)
    count = len(scene.replaced)
    assert scene.bench.do("replace", "board").is_done
    assert len(scene.replaced) == count + 1
    asker = scene.bench.do("replace", "bord")
    assert asker.code is FailureCode.NOT_FOUND
    assert "storage, board" in asker.reason


@pytest.mark.verifies("VA-EXE-08")
def test_a_silent_critical_worker_withholds_the_stroke_and_another_does_not(scene: Scene) -> None:
    scene.live(3)
    scene.board.is_well = False
    scene.live(10)
    assert scene.strokes == 13
    scene.storage.is_well = False
    scene.live(10)
    assert scene.strokes < 17
    assert scene.bench.events("stroke_withheld") == [("storage",)]


def test_a_hardware_watchdog_that_fails_is_told_once_and_counted(scene: Scene) -> None:
    scene.stroke_error = OSError("no such device")
    scene.live(5)
    assert scene.bench.events("stroke_failed") == [("no such device",)]
    assert scene.hk.stroke_failures == 5


def test_status_reports_every_part_to_the_station_that_asks(scene: Scene) -> None:
    scene.live(3)
    scene.board.is_well = False
    scene.live(4)
    asker = scene.bench.do("status", source=9)
    assert asker.result.rows == 5
    rows = {row[0]: row for row in scene.bench.reports("watched", 9)}
    assert rows["files"][-1] == Health.WELL
    assert rows["board"][1:] == (True, False, 100, 4.0, 1, 1, Health.SILENT)


def test_status_without_room_on_the_downlink_is_refused(scene: Scene) -> None:
    scene.bench.room = 2
    assert "send it again" in scene.bench.do("status").reason


def test_a_parameter_out_of_range_is_refused(scene: Scene) -> None:
    with pytest.raises(FieldError, match=r"give 0\.1 … 5 s"):
        scene.bench.component.set_parameters([(0, 0.0)])
    scene.bench.component.set_parameters([(0, 0.5)])
    assert scene.bench.step(1.0) == scene.bench.now + SECOND // 2
