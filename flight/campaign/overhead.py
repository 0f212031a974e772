"""What protection costs: undisturbed runs at all levels by turns, and the medians of times."""

from __future__ import annotations

import gc
import statistics
import time
from typing import Any

from flight.campaign.fault_models import Shield
from flight.campaign.trials import Trials


def measure(laboratory: Trials) -> list[dict[str, Any]]:
    """Per kernel and level: median time in ms, and the median ratio to the unprotected run beside.

    A round runs every level once, the unprotected one first; ratios are within rounds, so that a
    machine that slows down in the midst of it does not count.
    """
    campaign = laboratory.campaign
    rows: list[dict[str, Any]] = []
    for kernel in campaign.file.kernel:
        shields = [block.shield for block in campaign.blocks if block.kernel == kernel]
        shields = list(dict.fromkeys([Shield.NONE, *shields]))
        rows += _rows(laboratory, kernel, shields, campaign.file.timed_runs)
    return rows


def _rows(
    laboratory: Trials, kernel: str, shields: list[Shield], rounds: int
) -> list[dict[str, Any]]:
    subject = laboratory.subject(kernel)
    runs = {shield: subject.timed(shield) for shield in shields}
    if None in runs.values() or not rounds:
        return []
    times: dict[Shield, list[int]] = {shield: [] for shield in shields}
    for turn in range(rounds + 1):
        for shield, run in runs.items():
            assert run is not None
            gc.collect()  # what earlier runs left is not this run's to clear away
            began = time.perf_counter_ns()
            run()
            took = time.perf_counter_ns() - began
            if turn:  # the first round fills caches
                times[shield].append(took)
    plain = times[Shield.NONE]
    return [
        {
            "kernel": kernel,
            "level": shield.value,
            "runs": rounds,
            "median_ms": round(statistics.median(taken) / 1e6, 4),
            "ratio": round(statistics.median(a / b for a, b in zip(taken, plain, strict=True)), 4),
        }
        for shield, taken in times.items()
    ]
