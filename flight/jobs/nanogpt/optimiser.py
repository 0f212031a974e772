"""AdamW as nanoGPT uses it: decay on matrices only, gradients clipped by their global norm."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from flight.jobs.nanogpt import kernels
from flight.jobs.nanogpt.model import Array

F = np.float32

BETA_1 = 0.9
BETA_2 = 0.99
EPSILON = 1e-8
DECAY = 0.1
CLIP = 1.0
PARTS = 8
"""The flat buffer is worked on in this many parts, whatever the number of threads."""


@dataclass(frozen=True)
class Part:
    """Elements low … high of the flat buffer: all of them decay, or none."""

    low: int
    high: int
    is_decayed: bool


def parts(size: int, decayed: int) -> tuple[Part, ...]:
    """The fixed parts of a buffer whose first `decayed` elements decay."""
    edges = sorted({size * k // PARTS for k in range(PARTS + 1)} | {decayed})
    return tuple(Part(low, high, high <= decayed) for low, high in pairwise(edges))


def learning_rate(step: int, steps: int, warm_up: int, highest: float, is_cosine: bool) -> float:
    """The rate of a step counted from 0: a linear rise, then constant or a cosine to a tenth."""
    if step < warm_up:
        return highest * (step + 1) / (warm_up + 1)
    if not is_cosine or steps <= warm_up:
        return highest
    course = (step - warm_up) / (steps - warm_up)
    lowest = highest / 10
    return lowest + 0.5 * (1 + math.cos(math.pi * course)) * (highest - lowest)


def clip_factor(norm: float) -> float:
    """What to multiply gradients of that norm with."""
    return min(1.0, CLIP / (norm + 1e-6))


class AdamW:
    """The optimiser on one flat buffer theta | m | v; its step count is the job's."""

    def __init__(self, state: Array) -> None:
        self.theta, self.m, self.v = np.split(state, 3)

    def update(self, part: Part, gradient: Array, step: int, rate: float, clip: float) -> None:
        """Update one part for the step counted from 0, at learning rate `rate`.

        gradient: one float32 for each weight, scaled by `clip`.
        """
        kernels.adamw(
            self.theta, gradient, self.m, self.v, part.low, part.high,
            F(clip),
            F(1 - rate * DECAY) if part.is_decayed else F(1),
            F(BETA_1),
            F(BETA_2),
            F(rate / (1 - BETA_1 ** (step + 1))),
            F(1 / math.sqrt(1 - BETA_2 ** (step + 1))),
            F(EPSILON),
        )  # fmt: skip
