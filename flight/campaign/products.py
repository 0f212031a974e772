"""Faults inside a matrix product: a partial sum or an operand that is wrong for a while.

A product by BLAS cannot be stopped midway. Its wrong result can be computed: products are linear,
so that the difference which a wrong partial sum or a wrong operand makes is added to the right one.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from flight.campaign.patterns import Array, Form, Pattern

USE = 16
"""An operand that was loaded once serves this many columns, or rows, of the result."""


def uses(a: Array, b: Array, operand: str) -> int:
    """How often an element of the operand ("left" or "right") is loaded."""
    along = b.shape[-1] if operand == "left" else a.shape[-2]
    return -(-int(along) // USE)


def operations(a: Array, out: Array) -> int:
    """Multiplications of a product."""
    return math.prod(out.shape) * int(a.shape[-1])


def spoil_sums(a: Array, b: Array, out: Array, pattern: Pattern, terms: int) -> None:
    """Make `out` = a b what it is when the sums of the first `terms` terms had wrong bits."""
    touched = pattern.elements(out.itemsize)
    batch, row, column = _places(out, touched)
    left = np.broadcast_to(a, (*out.shape[:-2], *a.shape[-2:])).reshape(-1, *a.shape[-2:])
    right = np.broadcast_to(b, (*out.shape[:-2], *b.shape[-2:])).reshape(-1, *b.shape[-2:])
    with np.errstate(all="ignore"):
        sums = np.einsum(
            "nk,nk->n", left[batch, row, :terms], right[batch, :terms, column], dtype=out.dtype
        )
        spoilt = _struck(sums, touched, pattern, Form.of(out))
        places = np.unravel_index(touched, out.shape)
        _add(out, places, spoilt.astype(np.float64) - sums.astype(np.float64), spoilt)


def spoil_load(a: Array, b: Array, out: Array, pattern: Pattern, operand: str, use: int) -> None:
    """Make `out` = a b what it is when elements of an operand were wrong in one of their uses."""
    source = a if operand == "left" else b
    wrong = np.ascontiguousarray(source).copy()
    pattern.apply(wrong.reshape(-1).view(np.uint8))
    span = slice(use * USE, (use + 1) * USE)
    with np.errstate(all="ignore"):
        change = wrong.astype(np.float64) - source.astype(np.float64)
        lines = np.flatnonzero(_is_touched(change, operand))
        part: Any
        if operand == "left":
            part = np.s_[..., lines, span]
            by = change[..., lines, :] @ b[..., span].astype(np.float64)
        else:
            part = np.s_[..., span, lines]
            by = a[..., span, :].astype(np.float64) @ change[..., lines]
        sums = out[part].astype(np.float64) + by
        out[part] = np.where(by == 0, out[part], sums)


def _is_touched(change: Array, operand: str) -> Array:
    """Rows of the left operand, or columns of the right one, that differ in any batch."""
    axes = tuple(range(change.ndim - 2))
    differs: Array = (change != 0).any(axis=(*axes, -1 if operand == "left" else -2))
    return differs


def _places(out: Array, touched: list[int]) -> tuple[Array, Array, Array]:
    matrix = out.shape[-2] * out.shape[-1]
    batch, rest = np.divmod(np.asarray(touched), matrix)
    row, column = np.divmod(rest, out.shape[-1])
    return batch, row, column


def _struck(values: Array, touched: list[int], pattern: Pattern, form: Form) -> Array:
    """The values of the touched elements after the pattern, as if they lay where `out` does."""
    memory = np.zeros(form.octets // form.itemsize, values.dtype)
    memory[touched] = values
    pattern.apply(memory.view(np.uint8))
    struck: Array = memory[touched]
    return struck


def _add(out: Array, places: tuple[Array, ...], by: Array, spoilt: Array) -> None:
    sums = out[places].astype(np.float64) + by
    out[places] = np.where(np.isfinite(spoilt), sums, spoilt)
