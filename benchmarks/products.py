"""Matrices of every kind that a product may meet, to look for alarms where nothing is wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
Draws = np.random.Generator

MOST_OPERATIONS = 2**22
"""Multiplications in one product of a soak that stays small; some are made larger."""


def _normal(draws: Draws, shape: tuple[int, int]) -> Array:
    return draws.standard_normal(shape)


def _positive(draws: Draws, shape: tuple[int, int]) -> Array:
    return draws.random(shape)


def _offset(draws: Draws, shape: tuple[int, int]) -> Array:
    return 100.0 + 1e-3 * draws.standard_normal(shape)


def _heavy(draws: Draws, shape: tuple[int, int]) -> Array:
    return draws.standard_cauchy(shape)


def _log_normal(draws: Draws, shape: tuple[int, int]) -> Array:
    return draws.lognormal(0, 3, shape)


def _constant(draws: Draws, shape: tuple[int, int]) -> Array:
    return np.full(shape, draws.standard_normal())


def _equal_rows(draws: Draws, shape: tuple[int, int]) -> Array:
    return np.broadcast_to(draws.random(shape[1]), shape)


def _equal_columns(draws: Draws, shape: tuple[int, int]) -> Array:
    return np.broadcast_to(draws.random((shape[0], 1)), shape)


def _whole(draws: Draws, shape: tuple[int, int]) -> Array:
    return draws.integers(-8, 9, shape).astype(float)


def _whole_and_large(draws: Draws, shape: tuple[int, int]) -> Array:
    return draws.integers(-(10**6), 10**6, shape).astype(float)


def _sparse(draws: Draws, shape: tuple[int, int]) -> Array:
    return draws.standard_normal(shape) * (draws.random(shape) < 0.05)


def _zero(_: Draws, shape: tuple[int, int]) -> Array:
    return np.zeros(shape)


def _huge_row(draws: Draws, shape: tuple[int, int]) -> Array:
    matrix = draws.standard_normal(shape)
    matrix[draws.integers(shape[0])] *= 10.0 ** draws.integers(1, 12)
    return matrix


def _huge_column(draws: Draws, shape: tuple[int, int]) -> Array:
    matrix = draws.standard_normal(shape)
    matrix[:, draws.integers(shape[1])] *= 10.0 ** draws.integers(1, 12)
    return matrix


def _huge_element(draws: Draws, shape: tuple[int, int]) -> Array:
    matrix = draws.standard_normal(shape)
    matrix[draws.integers(shape[0]), draws.integers(shape[1])] *= 10.0 ** draws.integers(1, 12)
    return matrix


def _graded(draws: Draws, shape: tuple[int, int]) -> Array:
    rows, columns = (10.0 ** draws.uniform(-6, 6, length) for length in shape)
    return draws.standard_normal(shape) * rows[:, None] * columns


def _hilbert(_: Draws, shape: tuple[int, int]) -> Array:
    rows, columns = np.indices(shape)
    return 1.0 / (rows + columns + 1.0)


def _nearly_singular(draws: Draws, shape: tuple[int, int]) -> Array:
    one = np.outer(draws.standard_normal(shape[0]), draws.standard_normal(shape[1]))
    return one + 1e-6 * draws.standard_normal(shape)


def _ramp(_: Draws, shape: tuple[int, int]) -> Array:
    return np.linspace(0.0, 1.0, shape[0] * shape[1]).reshape(shape)


def _cancelling(draws: Draws, shape: tuple[int, int]) -> Array:
    half = draws.random((shape[0], -(-shape[1] // 2)))
    return np.concatenate((half, -half), axis=1)[:, : shape[1]]


def _alternating(draws: Draws, shape: tuple[int, int]) -> Array:
    rows, columns = np.indices(shape)
    return np.where((rows + columns) % 2, -1.0, 1.0) * draws.random()


def _permutation(draws: Draws, shape: tuple[int, int]) -> Array:
    matrix = np.zeros(shape)
    rows = np.arange(shape[0])
    matrix[rows, draws.permutation(max(shape))[: shape[0]] % shape[1]] = 1.0
    return matrix


def _waves(_: Draws, shape: tuple[int, int]) -> Array:
    rows, columns = np.indices(shape)
    return np.cos(2 * np.pi * rows * columns / max(shape))


def _shares(draws: Draws, shape: tuple[int, int]) -> Array:
    shares = np.exp(2.0 * draws.standard_normal(shape))
    return np.tril(shares) / np.maximum(np.tril(shares).sum(1, keepdims=True), 1e-30)


def _active(draws: Draws, shape: tuple[int, int]) -> Array:
    return np.maximum(draws.standard_normal(shape), 0.0)


KINDS: dict[str, Callable[[Draws, tuple[int, int]], Array]] = {
    function.__name__.strip("_"): function
    for function in (
        _normal, _positive, _offset, _heavy, _log_normal, _constant, _equal_rows, _equal_columns,
        _whole, _whole_and_large, _sparse, _zero, _huge_row, _huge_column, _huge_element, _graded,
        _hilbert, _nearly_singular, _ramp, _cancelling, _alternating, _permutation, _waves,
        _shares, _active,
    )
}  # fmt: skip


def draw(draws: Draws, most: int = MOST_OPERATIONS) -> tuple[str, Array, Array]:
    """The kinds, and two matrices (or two batches of them) that can be multiplied.

    Any of 1 … 2048 rows, terms and columns, in at most `most` multiplications; float32 or float64;
    scales of 1e-30 … 1e30, and for float32 products that underflow; rows, columns or every second
    column side by side.
    """
    dtype = (np.float32, np.float64)[draws.integers(2)]
    m, k, n = _lengths(draws, most)
    names = [str(draws.choice(list(KINDS))) for _ in range(2)]
    batch = int(draws.integers(2, 5)) if draws.random() < 0.1 else 0
    matrices = [
        np.stack([KINDS[name](draws, shape) for _ in range(batch or 1)])
        for name, shape in zip(names, ((m, k), (k, n)), strict=True)
    ]
    scales = _scales(draws)
    with np.errstate(all="ignore"):
        scaled = [
            _laid_out(draws, (matrix * scale).astype(dtype)[slice(None) if batch else 0])
            for matrix, scale in zip(matrices, scales, strict=True)
        ]
    return f"{names[0]} by {names[1]}", scaled[0], scaled[1]


def _lengths(draws: Draws, most: int) -> tuple[int, int, int]:
    while True:
        m, k, n = (int(2 ** draws.uniform(0, 11.001)) for _ in range(3))
        if m * k * n <= most:
            return m, k, n


def _scales(draws: Draws) -> tuple[float, float]:
    choice = draws.random()
    if choice < 0.5:
        return 1.0, 1.0
    if choice < 0.75:
        exponent = draws.uniform(-30, 30)
        return 10.0**exponent, 10.0**-exponent
    if choice < 0.9:
        return 10.0 ** draws.uniform(-30, 30), 10.0 ** draws.uniform(-6, 6)
    return 10.0 ** draws.uniform(-45, -15), 10.0 ** draws.uniform(-25, 0)


def _laid_out(draws: Draws, matrix: Array) -> Array:
    choice = draws.random()
    if choice < 0.6:
        return matrix
    if choice < 0.9:
        return np.ascontiguousarray(matrix.swapaxes(-1, -2)).swapaxes(-1, -2)
    return np.repeat(matrix, 2, axis=-1)[..., ::2]
