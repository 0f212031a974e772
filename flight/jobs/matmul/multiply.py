"""The matmul job: products of random matrices, each protected as the job's level asks.

At ABFT every product keeps checksums that its rows and columns must add up to; at DMR and TMR it is
made two or three times. At level NONE nothing is checked.
"""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import asdict
from functools import partial

import numpy as np

from flight.fault_tolerance.abft import SHARE
from flight.fault_tolerance.guard import Guard, Multiply
from flight.jobs import blas
from flight.jobs.api import Array, Job
from flight.jobs.matmul import JOB, Parameters, Precision

_TYPES = {Precision.FLOAT32: np.float32, Precision.FLOAT64: np.float64}
_BLOCK = 256


def run(job: Job, multiply: Multiply = np.matmul) -> None:
    """Multiply as `job.parameters` say; raises ResultError for a product that stays wrong.

    `multiply` fills its third argument with the product of the first two: a block of rows.
    """
    blas.limit_to_one_thread()
    parameters: Parameters = job.parameters
    digest = np.zeros(32, np.uint8)
    residual = np.zeros(1)
    failures = np.zeros(parameters.repeats, np.uint8)
    job.state(digest=digest, residual=residual, failures=failures)
    job.seal()
    guard = Guard(lambda: job.level, job.tally, JOB.bit_identical, job.log)
    for repeat in range(job.step, parameters.repeats):
        left, right = _matrices(parameters, repeat)
        began = time.perf_counter()
        wrong = job.tally.wrong
        out = guard.product(left, right, None, partial(_in_blocks, job, multiply))
        job.verify()
        failures[repeat] = min(job.tally.wrong - wrong, 255)
        residual[0] = max(residual[0], guard.worst)
        chained = hashlib.sha256(digest.tobytes() + out.tobytes()).digest()
        digest[...] = np.frombuffer(chained, np.uint8)
        job.seal()
        operations = 2 * parameters.size**3
        job.metric(
            gflops=operations / (time.perf_counter() - began) / 1e9,
            worst_residual=float(residual[0]),
            wrong=float(failures.sum()),
        )
        job.commit(repeat + 1)
        job.progress(repeat + 1, parameters.repeats)
    job.verify()
    _report(job, digest, residual, failures)


def _in_blocks(job: Job, multiply: Multiply, left: Array, right: Array, out: Array) -> None:
    """Multiply on the job's device, block by block of rows, with a beat after each."""
    job.beat()
    for low in range(0, len(left), _BLOCK):
        rows = slice(low, low + _BLOCK)
        job.compute.launch(multiply, left[rows], right, out[rows])
        job.compute.synchronise()
        job.beat()


def _matrices(parameters: Parameters, repeat: int) -> tuple[Array, Array]:
    key = np.array((parameters.seed, repeat), np.uint64)
    generator = np.random.Generator(np.random.Philox(key=key))
    shape = (2, parameters.size, parameters.size)
    left, right = generator.standard_normal(shape).astype(_TYPES[parameters.precision])
    return left, right


def _report(job: Job, digest: Array, residual: Array, failures: Array) -> None:
    parameters = asdict(job.parameters)
    report = {
        "format": 1,
        "parameters": parameters | {"precision": job.parameters.precision.name.lower()},
        "digest": digest.tobytes().hex(),
        "worst_residual": float(residual[0]),
        "alarm_above": SHARE,
        "wrong_products": {
            str(repeat): int(failures[repeat]) for repeat in np.flatnonzero(failures)
        },
        "numpy": np.__version__,
        "blas_core": blas.core_type(),
    }
    job.output("result.json").write_text(json.dumps(report, indent=1) + "\n")
