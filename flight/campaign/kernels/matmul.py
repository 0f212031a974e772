"""One matrix product on the compute device, from the host's memory and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from flight.campaign.bench import Bench
from flight.campaign.device import StruckDevice
from flight.campaign.kernels.common import CommonSettings
from flight.campaign.kernels.subject import ArrayKernel, generator
from flight.campaign.patterns import Array
from flight.campaign.settings import choice, share, whole
from flight.jobs import blas
from hal.compute.device import ComputeDevice, open_device
from hal.kernels.matmul import MATMUL

TYPES = {"float32": np.float32, "float64": np.float64}


@dataclass(frozen=True)
class MatmulSettings(CommonSettings):
    """`[kernel.matmul]`."""

    rows: int = whole(2, 4096, 64)
    inner: int = whole(2, 4096, 64)
    columns: int = whole(2, 4096, 64)
    timed_size: int = whole(2, 8192, 512)
    precision: str = choice(tuple(TYPES), "float32")
    device: str = choice(("host", "cuda"), "host")
    tolerance: float = share(0.0, 1.0, 1e-3)
    """Of the largest element of the product."""


class Matmul(ArrayKernel):
    """Copy two matrices to the device, multiply, copy the product back.

    A product begins with its copies: a level that makes products twice copies twice.
    """

    def __init__(self, settings: MatmulSettings, seed: int) -> None:
        blas.limit_to_one_thread()
        self.settings = settings
        self.tolerance = settings.tolerance
        self._seed = seed
        self._device: ComputeDevice = open_device(settings.device)

    def make(self, number: int) -> dict[str, Array]:
        s = self.settings
        return self._matrices(number, s.rows, s.inner, s.columns)

    def timed_input(self) -> dict[str, Array]:
        size = self.settings.timed_size
        return self._matrices(0, size, size, size)

    def run(self, bench: Bench, inputs: dict[str, Array]) -> dict[str, Array]:
        device = StruckDevice(self._device, bench)
        bench.make = lambda a, b, out: _on_device(device, a, b, out)
        bench.rest(**inputs)
        out = bench.product(inputs["a"], inputs["b"])
        bench.rest(out=out)
        return {"out": out}

    def _matrices(self, number: int, rows: int, inner: int, columns: int) -> dict[str, Array]:
        draws = generator(self._seed, number)
        kind = TYPES[self.settings.precision]
        a, b = draws.standard_normal((rows, inner)), draws.standard_normal((inner, columns))
        return {"a": a.astype(kind), "b": b.astype(kind)}


def _on_device(device: StruckDevice, a: Array, b: Array, out: Array) -> None:
    left: Any = device.copy_in(np.ascontiguousarray(a))
    right: Any = device.copy_in(np.ascontiguousarray(b))
    product: Any = device.allocate(out.shape, out.dtype)
    device.name(a=left, b=right, out=product)
    device.launch(MATMUL, left, right, product)
    device.copy_out(product, out)
    device.forget()
