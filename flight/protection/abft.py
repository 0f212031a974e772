"""Checksums of matrix products: what the rows and columns of C = A B must add up to."""

from __future__ import annotations

import numpy as np

from flight.jobs.api import Array

SHARE = 10.0


class Checks:
    """What the columns of a product must add up to, taken before it is made."""

    def __init__(self, a: Array, b: Array) -> None:
        generator = np.random.Generator(np.random.Philox(key=2**64 - 1))
        self._x = 2.0 * generator.integers(0, 2, a.shape[-2]) - 1.0
        self._unit = float(np.finfo(np.result_type(a, b)).eps) / 2
        with np.errstate(all="ignore"):
            left, right = a.astype(np.float64), b.astype(np.float64)
            self._sums = (self._x @ left)[..., None, :] @ right
            self._norms = np.sqrt(
                (left * left).sum((-2, -1))[..., None, None]
                * (right * right).sum(-2, keepdims=True)
            )
        self.worst = 0.0

    def hold(self, c: Array) -> bool:
        """Whether a product keeps them."""
        with np.errstate(all="ignore"):
            sums = (self._x @ c.astype(np.float64))[..., None, :]
            roundings = np.abs(sums - self._sums) / (self._unit * self._norms)
        self.worst = float(roundings.max())
        return self.worst <= SHARE
