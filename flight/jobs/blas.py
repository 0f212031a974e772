"""The BLAS library that NumPy brought: keep it on one thread, and say which kernels it uses.

A BLAS that spins its own threads beside a job's makes both several times slower. The environment
variable OPENBLAS_NUM_THREADS=1 does this only when it is set before NumPy is imported.
"""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import numpy  # noqa: F401  (it brings the library that is looked for here)

_AFFIXES = (
    ("scipy_openblas_", "64_"),
    ("scipy_openblas_", ""),
    ("openblas_", "64_"),
    ("openblas_", ""),
)


def limit_to_one_thread() -> None:
    """Keep NumPy's products on the calling thread; without OpenBLAS nothing happens."""
    limit = _function("set_num_threads")
    if limit is not None:
        limit(1)


def core_type() -> str:
    """The processor type whose kernels OpenBLAS picked, "SkylakeX"; "unknown" without OpenBLAS."""
    name = _function("get_corename")
    if name is None:
        return "unknown"
    name.restype = ctypes.c_char_p
    return str(name().decode())


def _function(name: str) -> Any:
    for library in _LIBRARIES:
        for before, after in _AFFIXES:
            function = getattr(library, f"{before}{name}{after}", None)
            if function is not None:
                return function
    return None


def _loaded() -> tuple[ctypes.CDLL, ...]:
    """The shared libraries in this process whose name says OpenBLAS."""
    lines = Path("/proc/self/maps").read_text().splitlines()
    paths = {line.split(maxsplit=5)[5] for line in lines if "openblas" in line}
    return tuple(ctypes.CDLL(path) for path in sorted(paths) if ".so" in path)


# looked up at import, before the job is confined to its folder and to what it may read
_LIBRARIES = _loaded()
