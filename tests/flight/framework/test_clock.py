"""On-board time: never backwards, whatever happens to the computer and its date."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flight.framework import clock
from flight.framework.clock import CEILING_AHEAD, TAI_SINCE_1958, OnboardClock
from flight.framework.time_units import SECOND

BOOTTIME = time.CLOCK_BOOTTIME


class Computer:
    """The computer's clocks in place of `time`: an uptime and a date, moved by hand."""

    CLOCK_BOOTTIME = BOOTTIME

    def __init__(self) -> None:
        self.uptime = 100 * SECOND
        self.date = 1_700_000_000 * SECOND
        self.boots = 1

    def clock_gettime_ns(self, which: int) -> int:
        assert which == BOOTTIME
        return self.uptime

    def time_ns(self) -> int:
        return self.date

    def wait(self, seconds: float) -> None:
        self.uptime += round(seconds * SECOND)
        self.date += round(seconds * SECOND)

    def reboot(self) -> None:
        self.uptime = SECOND
        self.boots += 1

    def start(self, saved: dict[str, Any]) -> OnboardClock:
        """The executive starts."""
        return OnboardClock(saved, f"boot-{self.boots}")


@pytest.fixture
def computer(monkeypatch: pytest.MonkeyPatch) -> Computer:
    computer = Computer()
    monkeypatch.setattr(clock, "time", computer)
    return computer


def test_the_very_first_start_takes_the_computers_date_as_tai(computer: Computer) -> None:
    # 2023-11-14T22:13:20 UTC is 1 700 000 000 in Unix time; 1958 is 4383 days before 1970.
    now = computer.start({}).now()
    assert now == (1_700_000_000 + 4383 * 86_400 + 37) * SECOND
    assert TAI_SINCE_1958 == (4383 * 86_400 + 37) * SECOND


def test_it_counts_with_the_uptime(computer: Computer) -> None:
    onboard = computer.start({})
    before = onboard.now()
    computer.wait(2.5)
    assert onboard.now() - before == 2.5 * SECOND


@pytest.mark.verifies("VA-BRD-13")
def test_how_far_the_date_is_ahead_changes_when_it_is_set_and_with_nothing_else(
    computer: Computer,
) -> None:
    onboard = computer.start({})
    assert onboard.date_ahead() == 0
    computer.wait(1e6)
    assert onboard.date_ahead() == 0
    computer.date -= 40 * SECOND
    assert onboard.date_ahead() == -40 * SECOND


@pytest.mark.verifies("VA-BRD-13")
def test_a_pause_between_two_clocks_is_no_step(
    computer: Computer, monkeypatch: pytest.MonkeyPatch
) -> None:
    onboard = computer.start({})
    pauses = iter([5.0, 0.0])

    def paused() -> int:
        """The process is stopped right before the date is read, once."""
        computer.wait(next(pauses))
        return computer.date

    monkeypatch.setattr(computer, "time_ns", paused)
    assert onboard.date_ahead() == 0


@pytest.mark.verifies("VA-EXE-09")
def test_a_restart_within_one_boot_goes_on_exactly(computer: Computer) -> None:
    first = computer.start({})
    saved = first.saved()
    computer.wait(7)
    computer.date = 0  # the date jumps back by fifty years
    assert computer.start(saved).now() == first.now()


@pytest.mark.verifies("VA-EXE-09")
def test_after_a_reboot_it_goes_on_above_all_that_it_showed(computer: Computer) -> None:
    onboard = computer.start({})
    saved = onboard.saved()
    computer.wait(CEILING_AHEAD / SECOND)  # as long as may pass until it is saved again
    last_shown = onboard.now()
    computer.reboot()
    assert last_shown < computer.start(saved).now() <= last_shown + 2 * CEILING_AHEAD


@pytest.mark.verifies("VA-EXE-09")
def test_without_a_boot_id_every_start_counts_as_a_reboot(computer: Computer) -> None:
    saved = OnboardClock({}, "").saved()
    shown = OnboardClock({}, "").now()
    computer.reboot()
    assert OnboardClock(saved, "").now() > shown


@pytest.mark.parametrize(
    "saved",
    [
        {"offset": "x"},
        {"boot_id": "boot-1"},
        {"ceiling": None},
        {"boot_id": 3, "offset": 1},
        {"boot_id": "boot-1", "offset": 10**30},
        {"boot_id": "boot-1", "offset": -(10**30), "ceiling": -1},
        {"ceiling": 10**19},
    ],
)
def test_what_was_saved_badly_is_as_good_as_nothing(
    computer: Computer, saved: dict[str, Any]
) -> None:
    assert computer.start(saved).now() == computer.start({}).now()


HISTORY = st.lists(
    st.tuples(st.sampled_from(["wait", "restart", "reboot", "date"]), st.integers(0, 59)),
    max_size=30,
)


@pytest.mark.verifies("VA-EXE-09")
@given(HISTORY)
def test_no_history_makes_it_show_a_time_twice(history: list[tuple[str, int]]) -> None:
    computer = Computer()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clock, "time", computer)
        onboard = computer.start({})
        saved, shown = onboard.saved(), onboard.now()
        for what, seconds in history:
            if what == "wait":
                computer.wait(seconds + 1)
                saved = onboard.saved()
            elif what == "date":
                computer.date = seconds * 10**9 * SECOND
            else:
                if what == "reboot":
                    computer.reboot()
                computer.wait(0.001)
                onboard = computer.start(saved)
                saved = onboard.saved()
            assert onboard.now() > shown or what == "date"
            shown = onboard.now()


@pytest.mark.parametrize(
    ("due", "now", "milliseconds"),
    [(0, 0, 0), (0, 5, 0), (1, 0, 1), (1_000_000, 0, 1), (1_000_001, 0, 2), (10**18, 0, 1000)],
)
def test_a_wait_is_rounded_up_and_bounded(due: int, now: int, milliseconds: int) -> None:
    assert clock.milliseconds_until(due, now) == milliseconds


def test_the_kernels_boot_id_is_read() -> None:
    assert clock.computer_boot_id() == clock.computer_boot_id()
    assert clock.epoch() <= clock.epoch()
