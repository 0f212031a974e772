"""Checks of Python and of what is installed beside it."""

from __future__ import annotations

import os
import re
import sys
from importlib import metadata
from pathlib import Path

from flight.doctor.finding import Finding, error, ok, warning
from flight.doctor.machine import Subject, nearest_folder

OLDEST, NEWEST = (3, 10), (3, 13)
DISTRIBUTION = "vanallen"


def python(subject: Subject) -> Finding:
    """A version that the payload is tested on, with docstrings, which are the text of events."""
    version = ".".join(map(str, subject.machine.python))
    if not OLDEST <= subject.machine.python[:2] <= NEWEST:
        return error(f"Python {version}", "install one of 3.10 … 3.13 and make the venv anew")
    if sys.flags.optimize > 1:
        return error(f"Python {version} runs with -OO", "leave -OO away: docstrings are needed")
    return ok(f"Python {version}")


def packages(subject: Subject) -> Finding:
    """Everything that `pyproject.toml` asks for is installed."""
    del subject
    try:
        required = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        return warning(f"{DISTRIBUTION} is not installed", "pip install it, or use its venv")
    names = [re.split(r"[^\w.-]", line, maxsplit=1)[0] for line in required if ";" not in line]
    missing = [name for name in names if not _is_installed(name)]
    if missing:
        return error(f"missing: {', '.join(missing)}", f"pip install {' '.join(missing)}")
    return ok(f"{len(names)} packages are installed")


def installed_jobs(subject: Subject) -> Finding:
    """Every job that is installed beside ours can be imported and flown."""
    del subject
    from flight.jobs.registry import jobs, refused

    if wrong := refused():
        said = "; ".join(f"'{name}': {why}" for name, why in wrong)
        return warning(f"a job cannot be flown: {said}", "mend it or uninstall it; the rest flies")
    return ok(f"{len(jobs())} jobs can be flown")


def numba_cache(subject: Subject) -> Finding:
    """Compiled kernels are kept where the launcher looks for them."""
    environment = subject.machine.environment
    base = environment.get("XDG_CACHE_HOME") or Path(environment.get("HOME", "/")) / ".cache"
    folder = Path(base) / "vanallen" / "numba"
    nearest = nearest_folder(folder)
    if subject.machine.may_use(nearest) and os.access(nearest, os.W_OK):
        return ok(f"kernels are kept in {folder}")
    return warning(
        f"{nearest} is not writable: kernels are kept with the payload's state, not in {folder}",
        "set XDG_CACHE_HOME to a folder of this user's (systemd: CacheDirectory=)",
    )


def _is_installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True
