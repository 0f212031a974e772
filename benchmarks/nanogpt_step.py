"""One training step of the nanogpt job, ready to be timed."""

from __future__ import annotations

from typing import Any

import numpy as np

from flight.jobs import blas
from flight.jobs.nanogpt import Configuration, text
from flight.jobs.nanogpt.model import Shape, count, initialise
from flight.jobs.nanogpt.trainer import Trainer
from flight.jobs.nanogpt.training import SHARDS, SIZES

BATCH = 12
SEED = 1337


class TrainingStep:
    """A fresh model of a configuration on Python's own prose; a call trains one step."""

    def __init__(
        self, configuration: Configuration, rate: float, threads: int | None = None
    ) -> None:
        blas.limit_to_one_thread()
        layers, heads, width, context = SIZES[configuration]
        self.corpus = text.load(None, context)
        self.shape = Shape(layers, heads, width, context, len(self.corpus.vocabulary))
        self.size = count(self.shape)
        self.rate = rate
        self.tokens = BATCH * context
        self.state = np.zeros(3 * self.size, np.float32)
        initialise(self.state[: self.size], self.shape, SEED)
        self.trainer = Trainer(self.shape, BATCH, self.state, SHARDS[configuration], threads)

    def __enter__(self) -> TrainingStep:
        return self

    def __exit__(self, *_: object) -> None:
        self.trainer.close()

    def sequences(self, step: int) -> Any:
        """The batch of a step."""
        return self.corpus.sequences(BATCH, self.shape.context, SEED, step)

    def __call__(self, step: int) -> float:
        return self.trainer.step(step, self.sequences(step), self.rate, _nothing).loss


def _nothing() -> None:
    """A beat that nobody listens to."""
