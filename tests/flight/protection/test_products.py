"""Products under checksums: right ones pass, wrong ones are found and made right."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from benchmarks.products import draw

from flight.jobs.api import ResultError
from flight.protection.levels import Level
from tests.flight.protection.bench import Bench, Faulty, flip, normal, rounding

pytestmark = pytest.mark.portable

SHAPES = [(1, 1, 1), (1, 70, 5), (5, 1, 7), (33, 65, 1), (70, 30, 50), (192, 128, 96)]


@pytest.mark.verifies("VA-PRT-01")
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_checked_product_has_the_bits_of_the_unchecked_one(
    shape: tuple[int, int, int], dtype: Any
) -> None:
    m, k, n = shape
    a, b = normal(m, k, dtype=dtype), normal(k, n, seed=2, dtype=dtype)
    bench = Bench()
    assert np.array_equal(bench.guard.product(a, b), a @ b)
    assert (bench.tally.checks, bench.tally.wrong) == (1, 0)
    assert bench.tally.spent_ns > 0


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


@pytest.mark.verifies("VA-PRT-01")
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


@pytest.mark.parametrize("out", [np.empty((50, 70), np.float32).T, np.empty((70, 99))[:, :50]])
def test_a_product_may_lie_turned_or_in_a_larger_one(out: Any) -> None:
    a, b = normal(70, 30, dtype=out.dtype), normal(30, 50, dtype=out.dtype)
    bench = Bench()
    bench.guard.product(a, b, out, Faulty(lambda made: flip(made, (3, 4), 30)))
    assert np.array_equal(out, a @ b)
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
    exact = a[5].astype(float) @ b[:, 7].astype(float)
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
    from flight.protection.abft import Checks, plan

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


def test_a_single_infinity_of_overflow_is_told_from_one_of_an_upset() -> None:
    a, b = normal(40, 50), normal(50, 30, seed=2)
    a[3] *= np.float32(1e38)
    b[:, 4] *= np.float32(1e3)
    with np.errstate(all="ignore"):
        right = a @ b
        assert np.isinf(right[3, 4])
        bench = Bench()
        made = bench.guard.product(a, b, None, Faulty(lambda out: out.__setitem__((7, 8), np.inf)))
    assert np.array_equal(made, right)
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
    bench.guard.product(a, b, a, Faulty(lambda out: flip(out, (3, 4), 30)))
    assert np.array_equal(a, right)
    assert bench.tally.wrong == 1


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
    from flight.protection import abft

    monkeypatch.setattr(abft, "_MOST_PLANS", 3)
    monkeypatch.setattr(abft, "_plans", {})
    bench = Bench()
    for size in range(2, 12):
        bench.guard.product(normal(size, size), normal(size, size))
        assert len(abft._plans) <= 3
    assert bench.tally.checks == 10
