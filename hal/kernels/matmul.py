"""Matrix product: out = a @ b for float32 or float64 matrices."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hal.kernels.kernel import Kernel

_TILE = 16

cuda: Any = None
"""The module numba.cuda, once the kernel has been asked for."""


def reference(a: NDArray[Any], b: NDArray[Any], out: NDArray[Any]) -> None:
    """Row by column in float64. a: rows x terms, b: terms x columns, out: rows x columns."""
    for row in range(a.shape[0]):
        for column in range(b.shape[1]):
            products = a[row].astype(np.float64) * b[:, column].astype(np.float64)
            out[row, column] = products.sum()


def host(a: NDArray[Any], b: NDArray[Any], out: NDArray[Any]) -> None:
    """By NumPy's BLAS, in the type of the matrices."""
    np.matmul(a, b, out=out)


def build_cuda() -> Callable[..., None]:
    """A tiled kernel: each block of threads computes one tile of `out` through shared memory."""
    global cuda  # a kernel finds the CUDA module among its file's names, also in the simulator
    cuda = importlib.import_module("numba.cuda")

    @cuda.jit
    def tiled(a, b, out):  # type: ignore[no-untyped-def]
        left = cuda.shared.array((_TILE, _TILE), np.float64)
        right = cuda.shared.array((_TILE, _TILE), np.float64)
        row, column = cuda.grid(2)
        x, y = cuda.threadIdx.x, cuda.threadIdx.y
        total = 0.0
        for tile in range((a.shape[1] + _TILE - 1) // _TILE):
            along = tile * _TILE
            inside = row < a.shape[0] and along + y < a.shape[1]
            left[x, y] = a[row, along + y] if inside else 0.0
            inside = column < b.shape[1] and along + x < b.shape[0]
            right[x, y] = b[along + x, column] if inside else 0.0
            cuda.syncthreads()
            for k in range(_TILE):
                total += left[x, k] * right[k, y]
            cuda.syncthreads()
        if row < out.shape[0] and column < out.shape[1]:
            out[row, column] = total

    def launcher(a: Any, b: Any, out: Any) -> None:
        blocks = tuple((length + _TILE - 1) // _TILE for length in out.shape)
        tiled[blocks, (_TILE, _TILE)](a, b, out)

    return launcher


MATMUL = Kernel("matmul", reference, host, build_cuda)
