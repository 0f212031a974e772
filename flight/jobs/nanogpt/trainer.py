"""One training step over fixed shards: the bits do not depend on the number of threads."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np

from flight.fault_tolerance.guard import Guard
from flight.fault_tolerance.levels import Level
from flight.jobs.api import JobError
from flight.jobs.nanogpt import kernels
from flight.jobs.nanogpt.model import Array, Multiply, Shape, Shard, count, decayed, weights_in
from flight.jobs.nanogpt.optimiser import AdamW, clip_factor, parts

T = TypeVar("T")

_BEAT_S = 0.1
"""How often a step that takes long looks whether its shards are alive, in seconds."""


class _Stopped(Exception):
    pass


@dataclass(frozen=True)
class StepResult:
    """What one step tells: mean loss in nat, norm of the gradient before it was clipped."""

    loss: float
    gradient_norm: float


class Trainer:
    """The model, its optimiser and the threads that train it.

    `state` is the flat float32 buffer theta | m | v. Every batch is cut in `shards` parts of fixed
    size; each part has its own gradient, and these are summed in order.

    With a `guard`, each matrix product is checked at level ABFT; the other kernels are not. At DMR
    and TMR each half of a step, the gradient and the update, runs two or three times, and the bits
    of all gradients, or of the whole state, are compared. `multiply` makes the products.
    """

    def __init__(
        self,
        shape: Shape,
        batch: int,
        state: Array,
        shards: int,
        threads: int | None = None,
        guard: Guard | None = None,
        multiply: Multiply = np.matmul,
    ) -> None:
        self.shape = shape
        self.batch = batch
        self._guard = guard
        self._multiply = multiply
        self._state = state
        size = count(shape)
        shards = min(shards, batch)
        self._optimiser = AdamW(state)
        self._parts = parts(size, decayed(shape))
        self.gradients = np.zeros((shards, size), np.float32)
        self.weights = weights_in(self._optimiser.theta, shape)
        self._edges = [batch * k // shards for k in range(shards + 1)]
        self._shards = [
            Shard(
                shape,
                high - low,
                self.weights,
                weights_in(gradient, shape),
                self._alive,
                self.product,
            )
            for (low, high), gradient in zip(pairwise(self._edges), self.gradients, strict=True)
        ]
        self._signs_of_life = 0
        self._is_stopped = False
        workers = min(threads or _processors(), shards)
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="shard")

    def __enter__(self) -> Trainer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the threads."""
        self._is_stopped = True
        self._pool.shutdown()

    def product(self, a: Array, b: Array, out: Array) -> None:
        """Fill `out` with a matrix product, checked at level ABFT; `repeated` covers the others."""
        if self._guard is not None and self._guard.level is Level.ABFT:
            self._guard.product(a, b, out, self._multiply)
        else:
            self._multiply(a, b, out)

    def repeated(self, function: Callable[..., T], *arguments: Any, **arrays: Sequence[Array]) -> T:
        """Call a function, more than once at DMR and TMR; `arrays` as for `Guard.call`."""
        if self._guard is None or self._guard.level < Level.DMR:
            return function(*arguments)
        result: T = self._guard.call(function, *arguments, **arrays)
        return result

    def gradient(self, sequences: Array, beat: Callable[[], None]) -> float:
        """Set the shards' gradients of the mean loss of a batch; returns that loss.

        `sequences` is int32, batch x (context + 1): each character's target is the next one.
        """
        share = 1 / (self.batch * self.shape.context)

        def work(index: int) -> float:
            shard, (tokens, targets) = self._shards[index], self._cut(sequences, index)
            loss = shard.loss(tokens, targets, share)
            shard.backward(tokens)
            return loss

        return math.fsum(self._spread(work, range(len(self._shards)), beat)) * share

    def step(
        self,
        step: int,
        sequences: Array,
        rate: float,
        beat: Callable[[], None],
        was_wrong: Callable[[], bool] = lambda: False,
    ) -> StepResult:
        """Train on one batch, as the step of that number from 0, at that learning rate.

        `was_wrong` is asked before the weights change: where their memory was wrong, and is right
        again, the gradient is computed anew.
        Raises JobError, with the weights as they were, when loss or gradient is not finite.
        """
        loss = self.repeated(self.gradient, sequences, beat, overwritten=(self.gradients,))
        while was_wrong():
            loss = self.repeated(self.gradient, sequences, beat, overwritten=(self.gradients,))
        norm = self.repeated(
            self._update, step, loss, rate, beat, outputs=(self.gradients[0], self._state)
        )
        return StepResult(loss, norm)

    def _update(self, step: int, loss: float, rate: float, beat: Callable[[], None]) -> float:
        """Sum the shards' gradients and take the step; returns the norm of the gradient."""
        squares = self._spread(
            lambda part: kernels.sum_shards(self.gradients, part.low, part.high),
            self._parts,
            beat,
        )
        norm = math.sqrt(math.fsum(squares)) if all(map(math.isfinite, squares)) else math.nan
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise JobError(
                f"step {step}: the loss or its gradient is not finite; lower learning_rate "
                f"(now {rate:g}), or resume from the last commit"
            )
        clip = clip_factor(norm)
        self._spread(
            lambda part: self._optimiser.update(part, self.gradients[0], step, rate, clip),
            self._parts,
            beat,
        )
        return norm

    def evaluate(self, batches: Sequence[Array], beat: Callable[[], None]) -> float:
        """Mean loss in nat over batches of sequences; nothing is learnt.

        Each batch is int32, batch x (context + 1).
        """
        return self.repeated(self._evaluate, batches, beat)

    def _evaluate(self, batches: Sequence[Array], beat: Callable[[], None]) -> float:
        share = 1 / (self.batch * self.shape.context)

        def work(index: int) -> list[float]:
            return [
                self._shards[index].loss(*self._cut(sequences, index), share)
                for sequences in batches
            ]

        losses = self._spread(work, range(len(self._shards)), beat)
        return math.fsum(map(math.fsum, losses)) * share / len(batches)

    def _cut(self, sequences: Array, index: int) -> tuple[Array, Array]:
        """The tokens and targets of one shard, flat: sequences * context, int32, each."""
        rows = sequences[self._edges[index] : self._edges[index + 1]]
        return rows[:, :-1].ravel(), rows[:, 1:].ravel()

    def _alive(self) -> None:
        # called from the shards' threads; a lost count does no harm, only standing still does
        self._signs_of_life += 1
        if self._is_stopped:
            raise _Stopped

    def _spread(
        self, work: Callable[[Any], T], items: Sequence[Any], beat: Callable[[], None]
    ) -> list[T]:
        """Do `work` for each item on the threads, results in order.

        When this takes long, `beat` is called on this thread, while some shard shows life.
        """
        futures: list[Future[T]] = [self._pool.submit(work, item) for item in items]
        waiting: set[Future[T]] = set(futures)
        seen = self._signs_of_life
        try:
            while waiting:
                waiting = wait(waiting, _BEAT_S).not_done
                if waiting and self._signs_of_life != seen:
                    seen = self._signs_of_life
                    beat()
        except BaseException:
            self._is_stopped = True
            wait(futures)
            raise
        return [future.result() for future in futures]


def _processors() -> int:
    """Processors this process may use."""
    return len(os.sched_getaffinity(0))
