"""Pixel kernels over a tile of rows, each beside the plain NumPy that says what it must give."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, types

from flight.fault_tolerance.known_answers import Problem
from flight.jobs.api import Array

F = np.float32


# no fastmath: the bits are those of the plain form
_OPTIONS: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy"}
# rows of a band, perhaps in a region, which no job writes
_BAND = types.Array(types.uint16, 2, "C", readonly=True)


def plain_band_index(upper: Array, lower: Array) -> Array:
    """(upper - lower) / (upper + lower) in float32; NaN where both are 0.

    upper, lower: of one shape, uint8 or uint16.
    """
    a, b = upper.astype(F), lower.astype(F)
    with np.errstate(invalid="ignore"):
        return np.asarray((a - b) / (a + b), F)


@njit(types.void(_BAND, _BAND, types.float32[:, ::1]), **_OPTIONS)
def band_index(upper: Any, lower: Any, out: Any) -> None:
    """Like `plain_band_index`, of rows x columns: uint16 in, float32 out."""
    for row in range(out.shape[0]):
        for column in range(out.shape[1]):
            a = F(upper[row, column])
            b = F(lower[row, column])
            out[row, column] = (a - b) / (a + b)


def problems(columns: int) -> tuple[Problem, ...]:
    """Rows of so many columns whose band index is known."""
    bright = np.arange(columns, dtype=np.uint16) % 4096 + 1
    dark = bright[::-1] // 3 + 7
    pairs = ((bright, dark), (dark, bright), (bright // 5 + 1, bright))
    return tuple(Problem(pair, plain_band_index(*pair)) for pair in pairs)


def plain_sums(values: Array, centre: float) -> tuple[int, float, float]:
    """Over values that are numbers: how many, sum of (value - centre), sum of its squares.

    values: any shape, float32; the sums are float64.
    """
    known = values[np.isfinite(values)].astype(np.float64) - centre
    return known.size, float(known.sum()), float((known * known).sum())


@njit("Tuple((i8, f8, f8))(f4[:,::1], f8)", **_OPTIONS)
def sums(values: Any, centre: Any) -> Any:
    """Like `plain_sums`, over rows x columns in one fixed order: columns, then rows."""
    known = 0
    total = 0.0
    squares = 0.0
    for row in range(values.shape[0]):
        row_total = 0.0
        row_squares = 0.0
        for column in range(values.shape[1]):
            value = values[row, column]
            if np.isfinite(value):
                difference = np.float64(value) - centre
                known += 1
                row_total += difference
                row_squares += difference * difference
        total += row_total
        squares += row_squares
    return known, total, squares


def plain_change_mask(difference: Array, centre: float, limit: float) -> Array:
    """255 where |difference - centre| > limit, 0 elsewhere and where it is not a number.

    difference: any shape, float32; the mask is uint8 of that shape.
    """
    is_changed = np.abs(difference.astype(np.float64) - centre) > limit
    return np.where(is_changed, 255, 0).astype(np.uint8)


@njit("i8(f4[:,::1], f8, f8, u1[:,::1])", **_OPTIONS)
def change_mask(difference: Any, centre: Any, limit: Any, mask: Any) -> Any:
    """Like `plain_change_mask`; returns how many pixels changed."""
    changed = 0
    for row in range(mask.shape[0]):
        for column in range(mask.shape[1]):
            is_changed = abs(np.float64(difference[row, column]) - centre) > limit
            mask[row, column] = 255 if is_changed else 0
            changed += is_changed
    return changed
