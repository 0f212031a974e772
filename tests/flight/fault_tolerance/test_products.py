"""Products under checksums: right ones pass, wrong ones are found and made right."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from benchmarks.products import draw

from flight.fault_tolerance.levels import Level
from flight.fault_tolerance.redundancy import other_bits
from flight.jobs.api import ResultError
from tests.flight.fault_tolerance.harness import Bench, Faulty, flip, normal, rounding

pytestmark = pytest.mark.numerical


def same_bits(one: Any, other: Any) -> bool:
    """Whether two arrays hold the same bits, however they lie; NaN equals the same NaN."""
    return one.shape == other.shape and not other_bits(one, other)[0].size


pytestmark = pytest.mark.portable

SHAPES = [(1, 1, 1), (1, 70, 5), (5, 1, 7), (33, 65, 1), (70, 30, 50), (192, 128, 96)]


WAYS: dict[str, Callable[[Any, int, int], Any]] = {
    "row by row": lambda memory, m, n: memory[: m * n].reshape(m, n),
    "turned": lambda memory, m, n: memory[: m * n].reshape(n, m).T,
    "in a larger one": lambda memory, m, n: memory[: 2 * m * n].reshape(m, -1)[:, :n],
    "turned in a larger one": lambda memory, m, n: memory[: 2 * m * n].reshape(n, -1)[:, :m].T,
    "backwards": lambda memory, m, n: memory[: m * n].reshape(m, n)[::-1],
    "every second": lambda memory, m, n: memory[: 2 * m * n].reshape(m, -1)[:, ::2],
    "from an odd place": lambda memory, m, n: memory[3 : 3 + m * n].reshape(m, n),
}
"""How a matrix of m rows and n columns may lie in memory for twice as many elements, and three."""

SHARED = {"nothing": (), "the left one's": (0,), "the right one's": (1,), "that of both": (0, 1)}
"""Which factors' memory a product lies in."""


@pytest.mark.verifies("VA-PRT-10")
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_checked_product_has_the_bits_of_the_unchecked_one(
    shape: tuple[int, int, int], dtype: Any
) -> None:
    m, k, n = shape
    a, b = normal(m, k, dtype=dtype), normal(k, n, seed=2, dtype=dtype)
    bench = Bench()
    assert same_bits(bench.guard.product(a, b), np.matmul(a, b))
    assert (bench.tally.checks, bench.tally.wrong) == (1, 0)
    assert bench.tally.spent_ns > 0


@pytest.mark.verifies("VA-PRT-10")
@pytest.mark.parametrize("level", Level)
@pytest.mark.parametrize("shared", SHARED)
@pytest.mark.parametrize("way", WAYS)
def test_a_product_has_the_bits_that_the_same_call_gives_without_a_guard(
    way: str, shared: str, level: Level
) -> None:
    bench = Bench(level)
    for shape, dtype, left, right in itertools.product(
        [(1, 70, 5), (33, 65, 1), (70, 30, 50)],
        [np.float32, np.float64],
        ["row by row", "turned"],
        ["row by row", "turned"],
    ):
        m, k, n = shape
        memories = [normal(2 * 70 * 65 + 3, seed=seed, dtype=dtype) for seed in (1, 2)]
        if len(SHARED[shared]) > 1:
            memories[1] = memories[0]
        a, b = WAYS[left](memories[0], m, k), WAYS[right](memories[1], k, n)
        apart = WAYS[way](np.empty_like(memories[0]), m, n)
        np.matmul(a, b, apart)
        into = [memories[index] for index in SHARED[shared]] or [np.empty_like(memories[0])]
        out = bench.guard.product(a, b, WAYS[way](into[0], m, n))
        assert same_bits(out, apart), (shape, dtype, left, right)
    assert bench.tally.wrong == 0


@pytest.mark.verifies("VA-PRT-10")
@pytest.mark.parametrize("level", Level)
def test_a_matrix_times_itself_turned_has_the_bits_of_that_call(level: Level) -> None:
    a = normal(60, 40)  # for which NumPy takes another routine than for two matrices
    right = np.matmul(a, a.T)
    assert same_bits(Bench(level).guard.product(a, a.T), right)
    square = normal(60, 60)
    right = np.matmul(square, square.T)
    assert same_bits(Bench(level).guard.product(square, square.T, square), right)


LAYOUTS: dict[str, tuple[Any, Any]] = {
    "turned left": (normal(30, 70).T, normal(30, 50)),
    "turned right": (normal(70, 30), normal(50, 30).T),
    "parts of larger ones": (normal(90, 64)[10:80, 20:50], normal(64, 90)[5:35, 8:58]),
    "three dimensions": (normal(5, 70, 30), normal(5, 30, 50)),
    "one for all": (normal(5, 70, 30), normal(30, 50)),
    "heads": (
        normal(3, 64, 2, 32).swapaxes(1, 2),
        normal(3, 64, 2, 32).swapaxes(1, 2).swapaxes(2, 3),
    ),
    "backwards": (normal(70, 30)[::-1], normal(30, 50)),
    "read-only": (np.broadcast_to(normal(30), (70, 30)), normal(30, 50)),
}


