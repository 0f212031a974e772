"""Weighted sums of the rows and columns of matrices, and their squares, in one pass over each.

Matrices are given by address and strides in octets, because they may be read-only, turned, or
parts of larger ones. Sums are taken in the type of the matrices: `abft` says when that will do.
Kernels are serial and free of the interpreter's
lock: threads come from outside. Rows are taken as arrays of their own, four at a time: an index
that may be negative would keep the loops from being vectorised.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numba.extending
import numpy as np

_FLAGS = frozenset({"reassoc", "contract", "arcp", "nsz"})
"""Sums may be taken in vector lanes and products fused; NaN and infinity keep their meaning."""

_OPTIONS: dict[str, Any] = {
    "fastmath": set(_FLAGS),
    "cache": True,
    "nogil": True,
    "error_model": "numpy",
}
D = np.float64
Function = TypeVar("Function", bound=Callable[..., Any])
intrinsic: Callable[[Any], Any] = numba.extending.intrinsic
_types: Any = numba.types
_carray: Any = numba.carray  # type: ignore[attr-defined]


def jit(*signatures: str) -> Callable[[Function], Function]:
    """Compile now for each signature; without one, when a compiled function first calls it."""
    decorate: Any = numba.njit(list(signatures) or None, **_OPTIONS)
    return cast(Callable[[Function], Function], decorate)


OUTER, INNER, ROWS, TERMS, COLUMNS, A, B, C = 0, 1, 2, 3, 4, 5, 9, 13
"""Where a layout (int64) holds the lengths of a product, and from where four strides of each
matrix: (outer, inner) matrices of ROWS x TERMS times TERMS x COLUMNS."""

LAYOUT = 17
UNIT, CHECK_UNIT, DEVIATIONS, SHARE, SMALLEST = range(5)
"""Where limits (float64) hold the rounding units of product and checks, the standard deviations
and the share of roundings that make the limit of a residual, and the smallest number."""

LIMITS = 5
WEIGHT_SQUARE = 19.0 / 12.0
"""Mean square of a weight that is ± 1 … 1.5, evenly spread."""


@intrinsic
def _pointer(_context: Any, _address: Any, like: Any) -> Any:
    """An address as a pointer to numbers of the type of `like`."""
    kind = _types.CPointer(like)

    def emit(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(kind))

    return kind(_types.int64, like), emit


@numba.njit(inline="always")
def _row(base: Any, step: Any, r: Any, cols: Any, like: Any) -> Any:
    return _carray(_pointer(base + step * r, like), (cols,))


@jit()
def _down(base: Any, step: Any, rows: Any, cols: Any, like: Any, x: Any, down: Any) -> None:
    """down = x M."""
    kind = x.dtype.type
    for c in range(cols):
        down[c] = 0
    for r in range(0, rows - 3, 4):
        m0 = _row(base, step, r, cols, like)
        m1 = _row(base, step, r + 1, cols, like)
        m2 = _row(base, step, r + 2, cols, like)
        m3 = _row(base, step, r + 3, cols, like)
        x0, x1, x2, x3 = x[r], x[r + 1], x[r + 2], x[r + 3]
        for c in range(cols):
            down[c] += (x0 * kind(m0[c]) + x1 * kind(m1[c])) + (x2 * kind(m2[c]) + x3 * kind(m3[c]))
    for r in range(rows - rows % 4, rows):
        m0 = _row(base, step, r, cols, like)
        x0 = x[r]
        for c in range(cols):
            down[c] += x0 * kind(m0[c])


@jit()
def _across(base: Any, step: Any, rows: Any, cols: Any, like: Any, y: Any, across: Any) -> None:
    """across = M y."""
    kind = y.dtype.type
    for r in range(0, rows - 3, 4):
        m0 = _row(base, step, r, cols, like)
        m1 = _row(base, step, r + 1, cols, like)
        m2 = _row(base, step, r + 2, cols, like)
        m3 = _row(base, step, r + 3, cols, like)
        s0 = s1 = s2 = s3 = kind(0)
        for c in range(cols):
            w = y[c]
            s0 += kind(m0[c]) * w
            s1 += kind(m1[c]) * w
            s2 += kind(m2[c]) * w
            s3 += kind(m3[c]) * w
        across[r], across[r + 1], across[r + 2], across[r + 3] = s0, s1, s2, s3
    for r in range(rows - rows % 4, rows):
        m0 = _row(base, step, r, cols, like)
        s0 = kind(0)
        for c in range(cols):
            s0 += kind(m0[c]) * y[c]
        across[r] = s0


@jit()
def _down_and_squares(
    base: Any, step: Any, rows: Any, cols: Any, like: Any, x: Any, down: Any, squares: Any
) -> None:
    """down = x M, and the sum of squares of each row."""
    kind = x.dtype.type
    for c in range(cols):
        down[c] = 0
    for r in range(0, rows - 3, 4):
        m0 = _row(base, step, r, cols, like)
        m1 = _row(base, step, r + 1, cols, like)
        m2 = _row(base, step, r + 2, cols, like)
        m3 = _row(base, step, r + 3, cols, like)
        x0, x1, x2, x3 = x[r], x[r + 1], x[r + 2], x[r + 3]
        q0 = q1 = q2 = q3 = kind(0)
        for c in range(cols):
            v0, v1, v2, v3 = kind(m0[c]), kind(m1[c]), kind(m2[c]), kind(m3[c])
            q0 += v0 * v0
            q1 += v1 * v1
            q2 += v2 * v2
            q3 += v3 * v3
            down[c] += (x0 * v0 + x1 * v1) + (x2 * v2 + x3 * v3)
        squares[r], squares[r + 1], squares[r + 2], squares[r + 3] = q0, q1, q2, q3
    for r in range(rows - rows % 4, rows):
        m0 = _row(base, step, r, cols, like)
        x0 = x[r]
        q0 = kind(0)
        for c in range(cols):
            v0 = kind(m0[c])
            q0 += v0 * v0
            down[c] += x0 * v0
        squares[r] = q0


@jit()
def _all(
    base: Any, step: Any, rows: Any, cols: Any, like: Any,
    x: Any, down: Any, down_squares: Any, y: Any, across: Any, across_squares: Any,
) -> None:  # fmt: skip
    """down = x M and across = M y; the sums of squares of each column and of each row."""
    kind = x.dtype.type
    for c in range(cols):
        down[c] = 0
        down_squares[c] = 0
    for r in range(0, rows - 3, 4):
        m0 = _row(base, step, r, cols, like)
        m1 = _row(base, step, r + 1, cols, like)
        m2 = _row(base, step, r + 2, cols, like)
        m3 = _row(base, step, r + 3, cols, like)
        x0, x1, x2, x3 = x[r], x[r + 1], x[r + 2], x[r + 3]
        s0 = s1 = s2 = s3 = q0 = q1 = q2 = q3 = kind(0)
        for c in range(cols):
            v0, v1, v2, v3, w = kind(m0[c]), kind(m1[c]), kind(m2[c]), kind(m3[c]), y[c]
            s0 += v0 * w
            s1 += v1 * w
            s2 += v2 * w
            s3 += v3 * w
            p0, p1, p2, p3 = v0 * v0, v1 * v1, v2 * v2, v3 * v3
            q0 += p0
            q1 += p1
            q2 += p2
            q3 += p3
            down[c] += (x0 * v0 + x1 * v1) + (x2 * v2 + x3 * v3)
            down_squares[c] += (p0 + p1) + (p2 + p3)
        across[r], across[r + 1], across[r + 2], across[r + 3] = s0, s1, s2, s3
        across_squares[r], across_squares[r + 1] = q0, q1
        across_squares[r + 2], across_squares[r + 3] = q2, q3
    for r in range(rows - rows % 4, rows):
        m0 = _row(base, step, r, cols, like)
        x0 = x[r]
        s0 = q0 = kind(0)
        for c in range(cols):
            v0 = kind(m0[c])
            s0 += v0 * y[c]
            q0 += v0 * v0
            down[c] += x0 * v0
            down_squares[c] += v0 * v0
        across[r] = s0
        across_squares[r] = q0


_BEFORE = "void(i8, i8, i8[::1], {0}, {0}[::1], {0}[::1], {0}[:,:,::1])"


@jit(_BEFORE.format("f4"), _BEFORE.format("f8"))
def before(left: Any, right: Any, layout: Any, like: Any, x: Any, y: Any, kept: Any) -> None:
    """What the columns and rows of each product must add up to, from its factors.

    `kept` takes, for each product of a batch, (x A) B and A (B y) in row 0, squares of the columns
    of B and of the rows of A in row 1: as many numbers as columns, then rows. `x` and `y` are at
    least as long as any side. In each matrix one of the last two strides is that of an element.
    """
    inner, m, k, n = layout[INNER], layout[ROWS], layout[TERMS], layout[COLUMNS]
    size = _carray(_pointer(left, like), (1,)).itemsize
    x_a, b_y, o = np.empty(k, x.dtype), np.empty(k, x.dtype), np.empty(max(m, n, k), x.dtype)
    for batch in range(layout[OUTER] * inner):
        a = left + batch // inner * layout[A] + batch % inner * layout[A + 1]
        b = right + batch // inner * layout[B] + batch % inner * layout[B + 1]
        columns, rows = kept[batch, 0, :n], kept[batch, 0, n:]
        column_squares, row_squares = kept[batch, 1, :n], kept[batch, 1, n:]
        is_a_turned = layout[A + 3] != size and k > 1
        if is_a_turned:
            _all(a, layout[A + 3], k, m, like, y, o, row_squares, x, x_a, o)
        else:
            _down_and_squares(a, layout[A + 2], m, k, like, x, x_a, row_squares)
        if layout[B + 3] != size and n > 1:
            _all(b, layout[B + 3], n, k, like, y, b_y, o, x_a, columns, column_squares)
        else:
            _all(b, layout[B + 2], k, n, like, x_a, columns, column_squares, y, b_y, o)
        if is_a_turned:
            _down(a, layout[A + 3], k, m, like, b_y, rows)
        else:
            _across(a, layout[A + 2], m, k, like, b_y, rows)


@numba.njit(inline="always")
def _hold(
    found: Any, wanted: Any, squares: Any, total: Any, own: Any, k: Any, length: Any,
    limits: Any, ratios: Any, roundings: Any,
) -> Any:  # fmt: skip
    """Residuals over their limits and over their rounding, squared; see `abft` for the limits.

    |A|^2 |b|^2 is `total` times `squares`, |c|^2 is `own`; c has that `length`. A limit that is
    not finite makes a ratio that is not a number: nothing is known of that residual.
    Returns how many ratios are above 1, and the largest rounding.
    """
    unit, check_unit = limits[UNIT], limits[CHECK_UNIT]
    least = limits[SMALLEST] * k * np.sqrt(D(length))
    chain = length / 8.0 + 2.0
    spread = limits[DEVIATIONS] * limits[DEVIATIONS] * WEIGHT_SQUARE / 3.0
    of_scale = spread * (unit * unit / 2.0 + check_unit * check_unit * (chain + k / 64.0 + 6.0) / k)
    of_own = spread * (unit * unit * k / 3.0 + check_unit * check_unit * chain)
    share = limits[SHARE] * limits[SHARE] * unit * unit
    for at in range(len(found)):
        scale = total * D(squares[at])
        likely = of_scale * scale + of_own * D(own[at])
        most = share * scale
        limit = np.sqrt(likely if likely < most else most) + least
        residual = abs(D(found[at]) - D(wanted[at]))
        ratios[at] = residual / limit + 0.0 * limit
        roundings[at] = residual * residual / (unit * unit * scale + 1e-300)
    above = 0
    worst = 0.0
    for at in range(len(found)):
        above += not (ratios[at] <= 1)
        worst = max(worst, roundings[at])
    return above, np.sqrt(worst)


@numba.njit(inline="always")
def _total(squares: Any) -> Any:
    total = 0.0
    for square in squares:
        total += D(square)
    return total


_AFTER = "Tuple((i8, f8))(i8, i8[::1], {0}, {0}[::1], {0}[::1], {0}[:,:,::1], {0}[:,::1], f8[::1])"


@jit(_AFTER.format("f4"), _AFTER.format("f8"))
def after(
    product: Any, layout: Any, like: Any, x: Any, y: Any, kept: Any, ratios: Any, limits: Any
) -> Any:
    """Hold products against what `before` kept.

    Returns how many columns and rows are above their limit, and the largest residual in roundings.
    `ratios` takes each residual over its limit, columns, then rows, for each product of the batch.
    """
    inner, m, k, n = layout[INNER], layout[ROWS], layout[TERMS], layout[COLUMNS]
    size = _carray(_pointer(product, like), (1,)).itemsize
    down, across = np.empty(n, x.dtype), np.empty(m, x.dtype)
    columns, rows, roundings = np.empty(n, x.dtype), np.empty(m, x.dtype), np.empty(max(m, n))
    above = 0
    worst = 0.0
    for batch in range(layout[OUTER] * inner):
        c = product + batch // inner * layout[C] + batch % inner * layout[C + 1]
        if layout[C + 3] != size and n > 1:
            _all(c, layout[C + 3], n, m, like, y, across, rows, x, down, columns)
        else:
            _all(c, layout[C + 2], m, n, like, x, down, columns, y, across, rows)
        sums, squares, out, far = kept[batch, 0], kept[batch, 1], ratios[batch], roundings
        all_a, all_b = _total(squares[n:]), _total(squares[:n])
        high, far = _hold(
            down, sums[:n], squares[:n], all_a, columns, k, m, limits, out[:n], roundings
        )
        above += high
        worst = max(worst, far)
        high, far = _hold(
            across, sums[n:], squares[n:], all_b, rows, k, n, limits, out[n:], roundings
        )
        above += high
        worst = max(worst, far)
    return above, worst
