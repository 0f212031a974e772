"""The parts of a GPT that are no matrix product, as serial float32 kernels.

Each kernel runs on one thread over one shard and keeps one fixed order, so its bits depend on its
input alone; threads come from outside. Signatures are written out: importing this file compiles
every kernel, or loads it from the cache, and no call compiles later.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

F = np.float32

_FLAGS = frozenset({"reassoc", "contract", "arcp", "nsz"})
"""Sums may be taken in vector lanes and products fused; NaN and infinity keep their meaning."""


# error_model: a check for division by zero would keep loops from being vectorised
_OPTIONS: dict[str, Any] = {
    "fastmath": set(_FLAGS),
    "cache": True,
    "nogil": True,
    "error_model": "numpy",
}

_LOG2_E = F(1.44269504)
_LN_2 = F(0.69314718)
_EXP = tuple(map(F, (1 / 5040, 1 / 720, 1 / 120, 1 / 24, 1 / 6, 1 / 2, 1, 1)))
_E7, _E6, _E5, _E4, _E3, _E2, _ONE, _ = _EXP
_HALF = F(0.5)
_ZERO = F(0.0)
_EPSILON = F(1e-5)


@njit("f4(f4)", **_OPTIONS)
def exponential(x: Any) -> Any:
    """e to the x, -87 … 88 (beyond: clamped), in a form that loops vectorise.

    Within 3e-7 relative; 5e-6 at the far ends on a processor that cannot fuse n ln 2 into r.

    x = n ln 2 + r, |r| <= ln 2 / 2; e to the r by its Taylor series, 2 to the n by its bits.
    """
    x = min(max(x, F(-87.0)), F(88.0))
    n = np.floor(x * _LOG2_E + _HALF)
    r = x - n * _LN_2
    series = ((((_E7 * r + _E6) * r + _E5) * r + _E4) * r + _E3) * r + _E2
    series = (series * r + _ONE) * r + _ONE
    return series * np.int32((np.int32(n) + np.int32(127)) << np.int32(23)).view(np.float32)


@njit("void(f4[:,::1], f4[:,::1], f4[::1], f4[:,::1], f4[:,::1], f4[::1], f4[::1])", **_OPTIONS)
def add_norm(x: Any, delta: Any, weight: Any, out: Any, normed: Any, mean: Any, scale: Any) -> None:
    """out = x + delta; normed = (out - mean) scale weight, row by row; scale = 1 / deviation.

    x, delta, out, normed: rows x width; weight: width; mean, scale: rows; all float32.
    """
    rows, width = x.shape
    share = _ONE / F(width)
    for n in range(rows):
        total = _ZERO
        for c in range(width):
            value = x[n, c] + delta[n, c]
            out[n, c] = value
            total += value
        centre = total * share
        squares = _ZERO
        for c in range(width):
            difference = out[n, c] - centre
            squares += difference * difference
        factor = _ONE / np.sqrt(squares * share + _EPSILON)
        mean[n] = centre
        scale[n] = factor
        for c in range(width):
            normed[n, c] = (out[n, c] - centre) * factor * weight[c]


@njit("void(f4[:,::1], f4[:,::1], f4[::1], f4[::1], f4[::1], f4[:,::1], f4[::1])", **_OPTIONS)
def norm_backward(
    d_normed: Any, x: Any, mean: Any, scale: Any, weight: Any, d_x: Any, d_weight: Any
) -> None:
    """Add to d_x what flows back through a norm; d_weight is set.

    d_normed, x, d_x: rows x width; mean, scale: rows; weight, d_weight: width; all float32.
    """
    rows, width = x.shape
    share = _ONE / F(width)
    for c in range(width):
        d_weight[c] = _ZERO
    for n in range(rows):
        centre = mean[n]
        factor = scale[n]
        first = _ZERO
        second = _ZERO
        for c in range(width):
            flow = d_normed[n, c] * weight[c]
            first += flow
            second += flow * (x[n, c] - centre)
        first *= share
        second *= share * factor
        for c in range(width):
            unit = (x[n, c] - centre) * factor
            d_x[n, c] += factor * (d_normed[n, c] * weight[c] - first - unit * second)
            d_weight[c] += d_normed[n, c] * unit


_ROOT_HALF = F(0.70710678)
_DENSITY = F(0.39894228)
_A1, _A2, _A3, _A4, _A5 = map(
    F, (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429)
)
_P = F(0.3275911)


@njit("void(f4[:,::1], f4[:,::1])", **_OPTIONS)
def gelu(h: Any, out: Any) -> None:
    """out = h Phi(h) with the error function; h becomes the derivative, for the way back.

    h, out: rows x width, float32. Error function: Abramowitz and Stegun 7.1.26, within 1.5e-7.
    """
    rows, width = h.shape
    for n in range(rows):
        for c in range(width):
            x = h[n, c]
            bell = exponential(-_HALF * x * x)
            t = _ONE / (_ONE + _P * _ROOT_HALF * abs(x))
            tail = _HALF * bell * t * ((((_A5 * t + _A4) * t + _A3) * t + _A2) * t + _A1)
            below = tail if x < _ZERO else _ONE - tail
            out[n, c] = x * below
            h[n, c] = below + x * _DENSITY * bell


@njit("void(f4[:,:,::1], f4)", **_OPTIONS)
def causal_softmax(scores: Any, scale: Any) -> None:
    """Each row t of each T x T matrix becomes softmax(scale scores) over columns 0 … t.

    scores: matrices x T x T, float32, changed in place; columns beyond t become 0.
    """
    matrices, length, _ = scores.shape
    for b in range(matrices):
        for t in range(length):
            row = scores[b, t]
            highest = row[0]
            for i in range(1, t + 1):
                highest = max(highest, row[i])
            total = _ZERO
            for i in range(t + 1):
                value = exponential((row[i] - highest) * scale)
                row[i] = value
                total += value
            share = _ONE / total
            for i in range(t + 1):
                row[i] *= share
            for i in range(t + 1, length):
                row[i] = _ZERO


@njit("void(f4[:,:,::1], f4[:,:,::1], f4)", **_OPTIONS)
def causal_softmax_backward(shares: Any, flow: Any, scale: Any) -> None:
    """flow, by the softmax's result, becomes flow by its scores.

    shares (the result) and flow (changed in place): matrices x T x T, float32.
    """
    matrices, length, _ = shares.shape
    for b in range(matrices):
        for t in range(length):
            row = shares[b, t]
            d_row = flow[b, t]
            inner = _ZERO
            for i in range(t + 1):
                inner += row[i] * d_row[i]
            for i in range(t + 1):
                d_row[i] = row[i] * (d_row[i] - inner) * scale
            for i in range(t + 1, length):
                d_row[i] = _ZERO


@njit("void(f4[:,::1], i4[::1], f4, f4[::1])", **_OPTIONS)
def cross_entropy(logits: Any, targets: Any, share: Any, losses: Any) -> None:
    """Loss of each row in nat; logits become the gradient of share times the sum of losses.

    logits: rows x vocabulary, float32; targets: rows, int32; losses: rows, float32.
    """
    rows, width = logits.shape
    for n in range(rows):
        row = logits[n]
        highest = row[0]
        for i in range(1, width):
            highest = max(highest, row[i])
        wanted = row[targets[n]]
        total = _ZERO
        for i in range(width):
            value = exponential(row[i] - highest)
            row[i] = value
            total += value
        losses[n] = np.log(total) + highest - wanted
        factor = share / total
        for i in range(width):
            row[i] *= factor
        row[targets[n]] -= share


@njit("void(i4[::1], f4[:,::1], f4[:,::1])", **_OPTIONS)
def add_rows(indices: Any, rows: Any, table: Any) -> None:
    """table[indices[n]] += rows[n], in order.

    indices: n, int32; rows: n x width, table: any x width, float32.
    """
    for n in range(rows.shape[0]):
        index = indices[n]
        for c in range(rows.shape[1]):
            table[index, c] += rows[n, c]


@njit("f8(f4[:,::1], i8, i8)", **_OPTIONS)
def sum_shards(gradients: Any, low: Any, high: Any) -> Any:
    """gradients[0] becomes the sum over shards, in order; returns its squares' sum, low … high.

    gradients: shards x weights, float32; the sum of squares is float64.
    """
    squares = 0.0
    for start in range(low, high, 2048):
        stop = min(start + 2048, high)
        for k in range(1, gradients.shape[0]):
            for i in range(start, stop):
                gradients[0, i] += gradients[k, i]
        for i in range(start, stop):
            value = np.float64(gradients[0, i])
            squares += value * value
    return squares


@njit("void(f4[::1], f4[::1], f4[::1], f4[::1], i8, i8, f4, f4, f4, f4, f4, f4, f4)", **_OPTIONS)
def adamw(
    theta: Any, gradient: Any, m: Any, v: Any, low: Any, high: Any,
    clip: Any, keep: Any, beta_1: Any, beta_2: Any, rate: Any, root: Any, epsilon: Any,
) -> None:  # fmt: skip
    """One AdamW step on low … high.

    theta, gradient, m, v: one float32 for each weight; m and v, the moments, change in place.
    theta = keep theta - rate m / (root sqrt(v) + epsilon), after the moments took in clip gradient;
    keep = 1 - learning rate x decay; rate and root carry the corrections for bias.
    """
    for i in range(low, high):
        g = gradient[i] * clip
        first = beta_1 * m[i] + (_ONE - beta_1) * g
        second = beta_2 * v[i] + (_ONE - beta_2) * g * g
        m[i] = first
        v[i] = second
        theta[i] = keep * theta[i] - rate * first / (root * np.sqrt(second) + epsilon)
