"""What scrubbing costs: python -m benchmarks.scrub_cost.

A job's kernel runs for a while with and without a scrub worker beside it that walks sealed regions
of 1 GiB at its default rate; the two alternate, and the medians of their pairs are compared. Then
how long a region took from its first block to its last, and what the executive's program memory
costs.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.nanogpt_step import TrainingStep
from benchmarks.scrub_process import ScrubProcess
from flight.edac import region_file
from flight.jobs.nanogpt import Configuration

GIB = 1 << 30
PROGRAM = """
import statistics, time
import flight.executive.process
from flight.components.scrubber.program_check import SLICE
from flight.framework.program_memory import ProgramMemory
program = ProgramMemory()
for _ in range(4):
    times, passes = [], program.passes
    while program.passes == passes:
        began = time.thread_time_ns()
        program.check(SLICE)
        times.append((time.thread_time_ns() - began) / 1000)
middle, high = statistics.median(times), statistics.quantiles(times, n=100)[98]
print(f"program memory: {program.items} items, {len(times)} slices a pass, "
      f"{middle:.0f} us a slice (p99 {high:.0f} us)")
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="pairs for each job")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each half of a pair")
    parser.add_argument("--octets", type=int, default=GIB)
    parser.add_argument("--folder", type=Path, help="run directory; in memory, if there is one")
    options = parser.parse_args()
    _program_memory()
    default = Path("/dev/shm") if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(dir=options.folder or default) as folder:
        _beside_jobs(Path(folder), options)


def _beside_jobs(folder: Path, options: argparse.Namespace) -> None:
    run_dir = folder / "run"
    (run_dir / "regions").mkdir(parents=True)
    made = region_file.create(run_dir / "regions" / "weights", "weights", options.octets)
    made.data[:] = np.random.default_rng(0).integers(0, 256, options.octets, np.uint8)
    made.seal()
    with ScrubProcess(folder, run_dir) as scrub:
        scrub.walk_seconds()
        _compare("matmul", _matmul(), scrub, options)
        with TrainingStep(Configuration.CPU, rate=1e-3) as step:
            _compare("nanogpt", lambda: step(1), scrub, options)
        seconds = statistics.median(scrub.walk_seconds() for _ in range(3))
        print(f"walk of {options.octets / GIB:g} GiB at the default rate: {seconds:.2f} s")
        share = 100 * scrub.share_of_a_core(2 * seconds)
        print(
            f"scrub worker meanwhile: {share:.2f} % of a core, {scrub.rss_mib():.0f} MiB of its own"
        )
    made.close()


def _compare(
    name: str, job: Callable[[], object], scrub: ScrubProcess, options: argparse.Namespace
) -> None:
    ratios = []
    _steps(job, options.seconds)
    for number in range(options.rounds):
        rates: dict[bool, float] = {}
        for is_walking in (number % 2 == 0, number % 2 == 1):  # each goes first as often
            os.kill(scrub.pid, signal.SIGCONT if is_walking else signal.SIGSTOP)
            rates[is_walking] = _steps(job, options.seconds)
        os.kill(scrub.pid, signal.SIGCONT)
        ratios.append(100 * (rates[False] / rates[True] - 1))
    middle = statistics.median(ratios)
    print(
        f"{name} slowed down by scrubbing: {middle:+.2f} % median of {len(ratios)} pairs "
        f"({min(ratios):+.2f} … {max(ratios):+.2f})"
    )


def _steps(job: Callable[[], object], seconds: float) -> float:
    """Steps a second."""
    began, count = time.perf_counter(), 0
    while (spent := time.perf_counter() - began) < seconds:
        job()
        count += 1
    return count / spent


def _matmul() -> Callable[[], object]:
    random = np.random.default_rng(1)
    a, b = (random.normal(size=(512, 512)).astype(np.float32) for _ in range(2))
    out = np.empty((512, 512), np.float32)
    return lambda: np.matmul(a, b, out=out)


def _program_memory() -> None:
    """In a process that has loaded what an executive loads, and nothing else."""
    subprocess.run([sys.executable, "-c", PROGRAM], check=True)


if __name__ == "__main__":
    main()
