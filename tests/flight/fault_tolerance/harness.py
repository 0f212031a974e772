"""A guard with its counts and sentences, and products that go wrong on request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from flight.fault_tolerance.guard import Guard
from flight.fault_tolerance.levels import Level, Tally


class Bench:
    """A guard at one level, which a test may change, and all it counted and said."""

    def __init__(self, level: Level = Level.ABFT, bit_identical: bool = True) -> None:
        self.level = level
        self.tally = Tally()
        self.said: list[str] = []
        self.guard = Guard(lambda: self.level, self.tally, bit_identical, self.said.append)


class Faulty:
    """Multiplies as NumPy does, and spoils the results of the calls whose numbers are given."""

    def __init__(
        self, spoil: Callable[[Any], Any], *calls: int, multiply: Callable[..., Any] = np.matmul
    ) -> None:
        self.multiply = multiply
        self.spoil = spoil
        self.calls = calls or (0,)
        self.made = 0

    def __call__(self, a: Any, b: Any, out: Any) -> None:
        self.multiply(a, b, out)
        if self.made in self.calls:
            self.spoil(out)
        self.made += 1


def flip(array: Any, place: tuple[int, ...], bit: int) -> None:
    """Flip one bit of one element of a float array, in place; bit 0 is the lowest."""
    word = np.dtype(f"u{array.itemsize}")
    value = array[place].reshape(1).view(word) ^ word.type(1 << bit)
    array[place] = value.view(array.dtype)[0]


def normal(*shape: int, seed: int = 1, dtype: Any = np.float32) -> Any:
    """Random numbers of mean 0 and deviation 1."""
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def rounding(a: Any, b: Any) -> Any:
    """u |A| |b| of each column of a product: what its residuals are measured in."""
    unit = np.finfo(a.dtype).eps / 2
    wide, other = a.astype(float), b.astype(float)
    return unit * np.linalg.norm(wide) * np.linalg.norm(other, axis=0)
