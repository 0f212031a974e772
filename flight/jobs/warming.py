"""What jobs need imported before their first step: by the launcher, or ahead by `flight warm`."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable

FIRST = ("flight.components.job_runner.worker.job", "flight.jobs.registry")
"""What every job needs."""


def entry_modules() -> list[str]:
    """What the installed jobs need besides."""
    from flight.jobs.registry import jobs

    return ["numba", *(job.entry.partition(":")[0] for job in jobs().values())]


def warm(say: Callable[[str], object], clock: Callable[[], float] = time.monotonic) -> list[str]:
    """Import all of it, which compiles what is not yet kept; the names that could not be.

    `say` is given a line before each module and one after it.
    """
    names = [*FIRST, *entry_modules()]
    failed = []
    for number, name in enumerate(names, 1):
        head = f"[{number}/{len(names)}] {name}"
        say(f"{head} …")
        began = clock()
        try:
            importlib.import_module(name)
        except (Exception, SystemExit) as error:
            failed.append(name)
            say(f"{head}  cannot be imported: {type(error).__name__}: {error}")
        else:
            say(f"{head}  {clock() - began:.1f} s")
    return failed
