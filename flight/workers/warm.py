"""Beats of a worker while it imports what takes seconds."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

from flight.workers.lifeline import Lifeline

TIMER_S = 0.1
WARM_LIMIT_S = 120.0


@contextmanager
def beats_by_timer(lifeline: Lifeline) -> Iterator[None]:
    """Beat from a timer signal for a while: an import can take seconds.

    A fork does not inherit the timer.
    """
    limit = time.monotonic() + WARM_LIMIT_S

    def beat(*_: object) -> None:
        if time.monotonic() < limit:
            lifeline.beat_if_due()

    before = signal.signal(signal.SIGALRM, beat)
    signal.setitimer(signal.ITIMER_REAL, TIMER_S, TIMER_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
