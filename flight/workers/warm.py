"""Beats of a worker while it imports and compiles what takes seconds, or minutes."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flight.workers.lifeline import Lifeline

TIMER_S = 0.1
WARM_LIMIT_S = 600.0
END_S = 1.0


@contextmanager
def beats_meanwhile(lifeline: Lifeline, doing: str) -> Iterator[None]:
    """Beat from a thread for a while, and say what the worker is busy with.

    A timer signal would not do: a compiler is one call that lasts, in which no handler runs. The
    thread is gone before this returns, so that a launcher forks with one thread.
    """
    over = threading.Event()
    limit = time.monotonic() + WARM_LIMIT_S

    def beat() -> None:
        while not over.wait(TIMER_S) and time.monotonic() < limit:
            lifeline.beat_if_due(doing)

    before = _threads()
    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        _wait_for_end(before)


def _wait_for_end(before: int) -> None:
    """A joined thread may still be on its way out of the kernel."""
    limit = time.monotonic() + END_S
    while _threads() > before and time.monotonic() < limit:
        os.sched_yield()


def _threads() -> int:
    return len(list(Path("/proc/self/task").iterdir()))
