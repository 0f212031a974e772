"""Where compiled kernels are kept between processes."""

from __future__ import annotations

import os
from pathlib import Path


def default_cache() -> Path:
    """The folder for compiled kernels where nothing else is configured."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "vanallen" / "numba"
