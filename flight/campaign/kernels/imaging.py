"""Known-answer inference on a tile of an image: the band index of the imaging job."""

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

    rows: int = whole(1, 4096, 64)
    columns: int = whole(1, 4096, 64)
    timed_size: int = whole(2, 8192, 512)
    tolerance: float = share(0.0, 1.0, 0.01)
    """Of the largest index in the tile."""


class Imaging(ArrayKernel):
    """The index (a - b) / (a + b) of two bands, 16 bits a pixel."""

    def __init__(self, settings: ImagingSettings, seed: int) -> None:
        self.settings = settings
        self.tolerance = settings.tolerance
        self._seed = seed

    def make(self, number: int) -> dict[str, Array]:
        return self._bands(number, self.settings.rows, self.settings.columns)

    def timed_input(self) -> dict[str, Array]:
        return self._bands(0, self.settings.timed_size, self.settings.timed_size)

    def run(self, bench: Bench, inputs: dict[str, Array]) -> dict[str, Array]:
        index = np.empty(inputs["upper"].shape, np.float32)
        bench.rest(**inputs)
        bench.call(kernels.band_index, inputs, {"index": index})
        bench.rest(index=index)
        return {"index": index}

    def _bands(self, number: int, rows: int, columns: int) -> dict[str, Array]:
        draws = generator(self._seed, number).integers(1, 2**16, (2, rows, columns))
        upper, lower = draws.astype(np.uint16)
        return {"upper": upper.copy(), "lower": lower.copy()}
