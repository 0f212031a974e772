"""What protection costs, beside the same work without it, and how much of what it should it finds.

Ratios are medians of pairs (without, with) of processor time: what others do on the machine counts
less so. One thread throughout.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from benchmarks.nanogpt_step import BATCH, TrainingStep
from benchmarks.products import KINDS
from flight.fault_tolerance.guard import Guard
from flight.fault_tolerance.known_answers import Problem
from flight.fault_tolerance.levels import Level, Tally
from flight.jobs import blas
from flight.jobs.nanogpt import Configuration
from flight.jobs.nanogpt.trainer import Trainer
from flight.jobs.nanogpt.training import SHARDS

GOALS = {1024: 0.08, 2048: 0.04}
"""Cost of checksums over the product alone, by size."""

DETECTION_GOAL = 0.999
KNOWN_ANSWER_GOAL = 0.01


def guard_at(level: Level) -> Guard:
    return Guard(lambda: level, Tally(), True, print)


def matrices(size: int) -> Any:
    blas.limit_to_one_thread()
    draws = np.random.default_rng(1)
    return draws.standard_normal((3, size, size)).astype(np.float32)


def extra(plain: Callable[[], Any], protected: Callable[[], Any], pairs: int) -> float:
    """How much longer the protected form takes, as a share of the plain one."""
    ratios = []
    plain()
    protected()
    for pair in range(pairs):  # by turns first: what runs second finds other caches
        spent = {}
        for run in (plain, protected) if pair % 2 else (protected, plain):
            began = time.process_time()
            run()
            spent[run] = time.process_time() - began
        ratios.append(spent[protected] / spent[plain])
    return statistics.median(ratios) - 1


@pytest.mark.parametrize("size", GOALS)
def test_checksums_of_a_product(benchmark: Any, goal: Any, size: int) -> None:
    a, b, out = matrices(size)
    guard = guard_at(Level.ABFT)
    share = benchmark.pedantic(
        extra,
        args=(lambda: np.matmul(a, b, out), lambda: guard.product(a, b, out), 41 * 1024 // size),
        rounds=1,
    )
    assert guard.tally.wrong == 0
    goal(f"checksums of a product of {size}", share, at_most=GOALS[size])


@pytest.mark.parametrize("level", [Level.DMR, Level.TMR])
def test_a_repeated_product(benchmark: Any, goal: Any, level: Level) -> None:
    a, b, out = matrices(1024)
    guard = guard_at(level)
    share = benchmark.pedantic(
        extra, args=(lambda: np.matmul(a, b, out), lambda: guard.product(a, b, out), 15), rounds=1
    )
    copies = 2 if level is Level.DMR else 3
    goal(f"{level.name} of a product of 1024, in products", 1 + share, at_most=copies + 0.05)


def test_known_answers_in_a_batch_of_128_items(benchmark: Any, goal: Any) -> None:
    first, second, _ = matrices(1024)
    slots = 128
    items, out = np.random.default_rng(1).random((2, slots, 1024)).astype(np.float32)
    hidden = np.empty_like(out)

    def infer(given: Any, made: Any) -> None:  # a perceptron of six layers
        for _ in range(3):
            np.matmul(given, first, hidden)
            np.maximum(hidden, 0, out=hidden)
            np.matmul(hidden, second, made)
            np.tanh(made, out=made)
            given = made

    problems = []
    for seed in (2, 3):  # an answer is taken where it will be asked for: in a whole batch
        batch = np.random.default_rng(seed).random((slots, 1024)).astype(np.float32)
        infer(batch, out)
        problems.append(Problem((batch[0].copy(),), out[0].copy()))
    known = guard_at(Level.ABFT).known_answers(problems)
    share = benchmark.pedantic(
        extra,
        args=(
            lambda: infer(items, out),
            lambda: known.run(infer, (items,), out, has_room=True),
            101,
        ),
        rounds=1,
    )
    cost = (1 + share) * slots / (slots - 1) - 1  # for each item: one slot of the batch is no item
    goal("a known answer among 128 items", cost, at_most=KNOWN_ANSWER_GOAL)


@pytest.mark.parametrize(
    ("level", "at_most"), [(Level.ABFT, 0.10), (Level.DMR, 1.05), (Level.TMR, 2.10)]
)
def test_a_training_step_at_each_level(
    benchmark: Any, goal: Any, level: Level, at_most: float
) -> None:
    with TrainingStep(Configuration.CPU, 1e-3, threads=1) as step:
        guard = guard_at(level)
        shards = SHARDS[Configuration.CPU]
        trainer = Trainer(step.shape, BATCH, step.state, shards, 1, guard)
        sequences = step.sequences(0)
        share = benchmark.pedantic(
            extra,
            args=(
                lambda: step(0),
                lambda: trainer.step(0, sequences, step.rate, lambda: None),
                31,
            ),
            rounds=1,
        )
        trainer.close()
    assert guard.tally.wrong == 0
    goal(f"nanogpt step at {level.name}", share, at_most=at_most)


def _found(kind: str, dtype: Any, draws: Any) -> tuple[int, int]:
    """Errors above 20 u |A| |b| put into products of a kind: how many were found, of how many."""
    found = tried = 0
    for m, k, n in ((64, 64, 64), (200, 130, 300), (30, 1000, 40), (600, 40, 20)):
        a, b = (KINDS[kind](draws, shape).astype(dtype) for shape in ((m, k), (k, n)))
        right = a @ b
        unit = np.finfo(dtype).eps / 2
        norms = np.linalg.norm(a.astype(float)) * np.linalg.norm(b.astype(float), axis=0)
        for _ in range(20):
            row, column = int(draws.integers(m)), int(draws.integers(n))
            error = 20 * unit * norms[column] * 10 ** draws.uniform(0, 2) * draws.choice([-1, 1])
            spoilt = dtype(right[row, column] + error)
            if not abs(float(spoilt) - float(right[row, column])) > 20 * unit * norms[column] > 0:
                continue
            guard = guard_at(Level.ABFT)
            calls: list[int] = []

            def multiply(
                a: Any, b: Any, out: Any, at: Any = (row, column), value: Any = spoilt,
                calls: Any = calls,
            ) -> None:  # fmt: skip
                np.matmul(a, b, out=out)
                if not calls:
                    out[at] = value
                calls.append(1)

            made = guard.product(a, b, None, multiply)
            tried += 1
            found += guard.tally.wrong > 0 and np.array_equal(made, right)
    return found, tried


def test_errors_above_twenty_roundings_are_found(benchmark: Any, goal: Any) -> None:
    draws = np.random.default_rng(2)

    def count() -> tuple[int, int]:
        results = [
            _found(kind, dtype, draws) for kind in KINDS for dtype in (np.float32, np.float64)
        ]
        return sum(found for found, _ in results), sum(tried for _, tried in results)

    found, tried = benchmark.pedantic(count, rounds=1)
    benchmark.extra_info.update(found=found, tried=tried)
    goal(f"errors above 20 roundings found, of {tried}", found / tried, at_least=DETECTION_GOAL)
