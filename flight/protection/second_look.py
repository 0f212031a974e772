"""The second look at a product whose checksums do not hold: element by element, in wider numbers.

Only columns and rows above their limit are made again, in float64 for float32, in long double for
float64. An element is doubtful when it is off by more than rounding likely leaves, and certainly
wrong when it is off by more than rounding can leave in any order of summation: k u |a| |b|, summed
over absolute values (Higham, Accuracy and Stability of Numerical Algorithms, section 3.5).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from flight.jobs.api import Array

SHARE = 12.0
"""A residual of this many roundings u |A| |b| is always looked at."""

DEVIATIONS = 8.0
"""A residual of this many standard deviations of what rounding leaves is looked at."""

_ROWS = 64
_FEW = 8
_PART = 16
_LITTLE = 2**18
"""Up to 8 of the columns or rows are made again, or one in 16, or what takes so few
multiplications; of more, the whole product."""


@dataclass(frozen=True)
class Doubt:
    """What is not as the factors say: elements of a product, or too much of it to tell."""

    places: tuple[Array, ...] | None
    """Indices of batch, row and column; None when the whole product is in doubt."""
    values: Array
    """What each should be."""
    is_certain: bool
    """Rounding cannot have done this."""

    def __str__(self) -> str:
        if self.places is None:
            return "many rows and columns"
        rows, columns = (len(set(self.places[axis].tolist())) for axis in (1, 2))
        if len(self.values) == 1:
            return f"row {self.places[1][0]}, column {self.places[2][0]}"
        return f"{len(self.values)} elements of {rows} rows and {columns} columns"

    def mend(self, c: Array) -> None:
        """Set the elements right."""
        assert self.places is not None, "only single elements can be set right"
        batch, row, column = self.places
        where = (*np.unravel_index(batch, c.shape[:-2]), row, column)
        c[where] = self.values


def look(a: Array, b: Array, c: Array, columns: Array, rows: Array) -> Doubt | None:
    """Judge a batch of products by the flags (batch x columns, batch x rows) of what is above.

    Returns None where every element is as near to the true value as rounding likely leaves it.
    """
    a, b, c = (matrix.reshape(-1, *matrix.shape[-2:]) for matrix in (a, b, c))
    places: list[Array] = []
    values: list[Array] = []
    is_certain = is_everything = False
    for batch in np.flatnonzero(columns.any(1) | rows.any(1)):
        one, two, made = a[batch], b[batch], c[batch]
        few = _few(columns[batch], one.size), _few(rows[batch], two.size)
        wide = columns[batch].sum() > few[0], rows[batch].sum() > few[1]
        is_everything = is_everything or all(wide)
        if not wide[0] or all(wide):
            at = np.flatnonzero(columns[batch])[: few[0]]
            row, col, value, certain = _doubtful(one, two[:, at], made[:, at])
            places.append(np.stack((np.full(len(row), batch), row, at[col])))
            values.append(value)
            is_certain = is_certain or certain
        if not wide[1]:
            at = np.flatnonzero(rows[batch])
            col, row, value, certain = _doubtful(two.T, one[at].T, made[at].T)
            places.append(np.stack((np.full(len(row), batch), at[row], col)))
            values.append(value)
            is_certain = is_certain or certain
    found = np.concatenate(places, axis=1)
    if is_everything:
        return Doubt(None, np.empty(0), is_certain)
    if not found.size:
        return None
    unique, first = np.unique(found, axis=1, return_index=True)
    return Doubt(tuple(unique), np.concatenate(values)[first], is_certain)


def _few(flags: Array, multiplications: int) -> int:
    return int(max(_FEW, len(flags) // _PART, _LITTLE // multiplications))


def _doubtful(a: Array, b: Array, c: Array) -> tuple[Array, Array, Array, bool]:
    """Rows, columns and true values of the doubtful elements of c = a b; whether any is certain."""
    numbers = np.finfo(c.dtype)
    wide = np.float64 if c.dtype == np.float32 else np.longdouble
    unit, floor = wide(numbers.eps) / 2, wide(numbers.smallest_subnormal)
    terms = a.shape[1]
    with np.errstate(all="ignore"):  # an upset can be anything
        true, most, row_squares = _exactly(a, b.astype(wide), wide)
        column_squares = (b.astype(wide) ** 2).sum(0)
        made = c.astype(wide)
        off = np.abs(made - true)
        highest = np.maximum(np.abs(true), most / 2)  # that the sum may have reached on its way
        variance = (terms * highest * highest / 3 + row_squares * column_squares / 2) / 3
        claim = SHARE * unit * np.sqrt(row_squares.sum() * column_squares)
        likely = np.minimum(claim, DEVIATIONS * unit * np.sqrt(variance)) + terms * floor
        possible = terms * unit / max(1 - terms * unit, 0) * most + terms * floor
        may_overflow = ~np.isfinite(made) & ~(most < 0.999 * wide(numbers.max))
        doubtful = ~(off <= likely) & ~may_overflow
        is_certain = doubtful & ~(off <= possible) & np.isfinite(true)
        rows, columns = np.nonzero(doubtful)
        values = true[rows, columns].astype(c.dtype)
    return rows, columns, values, bool(is_certain.any())


def _exactly(a: Array, b: Array, wide: Any) -> tuple[Array, Array, Array]:
    """a b, |a| |b| and the squares of each row of a as a column, part by part to stay in cache."""
    true, most = np.empty((2, len(a), b.shape[1]), wide)
    squares = np.empty((len(a), 1), wide)
    size = np.abs(b)
    for low in range(0, len(a), _ROWS):
        part = slice(low, low + _ROWS)
        rows = a[part].astype(wide)
        true[part] = rows @ b
        squares[part, 0] = np.einsum("ij,ij->i", rows, rows)
        most[part] = np.abs(rows, out=rows) @ size
    return true, most, squares