@pytest.mark.verifies("VA-PRT-10")
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_wrong_element_is_found_in_whatever_way_the_matrices_lie(layout: str) -> None:
    a, b = LAYOUTS[layout]
    right = a @ b
    place = (*(length // 2 for length in right.shape),)

    def spoil(out: Any) -> None:
        out[place] += 1

    bench = Bench()
    assert np.array_equal(bench.guard.product(a, b, None, Faulty(spoil)), right)
    assert (bench.tally.checks, bench.tally.wrong, bench.tally.recomputed) == (2, 1, 1)
    assert f"row {place[-2]}, column {place[-1]}" in bench.said[0]


@pytest.mark.verifies("VA-PRT-03")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("level", [Level.ABFT, Level.DMR, Level.TMR])
def test_a_product_that_went_wrong_comes_out_right_however_it_lies(way: str, level: Level) -> None:
    a, b = normal(70, 30), normal(30, 50, seed=2)
    out = WAYS[way](np.empty(7003, np.float32), 70, 50)
    np.matmul(a, b, out)
    right = out.copy()
    bench = Bench(level)
    bench.guard.product(a, b, out, Faulty(lambda made: flip(made, (3, 4), 30)))
    assert np.array_equal(out, right)
    assert bench.tally.wrong == 1


@pytest.mark.parametrize(
    "pair",
    [
        (normal(20, 60)[:, ::2], normal(30, 40)),
        (np.arange(600).reshape(20, 30), np.arange(1200).reshape(30, 40)),
        (normal(2, 2, 2, 20, 30), normal(30, 40)),
        (normal(20, 30), normal(30, 40, dtype=np.float64)),
    ],
    ids=["every second", "whole numbers", "five dimensions", "two types"],
)
def test_what_has_no_checksums_is_made_twice(pair: tuple[Any, Any]) -> None:
    bench = Bench()
    faulty = Faulty(lambda out: out.__setitem__(0, 99))
    assert np.array_equal(bench.guard.product(*pair, None, faulty), pair[0] @ pair[1])
    assert (faulty.made, bench.tally.outvoted) == (3, 1)


@pytest.mark.verifies("VA-PRT-02")
def test_every_flip_of_a_result_that_exceeds_twenty_roundings_is_found() -> None:
    a, b = normal(40, 50), normal(50, 30, seed=2)
    right, limit = a @ b, 20 * rounding(a, b)
    draws = np.random.default_rng(3)
    found = 0
    for bit in range(32):
        for place in zip(draws.integers(0, 40, 30), draws.integers(0, 30, 30), strict=True):
            bench = Bench()
            spoilt = Faulty(lambda out, place=place, bit=bit: flip(out, place, bit))
            made = bench.guard.product(a, b, None, spoilt)
            wrong = right.copy()
            flip(wrong, place, bit)
            with np.errstate(all="ignore"):
                is_large = not abs(float(wrong[place]) - float(right[place])) <= limit[place[1]]
            if is_large:
                found += 1
                assert bench.tally.wrong == 1, (bit, place)
            if bench.tally.wrong:
                assert np.array_equal(made, right)
    assert found > 400


@pytest.mark.verifies("VA-PRT-02")
@pytest.mark.parametrize("kind", ["normal", "positive", "heavy", "graded", "constant", "offset"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_errors_just_above_twenty_roundings_are_found(kind: str, dtype: Any) -> None:
    from benchmarks.products import KINDS

    draws = np.random.default_rng(4)
    missed = 0
    for m, k, n in ((64, 64, 64), (20, 300, 40), (100, 8, 100)):
        a, b = (KINDS[kind](draws, shape).astype(dtype) for shape in ((m, k), (k, n)))
        right, limit = a @ b, rounding(a, b)
        for _ in range(40):
            row, column = draws.integers(m), draws.integers(n)
            error = dtype(draws.choice([-1, 1]) * draws.uniform(21, 40) * limit[column])
            bench = Bench()
            spoilt = Faulty(lambda out, at=(row, column), e=error: out.__setitem__(at, out[at] + e))
            assert np.array_equal(bench.guard.product(a, b, None, spoilt), right)
            missed += not bench.tally.wrong
    assert missed == 0


BLOCKS: dict[str, Any] = {
    "one": np.s_[5, 7],
    "two beside each other": np.s_[5, 7:9],
    "two above each other": np.s_[5:7, 7],
    "a row": np.s_[5],
    "a column": np.s_[:, 7],
    "a warp": np.s_[5:9, 8:16],
    "all": np.s_[:],
}
SPOILS: dict[str, Any] = {
    "zero": lambda part: part * 0,
    "stale": lambda part: part[..., ::-1] * 1.5 + 1,
    "not a number": lambda part: part * np.nan,
    "infinite": lambda part: part * 0 - np.inf,
}


@pytest.mark.verifies("VA-PRT-02", "VA-PRT-03")
@pytest.mark.parametrize("is_bit_identical", [True, False])
@pytest.mark.parametrize("spoil", SPOILS)
@pytest.mark.parametrize("block", BLOCKS)
def test_whatever_part_is_wrong_the_product_comes_out_right(
    block: str, spoil: str, is_bit_identical: bool
) -> None:
    a, b = normal(60, 40), normal(40, 50, seed=2)
    right = a @ b

    def wrong(out: Any) -> None:
        part = np.atleast_1d(out[BLOCKS[block]])
        out[BLOCKS[block]] = np.reshape(SPOILS[spoil](part), np.shape(out[BLOCKS[block]]))

    bench = Bench(bit_identical=is_bit_identical)
    made = bench.guard.product(a, b, None, Faulty(wrong))
    assert bench.tally.wrong == 1
    assert bench.tally.recomputed + bench.tally.corrected == 1
    if bench.tally.recomputed:
        assert np.array_equal(made, right)
    np.testing.assert_allclose(made, right, atol=1e-5)


@pytest.mark.verifies("VA-PRT-03")
def test_a_job_without_bit_identity_has_single_elements_set_right_in_place() -> None:
    a, b = normal(60, 40), normal(40, 50, seed=2)
    bench = Bench(bit_identical=False)
    faulty = Faulty(lambda out: flip(out, (5, 7), 30))
    made = bench.guard.product(a, b, None, faulty)
    exact = math.fsum(a[5].astype(float) * b[:, 7].astype(float))
    assert made[5, 7] == np.float32(exact), "the nearest number there is"
    assert (faulty.made, bench.tally.corrected, bench.tally.recomputed) == (1, 1, 0)
    assert "row 5, column 7; set right" in bench.said[0]


@pytest.mark.verifies("VA-PRT-03")
def test_a_product_that_stays_wrong_is_given_up() -> None:
    a, b = normal(60, 40), normal(40, 50, seed=2)
    stuck = Faulty(lambda out: out.__setitem__((5, 7), 1000), *range(99))
    with pytest.raises(ResultError, match="the processor or its memory is at fault"):
        Bench().guard.product(a, b, None, stuck)
    assert stuck.made < 10


@pytest.mark.verifies("VA-PRT-04")
@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("bit", [31, 30, 25, 22, 18])
def test_a_matrix_that_changes_while_it_is_multiplied_is_noticed(side: int, bit: int) -> None:
    pair = normal(60, 40), normal(40, 50, seed=2)

    def multiply(a: Any, b: Any, out: Any) -> None:
        if not changed:
            changed.append(True)
            flip(pair[side], (3, 5), bit)
        with np.errstate(all="ignore"):
            np.matmul(a, b, out=out)

    changed: list[bool] = []
    bench = Bench()
    with pytest.raises(ResultError, match="a matrix changed while it was multiplied"):
        bench.guard.product(*pair, None, multiply)
    assert bench.tally.wrong == 1
    assert "go back to a commit" in bench.said[0]


@pytest.mark.verifies("VA-PRT-04")
def test_an_upset_of_the_checks_themselves_costs_a_second_look_and_nothing_else() -> None:
    from flight.fault_tolerance.abft import Checks, plan

    a, b = normal(60, 40), normal(40, 50, seed=2)
    right = a @ b
    made = plan(a, b, right)
    assert made is not None
    for at in (3, 70):  # of a column, of a row
        checks = Checks(made, a, b)
        checks._kept[0, 0, at] += 1
        assert not checks.hold(right)
        assert checks.still_hold(right)


@pytest.mark.verifies("VA-PRT-05")
@pytest.mark.parametrize(
    "pair",
    [
        (normal(40, 50) * np.float32(1e30), normal(50, 30) * np.float32(1e30)),
        (np.full((40, 50), np.inf, np.float32), normal(50, 30)),
        (np.full((40, 50), np.nan, np.float32), normal(50, 30)),
        (normal(40, 50, dtype=float) * 1e200, normal(50, 30, dtype=float) * 1e200),
        (normal(40, 50, dtype=float) * 1e200, normal(50, 30, dtype=float) * 1e-200),
        (normal(40, 50) * np.float32(1e-40), normal(50, 30) * np.float32(1e-3)),
        (normal(40, 50) * np.float32(1e-30), normal(50, 30) * np.float32(1e30)),
        (np.zeros((40, 50), np.float32), np.zeros((50, 30), np.float32)),
    ],
    ids=["overflow", "inf", "nan", "overflow64", "large64", "denormal", "far apart", "zero"],
)
def test_numbers_at_the_ends_of_the_range_are_not_taken_for_errors(pair: tuple[Any, Any]) -> None:
    bench = Bench()
    with np.errstate(all="ignore"):
        right = pair[0] @ pair[1]
        assert np.array_equal(bench.guard.product(*pair), right, equal_nan=True)
    assert bench.tally.wrong == 0


@pytest.mark.parametrize("overflow", [np.inf, -np.inf, np.nan])
def test_what_one_library_or_another_makes_of_an_overflow_is_told_from_an_upset(
    overflow: float,
) -> None:
    a, b = normal(40, 50), normal(50, 30, seed=2)
    a[3] *= np.float32(1e36)
    b[:, 4] *= np.float32(1e4)

    def multiply(a: Any, b: Any, out: Any) -> None:
        with np.errstate(all="ignore"):
            np.matmul(a, b, out)
        assert np.argwhere(~np.isfinite(out)).tolist() == [[3, 4]], "in every order of summation"
        out[3, 4] = overflow

    right = np.empty((40, 30), np.float32)
    multiply(a, b, right)
    bench = Bench()
    hit = Faulty(lambda out: out.__setitem__((7, 8), np.inf), multiply=multiply)
    assert same_bits(bench.guard.product(a, b, None, hit), right)
    assert (bench.tally.wrong, bench.tally.recomputed) == (1, 1)


@pytest.mark.verifies("VA-PRT-05")
@pytest.mark.slow
def test_two_thousand_products_of_every_kind_raise_no_false_alarm() -> None:
    draws = np.random.default_rng(7)
    for is_bit_identical in (True, False):
        bench = Bench(bit_identical=is_bit_identical)
        for _ in range(1000):
            kinds, a, b = draw(draws, most=2**17)
            with np.errstate(all="ignore"):
                right = a @ b
                made = bench.guard.product(a, b)
            assert np.array_equal(made, right, equal_nan=True), kinds
            assert (bench.tally.wrong, bench.tally.corrected) == (0, 0), kinds


def test_rounding_that_cannot_be_told_from_an_error_is_decided_by_the_same_call() -> None:
    a, b = np.full((3, 3000), 0.1, np.float32), np.full((3000, 3), 0.1, np.float32)

    def one_by_one(a: Any, b: Any, out: Any) -> None:  # the worst order there is
        out[...] = 0
        for k in range(a.shape[1]):
            out += a[:, k : k + 1] * b[k]

    bench = Bench()
    made = bench.guard.product(a, b, None, one_by_one)
    assert made[0, 0] == pytest.approx(30, rel=1e-4)
    assert bench.tally.wrong == 0
    assert bench.guard.reproduced == 1
    assert "counts as right" in bench.said[0]


def test_a_product_into_one_of_its_own_factors_is_made_of_what_they_held() -> None:
    a, b = normal(30, 30), normal(30, 30, seed=2)
    right = a @ b
    bench = Bench()
    assert bench.guard.product(a, b, a, Faulty(lambda out: flip(out, (3, 4), 30))) is a
    assert np.array_equal(a, right)
    assert bench.tally.wrong == 1


@pytest.mark.verifies("VA-PRT-10")
@pytest.mark.parametrize("level", Level)
def test_a_product_into_one_of_its_own_factors_may_be_made_block_by_block(level: Level) -> None:
    def in_blocks(a: Any, b: Any, out: Any) -> None:
        for low in range(0, len(a), 8):
            np.matmul(a[low : low + 8], b, out[low : low + 8])

    a, b = normal(30, 30), normal(30, 30, seed=2)
    right = np.empty_like(a)
    in_blocks(a, b, right)
    assert same_bits(Bench(level).guard.product(a, b, b, in_blocks), right)


def test_the_level_is_asked_at_each_product() -> None:
    a, b = normal(30, 30), normal(30, 30, seed=2)
    bench = Bench(Level.NONE)
    runs = []
    for bench.level in Level:
        counted = Faulty(np.copy)
        bench.guard.product(a, b, None, counted)
        runs.append(counted.made)
    assert runs == [1, 1, 2, 3]
    assert bench.tally.checks == 3


def test_plans_of_products_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    from flight.fault_tolerance import abft

    monkeypatch.setattr(abft, "_MOST_PLANS", 3)
    monkeypatch.setattr(abft, "_plans", {})
    bench = Bench()
    for size in range(2, 12):
        bench.guard.product(normal(size, size), normal(size, size))
        assert len(abft._plans) <= 3
    assert bench.tally.checks == 10
