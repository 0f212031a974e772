"""Multiply matrices again and again and prove each product: work that checks the machine."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Annotated

from flight.jobs.declaration import JobDeclaration, Output
from icd.fields import F64, U16, U32, Limits, Unit


@enum.unique
class Precision(enum.IntEnum):
    """Type of the matrices' elements."""

    FLOAT32 = 0
    FLOAT64 = 1


@dataclass(frozen=True)
class Parameters:
    """What ground may set for one run."""

    size: Annotated[U16, "rows and columns of each matrix", Limits(2, 8192)] = 512
    repeats: Annotated[U32, "products to make", Limits(1, 1_000_000)] = 20
    precision: Annotated[Precision, "type of the elements"] = Precision.FLOAT32
    seed: Annotated[U32, "seed of the matrices"] = 1


@dataclass(frozen=True)
class Metrics:
    """What the job tells of its course."""

    gflops: Annotated[F64, "speed of the last product and its check", Unit("GFLOP/s")] = 0.0
    worst_residual: Annotated[F64, "largest residual over the rounding it may have"] = 0.0
    wrong: Annotated[F64, "products that failed their check and were made again"] = 0.0


JOB = JobDeclaration(
    number=2,
    name="matmul",
    description="Multiply matrices and check every product; a wrong one is found and made again.",
    parameters=Parameters,
    entry="flight.jobs.matmul.multiply:run",
    outputs=(Output("result.json", "digest of the products, worst residual, wrong products"),),
    metrics=Metrics,
    wall_s=3600,
    cpu_s=7200,
)
