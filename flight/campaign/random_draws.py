"""Random numbers of one trial: a function of the campaign's seed and the trial's id alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")


class RandomDraws:
    """A counter-based stream (Philox) whose key is seed and trial.

    Raw numbers, since NumPy promises that these stay the same in every version.
    """

    def __init__(self, seed: int, trial: int) -> None:
        self._stream = np.random.Philox(key=np.array((seed, trial), np.uint64))

    def raw(self) -> int:
        """64 random bits."""
        return int(self._stream.random_raw())

    def below(self, limit: int) -> int:
        """A whole number 0 … limit - 1, equally likely to within limit / 2^64."""
        return (self.raw() * limit) >> 64

    def one_of(self, items: Sequence[T]) -> T:
        """One of some items, equally likely."""
        return items[self.below(len(items))]

    def octets(self, count: int) -> bytes:
        """Random octets."""
        words = -(-count // 8)
        return self._stream.random_raw(words).astype("<u8").tobytes()[:count]
