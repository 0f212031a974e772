"""The nanogpt job: train, validate, commit, and bring home weights, a sample and the curve."""

from __future__ import annotations

import enum
import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any, TypeVar

import numba
import numpy as np

from flight.fault_tolerance.guard import Guard
from flight.jobs import blas, compiled
from flight.jobs.api import Job, MemoryLost
from flight.jobs.nanogpt import JOB, Configuration, Parameters, Schedule, text, weights
from flight.jobs.nanogpt.model import Multiply, Shape, count, initialise
from flight.jobs.nanogpt.optimiser import learning_rate
from flight.jobs.nanogpt.sampling import sample
from flight.jobs.nanogpt.trainer import StepResult, Trainer

T = TypeVar("T")

SIZES = {  # layers, heads, width, context
    Configuration.TINY: (2, 2, 32, 32),
    Configuration.CPU: (4, 4, 128, 64),
    Configuration.BABY: (6, 6, 384, 256),
}
SHARDS = {Configuration.TINY: 2, Configuration.CPU: 4, Configuration.BABY: 8}
"""Parts that each batch is cut in. The bits depend on it, so it is no option."""

VALIDATION_BATCHES = 8

MOST_WRONG = 3
"""Times that one pass is made anew because the weights it read had wrong bits."""

CURVE = ("step", "loss", "validation_loss", "gradient_norm", "learning_rate")


def run(job: Job, threads: int | None = None, multiply: Multiply = np.matmul) -> None:
    """Train as `job.parameters` say. The bits depend neither on `threads` nor on `job.level`.

    `multiply` makes every matrix product. Raises InputError for a text it cannot use, JobError
    when the loss is no longer finite, ResultError for a result that cannot be made right.
    """
    blas.limit_to_one_thread()
    Training(job, threads, multiply).run()


