"""The scrub worker: walks sealed memory, sets wrong bits right, and tells the executive.

It has one thread. Stripes take about a millisecond; between them it sleeps, beats and listens.
Configuration: ``{"run_dir": …, "state_dir": …, "cache_dir": …|null}``; how fast it walks comes
from the executive. Messages: see `flight.components.scrubber.worker_messages`.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flight.components.scrubber.worker.requests import Answers
from flight.components.scrubber.worker.rounds import Rounds
from flight.framework.channel import Message
from flight.workers.kernel_cache import default_cache
from flight.workers.lifeline import Lifeline, WorkerError, load_configuration
from flight.workers.warm import beats_meanwhile

LONGEST_WAIT_S = 0.4
NICENESS = 10


class ScrubWorker:
    """Serves the executive and walks, until its lifeline is over."""

    def __init__(
        self,
        lifeline: Lifeline,
        state_dir: Path,
        run_dir: Path,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._lifeline = lifeline
        self._clock = clock
        self._is_warm = False
        self.rounds = Rounds(run_dir, lifeline.channel.send, self._warm)
        self.answers = Answers(lifeline, state_dir, run_dir, self.rounds)

    def run(self) -> None:
        """Serve until the lifeline is over."""
        while not self._lifeline.is_over:
            self.step(self._lifeline.wait(self._timeout_s()))
        self.close()

    def step(self, messages: list[Message]) -> None:
        """Heed messages, look for regions, walk a stripe, tell: each where it is due."""
        for message in messages:
            self.answers.heed(message, self._clock())
        self.rounds.step(self._clock())

    def close(self) -> None:
        """Let go of everything; nobody is suspected of what was under way."""
        self.answers.close()
        self.rounds.close()

    def _timeout_s(self) -> float:
        left = (self.rounds.due() - self._clock()) / 1e9
        return min(LONGEST_WAIT_S, max(0.0, left))

    def _warm(self) -> None:
        """Import what regions need, once there is one: without it the worker stays small."""
        if self._is_warm:
            return
        self._is_warm = True
        with beats_meanwhile(self._lifeline, "imports and compiles kernels"):
            from flight.edac import blocks, region_file

            blocks.Region(bytearray(64)).encode()  # proves the kernels
            del region_file


def be_modest() -> None:
    """Take what others leave: the batch policy, which wakes without displacing anybody.

    Neither the idle policy nor the least weight: where all processors are busy, both stand still
    for seconds, and a worker that does not beat is replaced. The rate bounds what it takes.
    """
    os.nice(NICENESS)
    os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def main(argv: list[str]) -> int:
    """Run the worker; exit status 2 when it cannot start."""
    try:
        configuration: dict[str, Any] = load_configuration(argv)
        lifeline = Lifeline.from_environment()
        state_dir, run_dir = Path(configuration["state_dir"]), Path(configuration["run_dir"])
    except (WorkerError, KeyError) as error:
        sys.stderr.write(f"scrub worker: {error}\n")
        return 2
    cache_dir = Path(configuration.get("cache_dir") or default_cache())
    cache_dir.mkdir(parents=True, exist_ok=True)
    os.environ["NUMBA_CACHE_DIR"] = str(cache_dir)  # before numba is imported
    be_modest()
    ScrubWorker(lifeline, state_dir, run_dir).run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
