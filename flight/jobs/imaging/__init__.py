"""Turn raw acquisitions into small products: an index map, a change mask, statistics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from flight.jobs.declaration import JobDeclaration, Output
from icd.fields import F32, F64, U8, FileName, Limits, Text128, Unit


@dataclass(frozen=True)
class Parameters:
    """What ground may set for one scene."""

    scene: Annotated[Text128, FileName(), "image, .npy or binary PNM"]
    earlier: Annotated[
        Text128, FileName(), "acquisition to compare with, same shape; empty: no change mask"
    ] = ""
    upper_band: Annotated[U8, "band a of the index (a-b)/(a+b): near infrared for NDVI"] = 1
    lower_band: Annotated[U8, "band b of the index (a-b)/(a+b): red for NDVI"] = 0
    threshold: Annotated[
        F32, "change that counts, in standard deviations of the difference", Limits(0.1, 100.0)
    ] = 3.0


@dataclass(frozen=True)
class Metrics:
    """What the job tells of its course."""

    mean_index: Annotated[F64, "mean of the index over valid pixels"] = 0.0
    changed: Annotated[F64, "pixels that changed, of all that could be compared", Unit("%")] = 0.0


JOB = JobDeclaration(
    number=3,
    name="imaging",
    description="Compute a band index of an image and what changed since an earlier one.",
    parameters=Parameters,
    entry="flight.jobs.imaging.scene:run",
    outputs=(
        Output("index.npy", "float32 index map, rows by columns; NaN where both bands are dark"),
        Output("change.pgm", "255 where the scene changed, 0 elsewhere; only with two images"),
        Output("report.json", "statistics of index and change"),
    ),
    metrics=Metrics,
    memory_mb=4096,
    wall_s=3600,
    cpu_s=7200,
)
