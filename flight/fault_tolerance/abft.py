"""Checksums of a matrix product: what the columns and rows of C = A B must add up to.

Before the product, with random weights x and y: (x A) B and A (B y). After it: x C and C y. A
column's residual is held against the smaller of two limits, both in roundings of that column,
u |A| |b|, the Frobenius and the Euclidean norm:

- `SHARE` of them. An error of 20 is found unless rounding alone left more than 8.
- `DEVIATIONS` standard deviations of what rounding leaves. For weights of mean square w and of
  random sign, these are u sqrt(w / 3 (k |c|^2 / 3 + |A|^2 |b|^2 / 2)): each of k additions errs by
  up to u of the sum so far, which grows steadily to c (first term) or at random (second term); the
  rounding of the sums x C and (x A) B themselves is added.

Rows likewise. Sums of float32 matrices are taken in float32 where that adds little to the rounding
of the product itself, and again in float64 before anything is doubted. A doubted product is made
again by the identical call: other bits mean that one of them is wrong, the same bits that rounding
left more than usual. See docs/protection.md.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

from flight.fault_tolerance import abft_kernels as kernels
from flight.fault_tolerance.errors import Array, ResultError
from flight.fault_tolerance.second_look import Wrong, look

_FLOATS = {np.dtype(kind): np.finfo(kind) for kind in (np.float32, np.float64)}
_LIKE = {dtype: dtype.type(0) for dtype in _FLOATS}
_SINGLE, _DOUBLE = _FLOATS
SHARE = 12.0
"""A residual of this many roundings u |A| |b| is always doubted."""

DEVIATIONS = 8.0
"""A residual of this many standard deviations of what rounding leaves is doubted."""

_FEWEST_WEIGHTS = 4096
_MOST_PLANS = 4096


@dataclass(frozen=True)
class Plan:
    """Where the matrices of one kind of product lie, and how its checks are taken."""

    layout: Array
    limits: Array
    kind: np.dtype[Any]
    """Of the sums, and of the matrices that they are taken of."""
    weights: tuple[Array, Array]
    kept: tuple[int, int, int]
    ratios: tuple[int, int]
    wide: Plan | None = None
    """The same product in float64, for what float32 sums cannot tell."""


_plans: dict[Any, Plan | None] = {}


def plan(a: Array, b: Array, out: Array) -> Plan | None:
    """How products of such matrices are checked; None where they cannot be.

    They can for two to four dimensions of float32 or float64 whose elements lie side by side in
    each row, or in each column.
    """
    key = (a.dtype, a.shape, a.strides, b.dtype, b.shape, b.strides, out.dtype, out.strides)
    try:
        return _plans[key]
    except KeyError:
        if len(_plans) >= _MOST_PLANS:
            _plans.clear()
        made = _plans[key] = _made(a, b, out)
        return made


def _made(a: Array, b: Array, out: Array) -> Plan | None:
    matrices = (a, b, out)
    if not (
        all(m.dtype == a.dtype and 2 <= m.ndim <= 4 and _is_plain(m) for m in matrices)
        and a.dtype in _FLOATS
        and min(out.size, a.shape[-1]) > 0
    ):
        return None
    if a.dtype == _DOUBLE:
        return _planned(a, b, out, _DOUBLE)
    left, right, product = (np.empty(m.shape, _DOUBLE) for m in matrices)
    wide = _planned(left, right, product, _SINGLE)
    if _are_sums_too_long(out.shape[-2], out.shape[-1], a.shape[-1]):
        return wide
    return replace(_planned(a, b, out, _SINGLE), wide=wide)


def _planned(a: Array, b: Array, out: Array, product: np.dtype[Any]) -> Plan:
    batch = (1,) * (4 - out.ndim) + out.shape[:-2]
    lengths = (*batch, a.shape[-2], a.shape[-1], b.shape[-1])
    strides = [np.broadcast_to(m, batch + m.shape[-2:]).strides for m in (a, b, out)]
    products, sides = batch[0] * batch[1], a.shape[-2] + b.shape[-1]
    unit, smallest = _FLOATS[product].eps / 2, _FLOATS[product].smallest_subnormal
    check_unit = _FLOATS[a.dtype].eps / 2
    return Plan(
        np.array((*lengths, *strides[0], *strides[1], *strides[2]), np.int64),
        np.array((unit, check_unit, DEVIATIONS, SHARE, smallest), np.float64),
        a.dtype,
        _weights(1 << (max(_FEWEST_WEIGHTS, *lengths[2:]) - 1).bit_length(), a.dtype),
        (products, 2, sides),
        (products, sides),
    )


def _are_sums_too_long(rows: int, columns: int, terms: int) -> bool:
    """Whether rounding would show more in float32 sums than in the product itself."""
    return max(rows, columns) > 8 * terms


class Checks:
    """What one product, or a batch of them, must add up to; taken before it is made."""

    def __init__(self, plan: Plan, a: Array, b: Array) -> None:
        self._a, self._b = a, b
        self.worst = 0.0
        """The largest residual of the last product looked at, in roundings."""
        self._take(plan)

    def hold(self, c: Array) -> bool:
        """Whether a product keeps every limit.

        c: as the `out` of `plan`, … x rows x columns, float32 or float64.
        """
        plan = self._plan
        if c.dtype != plan.kind:
            c = _widened(c)
        above, self.worst = kernels.after(
            address_of(c), plan.layout, _LIKE[plan.kind], *plan.weights,
            self._kept, self._ratios, plan.limits,
        )  # fmt: skip
        return not above

    def still_hold(self, c: Array) -> bool:
        """After `hold` said no: the same with checks taken again, in float64.

        Raises ResultError when A or B changed after the checks were taken.
        """
        self._renew()
        if self._plan.wide is not None:
            self._take(self._plan.wide)
        return self.hold(c)

    def look(self, c: Array) -> Wrong | None:
        """After `hold` said no: the elements that are wrong beyond doubt, where there are any."""
        batch, columns = c.shape[:-2], c.shape[-1]
        is_above = ~(self._ratios <= 1)
        a = np.broadcast_to(self._a, batch + self._a.shape[-2:])
        b = np.broadcast_to(self._b, batch + self._b.shape[-2:])
        return look(a, b, c, is_above[:, :columns], is_above[:, columns:])

    def _take(self, plan: Plan) -> None:
        self._plan = plan
        self._kept = np.empty(plan.kept, plan.kind)
        self._ratios = np.empty(plan.ratios, plan.kind)
        a, b = self._a, self._b
        if a.dtype != plan.kind:
            a, b = _widened(a), _widened(b)
        kernels.before(
            address_of(a), address_of(b), plan.layout, _LIKE[plan.kind], *plan.weights, self._kept
        )

    def _renew(self) -> None:
        """Take the checks again: they may have been wrong the first time.

        An element of A or B that changed is in the sums of columns and in those of rows. An upset
        that hit the checks themselves is in one of them.
        """
        kept = self._kept
        self._take(self._plan)
        word = np.dtype(f"u{kept.itemsize}")
        is_other = kept.view(word)[:, 0] != self._kept.view(word)[:, 0]
        columns = self._b.shape[-1]
        if is_other[:, :columns].any() and is_other[:, columns:].any():
            raise ResultError(
                "a matrix changed while it was multiplied; memory is at fault: go back to a commit"
            )


def _widened(matrix: Array) -> Array:
    with np.errstate(all="ignore"):  # an upset can make a signalling NaN
        return matrix.astype(_DOUBLE, "C")


def address_of(matrix: Array) -> int:
    """Where the first element lies."""
    address: int = matrix.__array_interface__["data"][0]
    return address


def _is_plain(matrix: Array) -> bool:
    """Whether the elements of each row, or of each column, lie side by side."""
    return matrix.itemsize in matrix.strides[-2:] or 1 in matrix.shape[-2:]


@cache
def _weights(count: int, kind: np.dtype[Any]) -> tuple[Array, Array]:
    """Weights of rows and of columns: ± 1 … 1.5, the same in every process.

    Multiples of 2**-10, so that sums of whole numbers stay exact.
    """
    generator = np.random.Generator(np.random.Philox(key=2**64 - 1))
    signs = 2.0 * generator.integers(0, 2, (2, count)) - 1.0
    x, y = (signs * (1.0 + generator.integers(0, 512, (2, count)) / 1024)).astype(kind)
    return x, y
