"""Commits and sealed memory: beside a copy with zlib's CRC-32, and beside a training step.

`python -m pytest benchmarks/test_commits.py -s`
"""

from __future__ import annotations

import hashlib
import mmap
import os
import statistics
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.nanogpt_step import TrainingStep
from flight.commits import slots as commits
from flight.fault_tolerance.levels import Tally
from flight.jobs.memory import JobMemory
from flight.jobs.nanogpt import Configuration
from flight.storage.worker.protector_client import Protector

ROUNDS = 15
SIZES = {"nanogpt cpu": 9_649_152, "nanogpt baby": 128_941_056}
"""Octets of theta | m | v."""


class CrcCopy:
    """What a commit cost before it was under the code: a copy, and zlib's CRC-32 of all of it."""

    def __init__(self, path: Path, state: Any) -> None:
        self._octets = state.view(np.uint8).data
        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        os.posix_fallocate(fd, 0, state.nbytes)
        self._file = mmap.mmap(fd, state.nbytes)
        os.close(fd)

    def __call__(self) -> None:
        self._file[:] = self._octets
        with memoryview(self._file) as view:
            zlib.crc32(view)


def seconds(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


@pytest.mark.parametrize("model", SIZES)
def test_a_commit_beside_a_copy_with_crc32(
    benchmark: Any, goal: Callable[..., None], tmp_path: Path, model: str
) -> None:
    state = np.random.default_rng(1).normal(size=SIZES[model] // 4).astype(np.float32)
    slots = commits.CommitSlots(tmp_path, {"weights": state})
    before = CrcCopy(tmp_path / "crc", state)
    for _ in range(2):  # both slots are made
        slots.commit(1)
        before()
    took = [(seconds(lambda: slots.commit(1)), seconds(before)) for _ in range(ROUNDS)]
    ours, crc = (statistics.median(column) for column in zip(*took, strict=True))
    benchmark.pedantic(slots.commit, (1,), rounds=3)
    goal(f"commit of {model} / copy with CRC-32", ours / crc, at_most=1.0)
    print(f"\n{model}: commit {1e3 * ours:.2f} ms, copy with CRC-32 {1e3 * crc:.2f} ms")
    paths = [commits.path_of(tmp_path, 0)]
    loaded = statistics.median(
        seconds(lambda: commits.newest(paths, {"weights": state})) for _ in range(5)
    )
    print(f"{model}: loaded and checked in {1e3 * loaded:.2f} ms")


@pytest.mark.parametrize("configuration", Configuration)
def test_the_whole_models_check_beside_a_training_step(
    benchmark: Any, goal: Callable[..., None], configuration: Configuration
) -> None:
    rounds = 3 if configuration is Configuration.BABY else ROUNDS
    with TrainingStep(configuration, 1e-3) as step:
        arrays = {"weights": step.state, "curve": np.zeros((20, 5)), "pinned": np.zeros(32, "u1")}
        memory = JobMemory(arrays, Tally())

        def guard() -> None:
            memory.seal()
            memory.verify()

        step(0)
        guard()
        took = [(seconds(guard), seconds(lambda: step(1))) for _ in range(rounds)]
        check, training = (statistics.median(column) for column in zip(*took, strict=True))
        benchmark.pedantic(guard, rounds=3)
    name = configuration.name.lower()
    goal(f"seal and verify of nanogpt {name} / step, %", 100 * check / training, at_most=1.0)
    print(f"\nnanogpt {name}: seal and verify {1e3 * check:.3f} ms, step {1e3 * training:.1f} ms")


def test_what_the_process_with_the_kernels_costs(benchmark: Any, tmp_path: Path) -> None:
    """Its start, its memory and its speed, on a file of 64 MiB."""
    size = 64 << 20
    path, beside = tmp_path / "file", tmp_path / "file.edac"
    path.write_bytes(np.random.default_rng(2).bytes(size))
    protector = Protector(lambda: None)
    with path.open("rb") as content, beside.open("wb+") as out, (tmp_path / "one").open("wb+") as x:
        one = (tmp_path / "little").open("wb+")

        def protect(file: Any, into: Any) -> None:
            os.lseek(file.fileno(), 0, os.SEEK_SET)
            os.ftruncate(into.fileno(), 0)
            os.lseek(into.fileno(), 0, os.SEEK_SET)
            protector.ask("protect", file.fileno(), into.fileno())

        first = seconds(lambda: protect(one, x))
        again = statistics.median(seconds(lambda: protect(one, x)) for _ in range(5))
        whole = statistics.median(seconds(lambda: protect(content, out)) for _ in range(3))
        checked = statistics.median(
            seconds(lambda: protector.ask("examine", content.fileno(), out.fileno()))
            for _ in range(3)
        )
        one.close()
    digest = seconds(lambda: hashlib.sha256(path.read_bytes()).digest())
    assert protector._process is not None
    status = Path(f"/proc/{protector._process.pid}/status").read_text()
    resident = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    protector.close()
    benchmark.pedantic(lambda: None)
    print(f"\nfirst request {first:.2f} s, next {1e3 * again:.1f} ms, {resident}")
    print(
        f"protect {size / whole / 1e6:.0f} MB/s, examine {size / checked / 1e6:.0f} MB/s, ", end=""
    )
    print(f"SHA-256 alone {size / digest / 1e6:.0f} MB/s")