class Training:
    """One training run from its first step, or from its last commit, to its products."""

    def __init__(self, job: Job, threads: int | None, multiply: Multiply = np.matmul) -> None:
        parameters: Parameters = job.parameters
        layers, heads, width, context = SIZES[parameters.configuration]
        self.job = job
        self.parameters = parameters
        self.threads = threads
        self.multiply = multiply
        self.guard = Guard(lambda: job.level, job.tally, JOB.bit_identical, job.log)
        corpus = text.load(job.input("text") if parameters.text else None, context)
        self.corpus = replace(
            corpus,
            training=job.region("text", corpus.training),
            validation=job.region("held-back", corpus.validation),
        )
        self.shape = Shape(layers, heads, width, context, len(self.corpus.vocabulary))
        self.size = count(self.shape)
        self.state = job.compute.allocate(3 * self.size, np.float32)
        rows = -(-parameters.steps // parameters.evaluation_interval)
        self.curve = np.zeros((rows, len(CURVE)))
        self.pinned = pinned(self.corpus.sha256, parameters)
        self._wrong_in_row = 0

    def run(self) -> None:
        """From start or commit to the products."""
        job, parameters = self.job, self.parameters
        initialise(self.state[: self.size], self.shape, parameters.seed)
        self._register()
        shards = SHARDS[parameters.configuration]
        with Trainer(
            self.shape,
            parameters.batch,
            self.state,
            shards,
            self.threads,
            self.guard,
            self.multiply,
        ) as trainer:
            job.seal()
            for step in range(job.step, parameters.steps):
                self._train(trainer, step)
            self._write(trainer)
            while self._was_wrong():
                self._write(trainer)

    def _register(self) -> None:
        """Hand the state over; say so when a resumed run can no longer give the same bits."""
        digest = hashlib.sha256(json.dumps(self.pinned, sort_keys=True).encode()).digest()
        mark = np.frombuffer(digest, np.uint8).copy()
        self.job.state(weights=self.state, curve=self.curve, pinned=mark)
        if mark.tobytes() != digest:
            self.job.log(
                "resumed with other parameters, text, library versions or processor than it "
                "began with: the result will not be bit-identical to an undisturbed run"
            )
            mark[...] = np.frombuffer(digest, np.uint8)

    def _train(self, trainer: Trainer, step: int) -> None:
        job, parameters = self.job, self.parameters
        job.beat()
        began = time.perf_counter()
        rate = learning_rate(
            step,
            parameters.steps,
            parameters.warm_up,
            parameters.learning_rate,
            parameters.schedule is Schedule.COSINE,
        )
        batch = self.corpus.sequences(parameters.batch, self.shape.context, parameters.seed, step)
        result = self._on_device(trainer.step, step, batch, rate, job.beat, self._was_wrong)
        job.seal()
        done = step + 1
        job.metric(
            loss=result.loss,
            gradient_norm=result.gradient_norm,
            learning_rate=rate,
            tokens_per_s=batch[:, 1:].size / (time.perf_counter() - began),
        )
        if done % parameters.evaluation_interval == 0 or done == parameters.steps:
            self._validate(trainer, done, result, rate)
        if done % parameters.commit_interval == 0 or done == parameters.steps:
            job.commit(done)
        job.progress(done, parameters.steps)

    def _validate(self, trainer: Trainer, done: int, result: StepResult, rate: float) -> None:
        job, parameters = self.job, self.parameters
        batches = [
            self.corpus.held_back(parameters.batch, self.shape.context, parameters.seed, index)
            for index in range(VALIDATION_BATCHES)
        ]
        loss = self._on_device(trainer.evaluate, batches, job.beat)
        while self._was_wrong():
            loss = self._on_device(trainer.evaluate, batches, job.beat)
        row = -(-done // parameters.evaluation_interval) - 1
        self.curve[row] = done, result.loss, loss, result.gradient_norm, rate
        job.seal()
        job.metric(validation_loss=loss)
        job.log(f"step {done}: loss {result.loss:.4f}, validation {loss:.4f}")

    def _write(self, trainer: Trainer) -> None:
        """The products; no time of day, no speed: equal runs give equal files."""
        job, parameters = self.job, self.parameters
        weights.save(
            job.output("weights.npz"),
            self.state[: self.size],
            self.shape,
            self.corpus.vocabulary,
        )
        written = self._on_device(
            trainer.repeated,
            sample,
            self.shape,
            trainer.weights,
            self.corpus.vocabulary,
            parameters.sample_length,
            parameters.temperature,
            parameters.top_k,
            parameters.seed,
            job.beat,
            trainer.product,
        )
        job.output("sample.txt").write_bytes(written.encode())
        report = {
            "format": 1,
            "model": asdict(self.shape) | {"weights": self.size},
            "curve": [
                dict(zip(CURVE, (int(row[0]), *row[1:]), strict=True))
                for row in self.curve.tolist()
            ],
            "weights_sha256": hashlib.sha256(self.state[: self.size].tobytes()).hexdigest(),
            "pinned": self.pinned,
        }
        job.output("training.json").write_text(json.dumps(report, indent=1) + "\n")

    def _was_wrong(self) -> bool:
        """Whether the state had wrong bits since it was sealed; they are right again.

        What was computed from them is to be computed anew, and they are watched meanwhile.
        """
        self._wrong_in_row = self._wrong_in_row + 1 if self.job.verify() else 0
        if self._wrong_in_row > MOST_WRONG:
            raise MemoryLost(f"the state was wrong {MOST_WRONG} times while one step was computed")
        if self._wrong_in_row:
            self.job.seal()
        return self._wrong_in_row > 0

    def _on_device(self, function: Callable[..., T], *arguments: Any) -> T:
        """Compute on the device, which keeps the time; returns what the function returns."""
        result: T = self.job.compute.launch(function, *arguments)
        self.job.compute.synchronise()
        return result


def pinned(text_sha256: str, parameters: Parameters) -> dict[str, Any]:
    """What the bits of a run depend on; two runs that agree in it agree in every product."""
    settings = {
        name: value.name.lower() if isinstance(value, enum.IntEnum) else value
        for name, value in asdict(parameters).items()
        if name != "text"  # a name; the digest says what was in the file
    }
    return {
        "text_sha256": text_sha256,
        "parameters": settings,
        "shards": SHARDS[parameters.configuration],
        "validation_batches": VALIDATION_BATCHES,
        "numpy": np.__version__,
        "numba": numba.__version__,
        "blas_core": blas.core_type(),
        "compiled_for": compiled.target(),
    }
