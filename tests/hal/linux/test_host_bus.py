"""Asking the bus that hosts the payload for a power cycle."""

from __future__ import annotations

from pathlib import Path

import pytest

from hal.errors import DriverFault, TimedOut, Unsupported, WrongRequest
from hal.linux.host_bus import FOLDER, FolderHostBus, NoHostBus, open_host_bus, power_cycle
from icd import host_bus as layout
from icd.host_bus import Answer

pytestmark = pytest.mark.portable


@pytest.fixture
def bus(tmp_path: Path) -> FolderHostBus:
    return FolderHostBus(tmp_path)


class Host:
    """Answers the next request when somebody waits; time goes by as they wait."""

    def __init__(self, folder: Path, *states: str) -> None:
        self.folder = folder
        self.states = list(states)
        self.now_s = 0.0

    def clock(self) -> float:
        return self.now_s

    def wait(self, seconds: float) -> None:
        self.now_s += seconds
        request = layout.read_request(self.folder)
        if request is not None and self.states:
            layout.write_answer(self.folder, Answer(request.number, self.states.pop(0), "so it is"))


def test_a_request_says_what_is_asked_and_its_number_rises(
    bus: FolderHostBus, tmp_path: Path
) -> None:
    first = bus.ask_power_cycle("GPU hangs", 5.0)
    assert bus.ask_power_cycle("still hangs", 5.0) == first + 1
    request = layout.read_request(tmp_path)
    assert request is not None
    assert (request.action, request.off_s, request.reason) == ("power_cycle", 5.0, "still hangs")


def test_numbers_go_on_after_a_restart_even_when_the_request_is_gone(
    bus: FolderHostBus, tmp_path: Path
) -> None:
    layout.write_answer(tmp_path, Answer(41, "done", ""))
    assert bus.ask_power_cycle("again") == 42


def test_only_the_answer_to_the_request_counts(bus: FolderHostBus, tmp_path: Path) -> None:
    number = bus.ask_power_cycle("test")
    assert bus.answer(number) is None
    layout.write_answer(tmp_path, Answer(number - 1, "done", ""))
    assert bus.answer(number) is None
    layout.write_answer(tmp_path, Answer(number, "accepted", "soon"))
    found = bus.answer(number)
    assert found is not None
    assert found.text == "soon"


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"number": "x"}', '{"number": 1}', "\x00"]
)
def test_what_nobody_can_understand_is_no_answer_and_no_request(
    bus: FolderHostBus, tmp_path: Path, text: str
) -> None:
    for name in ("answer.json", "request.json"):
        (tmp_path / name).write_text(text)
    assert bus.answer(1) is None
    assert layout.read_request(tmp_path) is None
    assert bus.ask_power_cycle("anyway") == 1


def test_a_power_cycle_ends_when_the_host_says_that_it_is_done(
    bus: FolderHostBus, tmp_path: Path
) -> None:
    host = Host(tmp_path, "accepted", "accepted", "done")
    assert power_cycle(bus, "test", host.wait, host.clock) == "so it is"


def test_a_host_that_refuses_says_why(bus: FolderHostBus, tmp_path: Path) -> None:
    host = Host(tmp_path, "refused")
    with pytest.raises(DriverFault, match="refuses: so it is"):
        power_cycle(bus, "test", host.wait, host.clock)


def test_a_host_that_never_answers_ends_in_a_time_out(bus: FolderHostBus, tmp_path: Path) -> None:
    host = Host(tmp_path)
    with pytest.raises(TimedOut, match="within 30 s"):
        power_cycle(bus, "test", host.wait, host.clock, limit_s=30.0)


@pytest.mark.parametrize("off_s", [0.0, -1.0, 1e9, float("nan")])
def test_a_time_without_power_that_cannot_be_is_refused(bus: FolderHostBus, off_s: float) -> None:
    with pytest.raises(WrongRequest, match=r"give 0.1 … 600 s"):
        bus.ask_power_cycle("test", off_s)


def test_a_host_that_cannot_be_reached_is_an_error_of_ours(tmp_path: Path) -> None:
    with pytest.raises(DriverFault, match="cannot be asked"):
        FolderHostBus(tmp_path / "none").ask_power_cycle("test")


def test_without_a_host_every_request_is_refused_with_what_to_set() -> None:
    bus = open_host_bus({})
    assert isinstance(bus, NoHostBus)
    with pytest.raises(Unsupported, match=FOLDER):
        bus.ask_power_cycle("test")
    assert bus.answer(1) is None
