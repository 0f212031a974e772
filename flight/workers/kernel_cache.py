"""Where compiled code is kept between processes."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

VARIABLE = "XDG_CACHE_HOME"


def default_cache() -> Path:
    """The folder for compiled kernels where nothing else is configured."""
    return _base() / "vanallen" / "numba"


def fallback(state_dir: Path) -> tuple[dict[str, str], str]:
    """The environment in which the processes of a payload can keep compiled code, and what is
    wrong with where they would keep it by default; both empty where nothing is.

    Raises OSError when the state folder cannot be written either.
    """
    try:
        _try(default_cache())
    except (OSError, RuntimeError) as error:  # RuntimeError: this user has no home at all
        instead = state_dir / "cache"
        _try(instead)
        said = error.strerror if isinstance(error, OSError) else str(error)
        return {VARIABLE: str(instead)}, f"{_shown()} cannot be written ({said})"
    return {}, ""


def _base() -> Path:
    named = os.environ.get(VARIABLE)
    return Path(named) if named else Path.home() / ".cache"


def _shown() -> str:
    return f"${VARIABLE} {os.environ[VARIABLE]}" if os.environ.get(VARIABLE) else "~/.cache"


def _try(folder: Path) -> None:
    """Make the folder and a file in it that is gone at once; raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        pass
