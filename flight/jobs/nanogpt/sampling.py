"""Let a trained model write: one character at a time, drawn by its own scores."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from flight.jobs.nanogpt.model import Array, Multiply, Shape, Shard, Weights

_STREAM = 2**64 - 1
"""Second half of the generator's key; no training step has it."""


def sample(
    shape: Shape,
    weights: Weights,
    vocabulary: str,
    length: int,
    temperature: float,
    top_k: int,
    seed: int,
    alive: Callable[[], None],
    multiply: Multiply = np.matmul,
) -> str:
    """`length` characters, the first drawn as if after a line end.

    Low temperatures keep to the likeliest characters; only the `top_k` likeliest are drawn from.
    """
    shard = Shard(shape, 1, weights, multiply=multiply)
    draws = np.random.Generator(np.random.Philox(key=np.array((seed, _STREAM), np.uint64)))
    window = np.zeros(shape.context, np.int32)
    window[0] = max(vocabulary.find("\n"), 0)
    last = 0
    written = []
    for draw in draws.random(length):
        alive()
        shard.predict(window)
        index = choose(shard.logits[last], temperature, top_k, draw)
        written.append(vocabulary[index])
        if last + 1 < shape.context:
            last += 1
        else:
            window[:-1] = window[1:]
        window[last] = index
    return "".join(written)


def choose(logits: Array, temperature: float, top_k: int, draw: float) -> int:
    """The character that a draw in 0 … 1 picks among the `top_k` with the highest scores.

    logits: one score for each character of the vocabulary, float32.
    """
    likeliest = np.argsort(-logits, kind="stable")[:top_k]
    scores = logits[likeliest].astype(np.float64) / temperature
    cumulative = np.cumsum(np.exp(scores - scores[0]))
    picked = int(np.searchsorted(cumulative, draw * cumulative[-1], side="right"))
    return int(likeliest[min(picked, len(likeliest) - 1)])
