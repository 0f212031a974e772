"""Copy: out = a, element by element; it moves memory and computes nothing."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hal.kernels.kernel import Kernel

_THREADS = 256

cuda: Any = None
"""The module numba.cuda, once the kernel has been asked for."""


def reference(a: NDArray[Any], out: NDArray[Any]) -> None:
    """One element after the other. a, out: vectors of one length and type."""
    for index in range(a.shape[0]):
        out[index] = a[index]


def host(a: NDArray[Any], out: NDArray[Any]) -> None:
    """NumPy's copy."""
    np.copyto(out, a)


def build_cuda() -> Callable[..., None]:
    """One thread an element, so that neighbours read neighbours."""
    global cuda  # a kernel finds the CUDA module among its file's names, also in the simulator
    cuda = importlib.import_module("numba.cuda")

    @cuda.jit
    def stream(a, out):  # type: ignore[no-untyped-def]
        index = cuda.grid(1)
        if index < a.shape[0]:
            out[index] = a[index]

    def launcher(a: Any, out: Any) -> None:
        stream[(a.shape[0] + _THREADS - 1) // _THREADS, _THREADS](a, out)

    return launcher


COPY = Kernel("copy", reference, host, build_cuda)
