"""Wrong partial sums and wrong operands give the product that a processor would have given."""

from __future__ import annotations

import numpy as np
import pytest

from flight.campaign import patterns, products
from flight.campaign.fault_models import MEMORY_MODELS, Model
from flight.campaign.patterns import Array, Form, Pattern
from flight.campaign.random_draws import RandomDraws

pytestmark = pytest.mark.numerical

ROWS, TERMS, COLUMNS = 9, 21, 40


def operands(batch: tuple[int, ...] = ()) -> tuple[Array, Array, Array]:
    draws = np.random.default_rng(3)  # whole numbers, so that no order of summing rounds
    a = draws.integers(-50, 50, (*batch, ROWS, TERMS)).astype(np.float32)
    b = draws.integers(-50, 50, (*batch, TERMS, COLUMNS)).astype(np.float32)
    return a, b, a @ b


def struck_sums(a: Array, b: Array, pattern: Pattern, terms: int) -> Array:
    """The same in the plainest way: sum the first terms, flip, sum the rest."""
    sums = (a[..., :terms] @ b[..., :terms, :]).astype(np.float32)
    pattern.apply(sums.reshape(-1).view(np.uint8))
    with np.errstate(all="ignore"):
        rest = a[..., terms:].astype(np.float64) @ b[..., terms:, :].astype(np.float64)
        return (sums.astype(np.float64) + rest).astype(np.float32)


@pytest.mark.parametrize("batch", [(), (3,), (2, 2)])
@pytest.mark.parametrize("model", MEMORY_MODELS)
@pytest.mark.verifies("VA-CAM-03")
def test_a_wrong_partial_sum_gives_what_summing_on_from_it_gives(
    model: Model, batch: tuple[int, ...]
) -> None:
    for trial in range(20):
        a, b, out = operands(batch)
        draws = RandomDraws(9, trial)
        terms = 1 + draws.below(TERMS)
        pattern = patterns.draw(model, Form.of(out), draws)
        expected = struck_sums(a, b, pattern, terms)
        honest = out.copy()
        with np.errstate(all="ignore"):
            products.spoil_sums(a, b, out, pattern, terms)
        touched = np.zeros(out.size, bool)
        touched[pattern.elements(4)] = True
        assert np.array_equal(out.ravel()[~touched], honest.ravel()[~touched])
        close = np.isclose(out, expected, rtol=1e-5, atol=1e-5, equal_nan=True)
        huge = ~np.isfinite(out) & (~np.isfinite(expected) | (np.abs(expected) > 1e37))
        assert np.all(close | huge)


@pytest.mark.parametrize("operand", ["left", "right"])
@pytest.mark.verifies("VA-CAM-03")
def test_a_wrong_load_changes_one_use_of_the_operand_and_nothing_else(operand: str) -> None:
    for trial in range(40):
        a, b, out = operands()
        honest, before = out.copy(), (a.copy(), b.copy())
        source = a if operand == "left" else b
        draws = RandomDraws(4, trial)
        use = draws.below(products.uses(a, b, operand))
        pattern = patterns.draw(Model.SINGLE, Form.of(source), draws)
        wrong = source.copy()
        pattern.apply(wrong.reshape(-1).view(np.uint8))
        with np.errstate(all="ignore"):
            products.spoil_load(a, b, out, pattern, operand, use)
            whole = wrong @ b if operand == "left" else a @ wrong
        assert np.array_equal(a, before[0])
        assert np.array_equal(b, before[1])
        span = slice(use * products.USE, (use + 1) * products.USE)
        part = np.s_[:, span] if operand == "left" else np.s_[span]
        with np.errstate(all="ignore"):
            assert np.allclose(out[part], whole[part], rtol=1e-4, atol=1e-4, equal_nan=True)
        rest = np.ones(out.shape, bool)
        rest[part] = False
        assert np.array_equal(out[rest], honest[rest])


def test_a_load_that_changes_no_bit_changes_no_result() -> None:
    a, b, out = operands()
    honest = out.copy()
    products.spoil_load(a, b, out, Pattern(0, bytes(4)), "left", 0)
    assert np.array_equal(out, honest)
