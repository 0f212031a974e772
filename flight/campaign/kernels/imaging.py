"""Inference with known answers: the band index of the imaging job over the rows of an image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flight.campaign.bench import Bench
from flight.campaign.kernels.common import CommonSettings
from flight.campaign.kernels.subject import ArrayKernel, generator
from flight.campaign.patterns import Array
from flight.campaign.settings import share, whole
from flight.jobs.imaging import kernels


@dataclass(frozen=True)
class ImagingSettings(CommonSettings):
    """`[kernel.imaging]`."""

    rows: int = whole(1, 4096, 512)
    columns: int = whole(1, 4096, 64)
    batch: int = whole(1, 4096, 128)
    """Rows of a call."""
    timed_size: int = whole(2, 8192, 512)
    tolerance: float = share(0.0, 1.0, 0.01)
    """Of the largest index in the image."""


class Imaging(ArrayKernel):
    """The index (a - b) / (a + b) of two bands, 16 bits a pixel, a batch of rows a call.

    As in the job, one row of a batch holds values whose index is known.
    """

    def __init__(self, settings: ImagingSettings, seed: int) -> None:
        self.settings = settings
        self.tolerance = settings.tolerance
        self._seed = seed

    def make(self, number: int) -> dict[str, Array]:
        return self._bands(number, self.settings.rows, self.settings.columns)

    def timed_input(self) -> dict[str, Array]:
        return self._bands(0, self.settings.timed_size, self.settings.timed_size)

    def run(self, bench: Bench, inputs: dict[str, Array]) -> dict[str, Array]:
        upper, lower = inputs["upper"], inputs["lower"]
        index = np.zeros(upper.shape, np.float32)
        known = bench.guard.known_answers(kernels.problems(upper.shape[1]))

        def compute(upper: Array, lower: Array, index: Array) -> None:
            bench.call(kernels.band_index, {"upper": upper, "lower": lower}, {"index": index})

        bench.rest(**inputs)
        for low in range(0, len(index), self.settings.batch):
            rows = slice(low, low + self.settings.batch)
            if bench.shield.asks_known_answers:
                known.run(compute, (upper[rows], lower[rows]), index[rows])
            else:
                compute(upper[rows], lower[rows], index[rows])
        bench.rest(index=index)
        return {"index": index}

    def _bands(self, number: int, rows: int, columns: int) -> dict[str, Array]:
        draws = generator(self._seed, number).integers(1, 2**16, (2, rows, columns))
        upper, lower = draws.astype(np.uint16)
        return {"upper": upper.copy(), "lower": lower.copy()}
