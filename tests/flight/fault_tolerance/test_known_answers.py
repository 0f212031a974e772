"""A kernel that lives and is wrong is found by problems whose answers are known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from flight.fault_tolerance.known_answers import FEWEST, KnownAnswers, Problem
from flight.jobs.api import ResultError
from tests.flight.fault_tolerance.harness import Bench

pytestmark = pytest.mark.numerical

pytestmark = pytest.mark.portable

ITEMS, WIDTH = 128, 16


def kernel(items: Any, out: Any) -> None:
    out[...] = np.sqrt(items) + 1


def problems() -> list[Problem]:
    items = [np.full(WIDTH, value, np.float32) for value in (4, 9, 25)]
    return [Problem((item,), np.asarray(np.sqrt(item) + 1, np.float32)) for item in items]


def batches(count: int, size: int = ITEMS) -> Any:
    return np.random.default_rng(1).random((count, size, WIDTH)).astype(np.float32)


class Device:
    """Runs a kernel until it is stuck; it beats all the while, whatever it computes."""

    def __init__(self, stuck: Any) -> None:
        self.stuck = stuck
        self.is_stuck = False
        self.beats = 0
        self.last: Any = None

    def __call__(self, items: Any, out: Any) -> None:
        self.beats += 1
        if self.is_stuck:
            self.stuck(self, items, out)
        else:
            kernel(items, out)
        if len(out) == ITEMS:
            self.last = out.copy()


def stale(device: Device, _: Any, out: Any) -> None:
    out[...] = device.last[: len(out)]  # of the last whole batch


def constant(_: Device, items: Any, out: Any) -> None:
    out[...] = 3.0 + 0 * items  # which is the answer to one of the problems


def nothing(*_: Any) -> None:
    """Leaves in its output what was there."""


def lane(_: Device, items: Any, out: Any) -> None:
    kernel(items, out)
    out[40:48] += 1


STUCK = {"stale results": stale, "a constant": constant, "nothing": nothing}


@pytest.mark.verifies("VA-PRT-08")
@pytest.mark.parametrize("is_writable", [True, False])
@pytest.mark.parametrize("stuck", STUCK)
def test_a_stuck_kernel_is_caught_within_two_batches_and_liveness_alone_sees_nothing(
    stuck: str, is_writable: bool
) -> None:
    bench = Bench()
    known = bench.guard.known_answers(problems())
    device = Device(STUCK[stuck])
    out = np.empty((ITEMS, WIDTH), np.float32)
    given = batches(9)
    given.flags.writeable = is_writable
    work = iter(given)
    for _ in range(5):
        known.run(device, (next(work),), out)
    device.is_stuck = True
    beats = device.beats

    device(next(work), out)  # with liveness alone: it answers, it beats, nobody complains
    assert device.beats > beats

    def go_on() -> None:
        for items in (next(work), next(work)):
            known.run(device, (items,), out)

    with pytest.raises(ResultError, match="what it computes is wrong"):
        go_on()
    assert bench.tally.known_wrong > 0


@pytest.mark.verifies("VA-PRT-08")
def test_a_broken_lane_is_reached_by_the_rotating_slot() -> None:
    bench = Bench()
    known = bench.guard.known_answers(problems())
    device = Device(lane)
    device.is_stuck = True
    out = np.empty((ITEMS, WIDTH), np.float32)
    for items in batches(ITEMS // 8 + 4):
        known.run(device, (items,), out)
    assert bench.tally.known_wrong > 0


@pytest.mark.verifies("VA-PRT-08")
def test_results_and_inputs_are_as_if_there_had_been_no_problem() -> None:
    bench = Bench()
    known = bench.guard.known_answers(problems())
    out = np.empty((ITEMS, WIDTH), np.float32)
    right = np.empty_like(out)
    slots = set()
    for items in batches(ITEMS):
        before = items.copy()
        slots.add(known._slot(ITEMS))
        known.run(kernel, (items,), out)
        kernel(before, right)
        assert np.array_equal(out, right)
        assert np.array_equal(items, before)
    assert slots == set(range(ITEMS)), "every slot has its turn"
    assert (bench.tally.known_answers, bench.tally.known_wrong) == (ITEMS, 0)


@pytest.mark.verifies("VA-PRT-08")
def test_with_room_for_one_more_item_the_batch_takes_one_call() -> None:
    bench = Bench()
    known = bench.guard.known_answers(problems())
    device = Device(nothing)
    out, right = np.empty((2, ITEMS, WIDTH), np.float32)
    for items in batches(ITEMS):
        before = items.copy()
        known.run(device, (items,), out, has_room=True)
        kernel(before, right)
        assert np.array_equal(out[:-1], right[:-1])
        assert np.array_equal(items[:-1], before[:-1])
    assert (device.beats, bench.tally.known_answers) == (ITEMS, ITEMS)


def test_read_only_items_are_left_alone_and_their_results_are_right() -> None:
    bench = Bench()
    known = bench.guard.known_answers(problems())
    out, right = np.empty((2, ITEMS, WIDTH), np.float32)
    given = batches(20)
    given.flags.writeable = False
    for items in given:
        known.run(kernel, (items,), out)
        kernel(items, right)
        assert np.array_equal(out, right)
    assert bench.tally.known_answers == 20


def test_a_passing_error_costs_a_second_run() -> None:
    bench = Bench()
    known = bench.guard.known_answers(problems())
    device = Device(nothing)
    out = np.empty((ITEMS, WIDTH), np.float32)
    (items,) = batches(1)

    def once(given: Any, made: Any) -> None:
        device.is_stuck = device.beats == 0
        device(given, made)

    known.run(once, (items,), out)
    right = np.empty_like(out)
    kernel(items, right)
    assert np.array_equal(out, right)
    assert (bench.tally.known_answers, bench.tally.known_wrong) == (2, 1)
    assert "wrong answer to a known problem in slot 0" in bench.said[0]


def test_small_batches_share_one_problem() -> None:
    bench = Bench()
    known = bench.guard.known_answers(problems())
    out = np.empty((50, WIDTH), np.float32)
    for items in batches(30, 50):
        known.run(kernel, (items,), out)
    assert bench.tally.known_answers == 10, f"one for at least {FEWEST} items"


def test_inputs_come_back_when_a_kernel_fails() -> None:
    known = Bench().guard.known_answers(problems())
    (items,) = batches(1)
    before = items.copy()
    with pytest.raises(ZeroDivisionError):
        known.run(lambda *_: 1 // 0, (items,), np.empty((ITEMS, WIDTH), np.float32))
    assert np.array_equal(items, before)


def test_problems_with_one_and_the_same_answer_are_refused() -> None:
    same = Problem((np.ones(3),), np.ones(3))
    with pytest.raises(ValueError, match="give problems that differ"):
        KnownAnswers([same, same], print, print)
