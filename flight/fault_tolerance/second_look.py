"""The second look at a product whose checksums do not hold: what in it rounding cannot have done.

Columns and rows above their limit are made again, in float64 for float32, in long double for
float64. An element is wrong when it is further off than rounding can leave it in any order of
summation: k u |a| |b|, summed over absolute values (Higham, Accuracy and Stability of Numerical
Algorithms, section 3.5).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from flight.fault_tolerance.errors import Array

_ROWS = 64
_FEW = 8
_PART = 16
_LITTLE = 2**18
"""Up to 8 of the columns or rows are made again, or one in 16, or what takes so few
multiplications; of more, the whole product."""


@dataclass(frozen=True)
class Wrong:
    """Elements of a product that are wrong, or too much of it to name."""

    places: tuple[Array, ...] | None
    """Indices of batch, row and column; None when it may be anywhere."""
    values: Array
    """What each should be."""

    def mend(self, c: Array) -> None:
        """Set the elements right."""
        assert self.places is not None, "only single elements can be set right"
        batch, row, column = self.places
        products = c if c.ndim > 2 else c[None]
        index: tuple[Any, ...] = np.unravel_index(batch, products.shape[:-2])
        products[index + (row, column)] = self.values  # noqa: RUF005


def look(a: Array, b: Array, c: Array, columns: Array, rows: Array) -> Wrong | None:
    """Judge a batch of products by the flags (batch x columns, batch x rows) of what is above.

    a: … x rows x terms, b: … x terms x columns, c: … x rows x columns, float32 or float64; the
    flags are bool. Returns None where rounding explains every element that was looked at.
    """
    a, b, c = (matrix.reshape(-1, *matrix.shape[-2:]) for matrix in (a, b, c))
    places: list[Array] = []
    values: list[Array] = []
    is_everything = False
    for batch in np.flatnonzero(columns.any(1) | rows.any(1)):
        one, two, made = a[batch], b[batch], c[batch]
        few = _few(columns[batch], one.size), _few(rows[batch], two.size)
        is_wide = columns[batch].sum() > few[0], rows[batch].sum() > few[1]
        is_everything = is_everything or all(is_wide)
        if not is_wide[0] or all(is_wide):
            at = np.flatnonzero(columns[batch])[: few[0]]
            row, col, value = _wrong(one, two[:, at], made[:, at])
            places.append(np.stack((np.full(len(row), batch), row, at[col])))
            values.append(value)
        if not is_wide[1]:
            at = np.flatnonzero(rows[batch])
            col, row, value = _wrong(two.T, one[at].T, made[at].T)
            places.append(np.stack((np.full(len(row), batch), at[row], col)))
            values.append(value)
    found, first = np.unique(np.concatenate(places, axis=1), axis=1, return_index=True)
    if not found.size:
        return None
    return Wrong(None if is_everything else tuple(found), np.concatenate(values)[first])


def name_of(places: tuple[Array, ...]) -> str:
    """Where elements lie, for people; the last two indices are row and column."""
    rows, columns = places[-2:]
    if len(rows) == 1:
        return f"row {rows[0]}, column {columns[0]}"
    return (
        f"{len(rows)} elements of {len(np.unique(rows))} rows and {len(np.unique(columns))} columns"
    )


def _few(flags: Array, multiplications: int) -> int:
    return int(max(_FEW, len(flags) // _PART, _LITTLE // multiplications))


def _wrong(a: Array, b: Array, c: Array) -> tuple[Array, Array, Array]:
    """Rows, columns and true values of the elements of c = a b that rounding cannot explain.

    a: rows x terms, b: terms x columns, c: rows x columns.
    """
    numbers = np.finfo(c.dtype)
    wide = np.float64 if c.dtype == np.float32 else np.longdouble
    terms = a.shape[1]
    share = terms * wide(numbers.eps) / 2
    with np.errstate(all="ignore"):  # an upset can be anything
        true, most = _exactly(a, b.astype(wide), wide)
        made = c.astype(wide)
        possible = share / max(1 - share, 0) * most + terms * wide(numbers.smallest_subnormal)
        may_overflow = ~np.isfinite(made) & ~(most < 0.999 * wide(numbers.max))
        is_wrong = ~(np.abs(made - true) <= possible) & ~may_overflow & np.isfinite(true)
        rows, columns = np.nonzero(is_wrong)
        values = true[rows, columns].astype(c.dtype)
    return rows, columns, values


def _exactly(a: Array, b: Array, wide: Any) -> tuple[Array, Array]:
    """a b and |a| |b|, part by part to stay in cache."""
    true, most = np.empty((2, len(a), b.shape[1]), wide)
    size = np.abs(b)
    for low in range(0, len(a), _ROWS):
        part = slice(low, low + _ROWS)
        rows = a[part].astype(wide)
        true[part] = rows @ b
        most[part] = np.abs(rows, out=rows) @ size
    return true, most
