"""The matmul job: products of random matrices, each proven from both sides before it counts.

The check is Freivalds': with x of random signs, C x must equal A (B x), and y C must equal (y A) B,
up to rounding. It costs two passes over each matrix, not a second product. A residual is measured
in the rounding it may have: for a row, u |row of A| |B| (Euclidean and Frobenius norm); for a
column, u |A| |column of B|. Honest products stay near 1; above `ALARM` a product is made again.
So one wrong element is found when it is off by more than that; a smaller error passes.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np

from flight.jobs import blas
from flight.jobs.api import Array, Job, ResultError
from flight.jobs.matmul import Parameters, Precision

ALARM = 16.0
"""A residual above this many times its rounding means a wrong product."""

ATTEMPTS = 3
"""A product that fails as often as this ends the job."""

_TYPES = {Precision.FLOAT32: np.float32, Precision.FLOAT64: np.float64}
_BLOCK = 256

Product = Callable[[Array, Array, Array], Any]
"""left, right, out: how a block of rows is multiplied; tests put a faulty one here."""


def run(job: Job, product: Product = np.matmul) -> None:
    """Multiply as `job.parameters` say; raises ResultError for a product that stays wrong."""
    blas.limit_to_one_thread()
    parameters: Parameters = job.parameters
    digest = np.zeros(32, np.uint8)
    residual = np.zeros(1)
    failures = np.zeros(parameters.repeats, np.uint8)
    job.state(digest=digest, residual=residual, failures=failures)
    for repeat in range(job.step, parameters.repeats):
        left, right = _matrices(parameters, repeat)
        began = time.perf_counter()
        out = np.empty_like(left)
        worst = _prove(job, product, left, right, out, failures[repeat : repeat + 1])
        residual[0] = max(residual[0], worst)
        chained = hashlib.sha256(digest.tobytes() + out.tobytes()).digest()
        digest[...] = np.frombuffer(chained, np.uint8)
        operations = 2 * parameters.size**3
        job.metric(
            gflops=operations / (time.perf_counter() - began) / 1e9,
            worst_residual=float(residual[0]),
            wrong=float(failures.sum()),
        )
        job.commit(repeat + 1)
        job.progress(repeat + 1, parameters.repeats)
    _report(job, digest, residual, failures)


def residual_of(left: Array, right: Array, out: Array, signs: Array) -> float:
    """The worst residual of out = left right over all rows and columns, in roundings.

    `signs` is a vector of 1 and -1. Not a number when anything in the product is not finite.
    """
    unit = float(np.finfo(out.dtype).eps) / 2
    with np.errstate(all="ignore"):  # an upset can be anything; what is not finite is an alarm
        a, b, c = (matrix.astype(np.float64) for matrix in (left, right, out))
        rows = np.abs(c @ signs - a @ (b @ signs))
        columns = np.abs(signs @ c - (signs @ a) @ b)
        row_rounding = unit * np.linalg.norm(a, axis=1) * np.linalg.norm(b)
        column_rounding = unit * np.linalg.norm(a) * np.linalg.norm(b, axis=0)
        return float(max((rows / row_rounding).max(), (columns / column_rounding).max()))


def _prove(
    job: Job, product: Product, left: Array, right: Array, out: Array, failures: Array
) -> float:
    """Fill `out` with a product that holds; returns its residual, counts what failed before."""
    signs = _signs(len(left))
    for _ in range(ATTEMPTS):
        job.beat()
        for low in range(0, len(left), _BLOCK):
            rows = slice(low, low + _BLOCK)
            job.compute.launch(product, left[rows], right, out[rows])
            job.compute.synchronise()
            job.beat()
        residual = residual_of(left, right, out, signs)
        if math.isfinite(residual) and residual <= ALARM:
            return residual
        failures += 1
        job.log(f"a product failed its check: residual {residual:.3g} roundings; made again")
    raise ResultError(
        f"a product of size {len(left)} failed its check {ATTEMPTS} times; the processor or its "
        "memory is at fault"
    )


def _matrices(parameters: Parameters, repeat: int) -> tuple[Array, Array]:
    key = np.array((parameters.seed, repeat), np.uint64)
    generator = np.random.Generator(np.random.Philox(key=key))
    shape = (2, parameters.size, parameters.size)
    left, right = generator.standard_normal(shape).astype(_TYPES[parameters.precision])
    return left, right


def _signs(size: int) -> Array:
    draws = np.random.Generator(np.random.Philox(key=2**64 - 1)).integers(0, 2, size)
    return 2.0 * draws - 1.0


def _report(job: Job, digest: Array, residual: Array, failures: Array) -> None:
    parameters = asdict(job.parameters)
    report = {
        "format": 1,
        "parameters": parameters | {"precision": job.parameters.precision.name.lower()},
        "digest": digest.tobytes().hex(),
        "worst_residual": float(residual[0]),
        "alarm_above": ALARM,
        "wrong_products": {
            str(repeat): int(failures[repeat]) for repeat in np.flatnonzero(failures)
        },
        "numpy": np.__version__,
        "blas_core": blas.core_type(),
    }
    job.output("result.json").write_text(json.dumps(report, indent=1) + "\n")
