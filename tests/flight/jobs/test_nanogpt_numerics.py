"""The numbers of nanogpt against references made without it: NumPy in float64, and PyTorch."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flight.jobs.api import JobError
from flight.jobs.nanogpt import kernels, text
from flight.jobs.nanogpt.model import (
    Shape,
    Shard,
    count,
    decayed,
    initialise,
    layout,
    named,
    weights_in,
)
from flight.jobs.nanogpt.optimiser import AdamW, clip_factor, learning_rate, parts
from flight.jobs.nanogpt.sampling import choose
from flight.jobs.nanogpt.trainer import Trainer
from tests.flight.jobs.plain_gpt import erf, hamlet, plain_logits, plain_loss

pytestmark = [pytest.mark.numerical, pytest.mark.portable]

REFERENCE = Path(__file__).parent / "reference" / "nanogpt_reference.npz"
SMALL = Shape(layers=2, heads=2, width=16, context=12, vocabulary=23)

Array = np.ndarray[Any, np.dtype[Any]]


def nothing() -> None:
    """A beat that nobody listens to."""


@pytest.fixture(scope="module")
def reference() -> dict[str, Array]:
    with np.load(REFERENCE) as stored:
        return dict(stored)


@pytest.fixture
def trainer(reference: dict[str, Array]) -> Iterator[Trainer]:
    """The small model with the reference's weights, in three shards of unequal size."""
    state = np.zeros(3 * count(SMALL), np.float32)
    state[: count(SMALL)] = reference["weights"]
    with Trainer(SMALL, len(reference["sequences"]), state, shards=3, threads=2) as made:
        yield made


def gradient_of(trainer: Trainer, sequences: Array) -> tuple[float, Array]:
    """The loss, and the gradient summed over shards."""
    loss = trainer.gradient(sequences, nothing)
    return loss, trainer.gradients.astype(float).sum(axis=0)


def worst_error(found: Array, expected: Array) -> float:
    """The worst error over all weights, each relative to its tensor's largest gradient."""
    pairs = zip(named(found, SMALL).values(), named(expected, SMALL).values(), strict=True)
    return max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in pairs)


@pytest.mark.verifies("VA-JOB-08")
def test_gradients_agree_with_those_of_pytorch_in_float64(
    trainer: Trainer, reference: dict[str, Array]
) -> None:
    loss, gradient = gradient_of(trainer, reference["sequences"])
    assert loss == pytest.approx(float(reference["loss"]), rel=1e-6)
    assert worst_error(gradient, reference["gradient"]) < 3e-6


@pytest.mark.verifies("VA-JOB-08")
def test_gradients_agree_with_finite_differences_in_float64(
    trainer: Trainer, reference: dict[str, Array]
) -> None:
    sequences, weights = reference["sequences"], reference["weights"].astype(float)
    _, gradient = gradient_of(trainer, sequences)
    draws = np.random.default_rng(3)
    for slot in layout(SMALL):
        largest = np.abs(gradient[slot.offset : slot.offset + slot.size]).max()
        for index in slot.offset + draws.integers(0, slot.size, 4):
            losses = []
            for shift in (1e-5, -1e-5):
                moved = weights.copy()
                moved[index] += shift
                losses.append(plain_loss(named(moved, SMALL), SMALL.heads, sequences))
            difference = (losses[0] - losses[1]) / 2e-5
            assert gradient[index] == pytest.approx(difference, abs=1e-5 * largest), slot.name


def test_the_loss_agrees_with_plain_numpy(trainer: Trainer, reference: dict[str, Array]) -> None:
    sequences = reference["sequences"]
    expected = plain_loss(named(reference["weights"], SMALL), SMALL.heads, sequences)
    assert trainer.evaluate([sequences, sequences], nothing) == pytest.approx(expected, rel=1e-6)


def test_predictions_do_not_look_ahead(reference: dict[str, Array]) -> None:
    shard = Shard(SMALL, 1, weights_in(reference["weights"], SMALL))
    tokens = reference["sequences"][0, :-1].copy()
    shard.predict(tokens)
    before = shard.logits.copy()
    tokens[7:] = (tokens[7:] + 1) % SMALL.vocabulary
    shard.predict(tokens)
    assert np.array_equal(shard.logits[:7], before[:7])
    assert not np.allclose(shard.logits[7:], before[7:])
    plain = plain_logits(named(reference["weights"], SMALL), SMALL.heads, tokens[None])
    assert np.allclose(shard.logits, plain[0], atol=1e-5)


@pytest.mark.verifies("VA-JOB-09")
def test_on_a_real_text_the_loss_follows_that_of_pytorch(reference: dict[str, Array]) -> None:
    digest = hashlib.sha256(hamlet().read_bytes()).hexdigest()
    assert digest == str(reference["curve_sha256"]), "another edition of the text"
    corpus = text.load(hamlet(), 32)
    shape = Shape(2, 2, 32, 32, len(corpus.vocabulary))
    batch, rate, seed = reference["curve_settings"].tolist()
    state = np.zeros(3 * count(shape), np.float32)
    state[: count(shape)] = reference["curve_weights"]
    losses = []
    with Trainer(shape, int(batch), state, shards=2) as trainer:
        for step in range(len(reference["curve_losses"])):
            sequences = corpus.sequences(int(batch), 32, int(seed), step)
            losses.append(trainer.step(step, sequences, rate, nothing).loss)
    assert losses[0] == pytest.approx(math.log(shape.vocabulary), abs=0.2), "chance at first"
    assert np.abs(np.array(losses) - reference["curve_losses"]).max() < 5e-3
    assert np.mean(losses[-10:]) < 2.7


