"""Kernels run as often as the level asks, and what they agree on counts."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from flight.fault_tolerance.levels import Level
from flight.jobs.api import ResultError
from tests.flight.fault_tolerance.harness import Bench, Faulty, flip, normal

pytestmark = pytest.mark.numerical

pytestmark = pytest.mark.portable

REPEATED = [Level.ABFT, Level.DMR, Level.TMR]


class Accumulate:
    """Adds to an array in place and returns the sum; the runs that are named go wrong."""

    def __init__(
        self, spoil: Callable[[Any], Any] = lambda array: flip(array, (3,), 17), *runs: int
    ):
        self.spoil = spoil
        self.runs = runs
        self.made = 0

    def __call__(self, array: Any) -> float:
        array += 1
        total = float(array.sum())
        if self.made in self.runs:
            self.spoil(array)
        self.made += 1
        return total


@pytest.mark.verifies("VA-PRT-06")
@pytest.mark.parametrize(("level", "runs"), [(Level.NONE, 1), (Level.DMR, 2), (Level.TMR, 3)])
def test_a_kernel_runs_as_often_as_the_level_says_and_starts_each_time_from_the_same(
    level: Level, runs: int
) -> None:
    bench, array, kernel = Bench(level), np.arange(8.0), Accumulate()
    assert bench.guard.call(kernel, array, outputs=(array,)) == 36.0
    assert np.array_equal(array, np.arange(1.0, 9.0)), "changed in place once, not more often"
    assert kernel.made == runs
    assert (bench.tally.checks, bench.tally.wrong) == (int(runs > 1), 0)
    assert bench.said == []


@pytest.mark.verifies("VA-PRT-06")
@pytest.mark.parametrize("level", REPEATED)
@pytest.mark.parametrize("run", [0, 1, 2])
def test_one_wrong_run_is_outvoted(level: Level, run: int) -> None:
    bench, array = Bench(level), np.arange(8.0)
    kernel = Accumulate(lambda wrong: flip(wrong, (3,), 0), run)
    assert bench.guard.call(kernel, array, outputs=(array,)) == 36.0
    assert np.array_equal(array, np.arange(1.0, 9.0))
    is_seen = run < 2 or level is Level.TMR
    assert (bench.tally.wrong, bench.tally.outvoted) == (int(is_seen), int(is_seen))
    assert bench.said == (["1 of 3 runs of a kernel were outvoted"] if is_seen else [])


@pytest.mark.verifies("VA-PRT-06")
def test_three_runs_that_were_hit_in_different_places_are_put_together() -> None:
    hits = iter(range(3))
    bench, array = Bench(Level.TMR), np.arange(64.0)
    kernel = Accumulate(lambda wrong: flip(wrong, (8 * next(hits),), 40), 0, 1, 2)
    bench.guard.call(kernel, array, outputs=(array,))
    assert np.array_equal(array, np.arange(1.0, 65.0))
    assert (kernel.made, bench.tally.outvoted) == (3, 3)


@pytest.mark.verifies("VA-PRT-06")
def test_three_runs_that_differ_in_one_place_are_followed_by_others() -> None:
    noise = iter(range(1, 9))
    bench, array = Bench(Level.TMR), np.arange(8.0)
    kernel = Accumulate(lambda wrong: wrong.__setitem__(3, next(noise)), 0, 1, 2)
    bench.guard.call(kernel, array, outputs=(array,))
    assert np.array_equal(array, np.arange(1.0, 9.0))
    assert (kernel.made, bench.tally.recomputed, bench.tally.outvoted) == (5, 2, 3)


@pytest.mark.parametrize("level", REPEATED)
def test_a_kernel_that_never_agrees_with_itself_is_given_up(level: Level) -> None:
    noise = iter(range(1, 99))
    bench, array = Bench(level), np.arange(8.0)
    kernel = Accumulate(lambda wrong: wrong.__setitem__(3, next(noise)), *range(99))
    with pytest.raises(ResultError, match="or the kernel is not deterministic"):
        bench.guard.call(kernel, array, outputs=(array,))
    assert kernel.made == 5
    assert bench.tally.wrong == 1


def test_what_is_returned_is_compared_too() -> None:
    @dataclass
    class Result:
        loss: float
        parts: tuple[Any, ...]

    answers = iter([1.0, 2.0, 1.0])
    bench = Bench(Level.DMR)
    made = bench.guard.call(lambda: Result(next(answers), (np.nan, "text", None, np.arange(3))))
    assert made.loss == 1.0
    assert bench.tally.outvoted == 1


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(TypeError, match="bits of a object cannot be compared; return numbers"):
        Bench(Level.DMR).guard.call(object)


def test_the_bits_count_not_the_values() -> None:
    zeros = iter([0.0, -0.0, 0.0])
    out = np.zeros(1)
    bench = Bench(Level.DMR)
    bench.guard.call(lambda: out.fill(next(zeros)), overwritten=(out,))
    assert bench.tally.outvoted == 1


@pytest.mark.parametrize("level", [Level.DMR, Level.TMR])
def test_products_are_repeated_at_the_higher_levels(level: Level) -> None:
    a, b = normal(30, 40), normal(40, 20, seed=2)
    bench = Bench(level)
    faulty = Faulty(lambda out: flip(out, (3, 4), 0), 1)
    assert np.array_equal(bench.guard.product(a, b, None, faulty), a @ b)
    assert (faulty.made, bench.tally.outvoted) == (3, 1)


def test_what_other_threads_find_is_said_on_the_thread_of_the_guard() -> None:
    bench = Bench()
    a, b = normal(30, 40), normal(40, 20, seed=2)
    faulty = Faulty(lambda out: flip(out, (3, 4), 30))
    thread = threading.Thread(target=bench.guard.product, args=(a, b, None, faulty))
    thread.start()
    thread.join()
    assert bench.said == []
    bench.guard.report()
    assert len(bench.said) == 1


@pytest.mark.verifies("VA-PRT-07")
@pytest.mark.parametrize("level", Level)
def test_sums_products_and_norms_are_those_of_numpy(level: Level) -> None:
    values, others = normal(1000), normal(1000, seed=2)
    bench = Bench(level)
    assert bench.guard.sum(values) == pytest.approx(values.sum(dtype=float))
    assert bench.guard.dot(values, others) == pytest.approx(values.astype(float) @ others)
    assert bench.guard.norm(values) == pytest.approx(np.linalg.norm(values.astype(float)))
    assert bench.guard.sum(np.empty(0)) == 0
    assert (bench.tally.checks, bench.tally.wrong) == (4 if level else 0, 0)


@pytest.mark.verifies("VA-PRT-07")
def test_sums_of_every_kind_raise_no_false_alarm() -> None:
    from benchmarks.products import KINDS

    bench = Bench()
    draws = np.random.default_rng(5)
    for make in KINDS.values():
        for size in (1, 7, 300, 5000):
            for scale in (1.0, 1e-30, 1e30, 1e300, 1e-310):
                with np.errstate(all="ignore"):
                    bench.guard.sum(make(draws, (1, size)) * scale)
                    bench.guard.norm(make(draws, (1, size)) * scale)
    assert bench.tally.wrong == 0
    assert bench.said == []


@pytest.mark.verifies("VA-PRT-07")
def test_a_sum_that_went_wrong_is_taken_again(monkeypatch: pytest.MonkeyPatch) -> None:
    from flight.fault_tolerance import reductions

    values = normal(1000)
    right = float(values.sum(dtype=float))
    wrong = iter([right + 1e-6, right, right])
    real = reductions.total

    def hit(array: Any) -> Any:
        made = real(array)
        return reductions.Reduction(lambda: next(wrong), made.again, made.size, made.terms)

    monkeypatch.setattr(reductions, "total", hit)
    bench = Bench()
    assert bench.guard.sum(values) == right
    assert (bench.tally.wrong, bench.tally.recomputed) == (1, 1)


def test_a_sum_that_stays_wrong_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    from flight.fault_tolerance import reductions

    monkeypatch.setattr(
        reductions,
        "total",
        lambda values: reductions.Reduction(lambda: 99.0, lambda: 1.0, lambda: 1.0, values.size),
    )
    with pytest.raises(ResultError, match="failed its check 3 times"):
        Bench().guard.sum(normal(10))


def test_unequal_vectors_have_no_dot_product() -> None:
    with pytest.raises(ValueError, match="give as many"):
        Bench().guard.dot(np.ones(3), np.ones(4))
