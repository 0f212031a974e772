"""Sums, dot products and norms, each taken in two orders that must agree up to rounding.

All are taken in float64, where products of float32 are exact. Of n terms, each order may be off by
`DEVIATIONS` sqrt(n) u times the sum of the absolute terms: with independent roundings it is further
off with a probability below 2 n exp(-32) (Higham and Mary, A New Approach to Probabilistic Rounding
Error Analysis, 2019, theorem 2.4). n u times that sum is never exceeded, in any order.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from flight.fault_tolerance.abft import DEVIATIONS
from flight.fault_tolerance.errors import Array

UNIT = 2.0**-53


@dataclass(frozen=True)
class Reduction:
    """A number that an array is reduced to: how it is made, and how it is checked."""

    make: Callable[[], float]
    again: Callable[[], float]
    """The same in another order."""
    size: Callable[[], float]
    """The sum of the absolute terms."""
    terms: int

    def is_near(self, value: float) -> bool:
        """Whether a value is what rounding likely leaves of the true one."""
        return self._is_within(value, DEVIATIONS * math.sqrt(self.terms))

    def is_possible(self, value: float) -> bool:
        """Whether rounding can have left such a value."""
        return self._is_within(value, float(self.terms))

    def _is_within(self, value: float, roundings: float) -> bool:
        other, size = self.again(), self.size()
        if not (math.isfinite(value) and math.isfinite(other)):
            # beyond the largest number one order may end at infinity, another at no number
            return not (math.isfinite(value) or math.isfinite(other)) and not math.isfinite(size)
        return abs(value - other) <= 2 * UNIT * roundings * size


def total(values: Array) -> Reduction:
    """The sum of all elements of an array of any shape and real type, in float64."""
    flat = _flat(values)
    return Reduction(
        lambda: float(flat.sum()),
        lambda: float(flat[::-1].sum()),
        lambda: float(np.abs(flat).sum()),
        max(flat.size, 1),
    )


def dot(a: Array, b: Array) -> Reduction:
    """The sum of products, in float64. Raises ValueError for unequal numbers of elements."""
    one, other = _flat(a), _flat(b)
    if one.size != other.size:
        raise ValueError(f"{one.size} and {other.size} elements have no dot product; give as many")
    return Reduction(
        lambda: float(np.dot(one, other)),
        lambda: float((one * other)[::-1].sum()),
        lambda: float(np.abs(one * other).sum()),
        max(one.size, 1),
    )


def squares(values: Array) -> Reduction:
    """The sum of squares, in float64; its root is the Euclidean norm."""
    return dot(values, values)


def _flat(values: Array) -> Array:
    return np.ascontiguousarray(values, np.float64).reshape(-1)