def test_adamw_agrees_with_float64(reference: dict[str, Array]) -> None:
    size, matrices = count(SMALL), decayed(SMALL)
    draws = np.random.default_rng(5)
    state = np.zeros(3 * size, np.float32)
    state[:size] = reference["weights"]
    optimiser = AdamW(state)
    theta, m, v = reference["weights"].astype(float), np.zeros(size), np.zeros(size)
    for step in range(20):
        gradient = draws.normal(0, 0.1, size).astype(np.float32)
        norm = float(np.linalg.norm(gradient.astype(float)))
        rate = 1e-2 / (step + 1)
        for part in parts(size, matrices):
            optimiser.update(part, gradient, step, rate, clip_factor(norm))
        g = gradient.astype(float) * min(1, 1 / (norm + 1e-6))
        m = 0.9 * m + 0.1 * g
        v = 0.99 * v + 0.01 * g * g
        theta[:matrices] -= rate * 0.1 * theta[:matrices]
        step_size = rate / (1 - 0.9 ** (step + 1))
        theta -= step_size * m / (np.sqrt(v / (1 - 0.99 ** (step + 1))) + 1e-8)
    assert np.abs(optimiser.theta - theta).max() < 1e-6
    assert np.allclose(optimiser.m, m, rtol=1e-4, atol=1e-8)
    assert np.allclose(optimiser.v, v, rtol=1e-4, atol=1e-12)


def test_the_parts_of_the_optimiser_cover_each_weight_once() -> None:
    found = parts(count(SMALL), decayed(SMALL))
    assert found[0].low == 0
    assert found[-1].high == count(SMALL)
    assert all(one.high == other.low for one, other in pairwise(found))
    assert {part.is_decayed for part in found} == {True, False}


def test_the_learning_rate_rises_and_falls() -> None:
    rates = [learning_rate(step, 100, 10, 1.0, True) for step in range(100)]
    assert rates[:10] == pytest.approx([(step + 1) / 11 for step in range(10)])
    assert rates[10] == 1.0
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[99] == pytest.approx(0.1, abs=1e-3)
    assert learning_rate(99, 100, 10, 0.5, False) == 0.5
    assert learning_rate(20, 20, 20, 0.5, True) == 0.5, "a warm-up as long as the run"


def test_the_exponential_is_within_a_few_roundings() -> None:
    x = np.linspace(-87, 88, 5001, dtype=np.float32)
    found = np.array([kernels.exponential(value) for value in x])
    error = np.abs(found / np.exp(x.astype(float)) - 1)
    assert error.max() < 5e-6
    assert error[np.abs(x) < 4].max() < 8e-7


def test_gelu_and_its_derivative_agree_with_the_error_function() -> None:
    x = np.linspace(-6, 6, 4096).reshape(8, 512)
    h, out = x.astype(np.float32), np.empty((8, 512), np.float32)
    kernels.gelu(h, out)
    below = 0.5 * (1 + erf(x / math.sqrt(2)))
    assert np.abs(out - x * below).max() < 1e-6
    bell = np.exp(-x * x / 2) / math.sqrt(2 * math.pi)
    assert np.abs(h - (below + x * bell)).max() < 1e-6


def test_the_weights_do_not_depend_on_the_number_of_threads(reference: dict[str, Array]) -> None:
    states = []
    for threads in (1, 2, 5):
        state = np.zeros(3 * count(SMALL), np.float32)
        initialise(state[: count(SMALL)], SMALL, seed=1)
        with Trainer(SMALL, 5, state, shards=5, threads=threads) as trainer:
            for step in range(5):
                trainer.step(step, reference["sequences"], 1e-2, nothing)
        states.append(state.tobytes())
    assert states[0] == states[1] == states[2]


def test_weights_that_are_not_finite_end_the_job_and_stay_as_they_were(
    trainer: Trainer, reference: dict[str, Array]
) -> None:
    trainer.weights.blocks[1].expand[3, 3] = np.inf
    before = trainer.weights.tokens.copy()
    with pytest.raises(JobError, match=r"step 4: .* not finite; lower learning_rate"):
        trainer.step(4, reference["sequences"], 1e-3, nothing)
    assert np.array_equal(trainer.weights.tokens, before)


def test_a_step_that_takes_long_beats_and_an_exception_from_it_ends_the_shards() -> None:
    shape = Shape(layers=12, heads=4, width=256, context=128, vocabulary=23)
    state = np.zeros(3 * count(shape), np.float32)
    initialise(state[: count(shape)], shape, seed=1)
    sequences = np.zeros((8, 129), np.int32)

    class EnoughError(Exception):
        pass

    def beat() -> None:
        raise EnoughError

    with Trainer(shape, 8, state, shards=2) as trainer, pytest.raises(EnoughError):
        trainer.step(0, sequences, 1e-3, beat)


def test_the_sampler_draws_by_score_among_the_likeliest() -> None:
    logits = np.array([0.0, 3.0, 1.0, 2.0], np.float32)
    assert {choose(logits, 1.0, 1, draw) for draw in (0.0, 0.5, 0.999999)} == {1}
    assert {choose(logits, 1.0, 2, draw / 100) for draw in range(100)} == {1, 3}
    draws = (np.arange(10_000) + 0.5) / 10_000
    counts = np.bincount([choose(logits, 2.0, 9, draw) for draw in draws], minlength=4)
    shares = np.exp(logits.astype(float) / 2)
    assert counts / 10_000 == pytest.approx(shares / shares.sum(), abs=2e-4)
    assert choose(logits, 1e-2, 4, 0.999999) == 1, "a low temperature keeps to the likeliest"
