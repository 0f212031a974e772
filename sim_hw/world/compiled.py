"""Functions that Numba compiles, and keeps where it can."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba


def compiled(function: Callable[..., Any]) -> Any:
    """The function compiled at its first call; kept between processes where a folder of this
    user's can be written, and otherwise compiled by each."""
    try:
        kernel = numba.njit(cache=True)(function)
        folder = Path(str(kernel.stats.cache_path))
        folder.mkdir(parents=True, exist_ok=True)
        is_kept = os.access(folder, os.W_OK)
    except (OSError, RuntimeError):  # RuntimeError: Numba found no folder to keep it in
        is_kept = False
    return kernel if is_kept else numba.njit(function)
