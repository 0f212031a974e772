"""Time nanogpt's training step beside the same model in PyTorch: same cores, same text, one run.

    python -m benchmarks.nanogpt_against_torch [--configuration cpu] [--rounds 12] [--json FILE]

Needs the extra [reference], in a virtual environment of its own. The two take turns, a block of
steps each, so that a change of clock or load falls on both; the first steps of a block are not
counted (PyTorch's threads spin for a while after their last work, and caches are cold).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np

from benchmarks.nanogpt_step import TrainingStep
from flight.jobs.nanogpt import Configuration
from flight.jobs.nanogpt.model import named
from flight.jobs.nanogpt.optimiser import BETA_1, BETA_2, CLIP, DECAY

BLOCK = 12
UNCOUNTED = 4
RATE = 1e-3


class TorchStep:
    """The same model, batch and optimiser, from the same weights."""

    def __init__(self, ours: TrainingStep, threads: int) -> None:
        import torch

        from benchmarks.torch_gpt import TorchGPT

        torch.set_num_threads(threads)
        self.torch = torch
        self.ours = ours
        self.model = TorchGPT(**vars(ours.shape))
        theta = ours.state[: ours.size]
        self.model.load({name: view.copy() for name, view in named(theta, ours.shape).items()})
        self.optimiser = self.model.optimiser(RATE, DECAY, (BETA_1, BETA_2))

    def __call__(self, step: int) -> float:
        batch = self.torch.from_numpy(self.ours.sequences(step).astype(np.int64))
        self.optimiser.zero_grad(set_to_none=True)
        loss = self.model(batch[:, :-1], batch[:, 1:])
        loss.backward()
        self.torch.nn.utils.clip_grad_norm_(self.model.parameters(), CLIP)
        self.optimiser.step()
        return float(loss.item())


def block(step: Callable[[int], float], first: int) -> list[float]:
    """Seconds of each counted step of one block."""
    seconds = []
    for index in range(BLOCK):
        began = time.perf_counter()
        step(first + index)
        if index >= UNCOUNTED:
            seconds.append(time.perf_counter() - began)
    return seconds


def compare(configuration: Configuration, rounds: int) -> dict[str, Any]:
    """Medians of both, tokens a second, and our speed over PyTorch's."""
    threads = len(os.sched_getaffinity(0))
    with TrainingStep(configuration, RATE) as ours:
        theirs = TorchStep(ours, threads)
        times: dict[str, list[float]] = {"vanallen": [], "torch": []}
        for turn in range(rounds):
            for name, step in (("vanallen", ours), ("torch", theirs)):
                times[name] += block(step, turn * BLOCK)
        tokens = ours.tokens
        losses = {"vanallen": ours(rounds * BLOCK), "torch": theirs(rounds * BLOCK)}
        version = theirs.torch.__version__
    medians = {name: statistics.median(seconds) for name, seconds in times.items()}
    return {
        "configuration": configuration.name.lower(),
        "threads": threads,
        "torch": version,
        "steps_each": len(times["torch"]),
        "step_ms": {name: 1e3 * median for name, median in medians.items()},
        "fastest_ms": {name: 1e3 * min(seconds) for name, seconds in times.items()},
        "tokens_per_s": {name: tokens / median for name, median in medians.items()},
        "loss_at_the_end": losses,
        "speed_over_torch": medians["torch"] / medians["vanallen"],
    }


def main() -> None:
    """Compare, print, and write the figures where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = [member.name.lower() for member in Configuration]
    parser.add_argument("--configuration", choices=names, default="cpu")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    figures = compare(Configuration[options.configuration.upper()], options.rounds)
    text = json.dumps(figures, indent=1)
    if options.json:
        options.json.write_text(text + "\n")
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
