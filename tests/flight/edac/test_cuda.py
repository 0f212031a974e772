"""The CUDA kernels as far as they go without a GPU: in the simulator, and compiled."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.numerical, pytest.mark.portable]

ROOT = Path(__file__).parents[3]
SIMULATED = Path(__file__).with_name("simulated_gpu.py")
COMPILED = Path(__file__).with_name("compiled_gpu.py")
MOST_REGISTERS = 64
"""Of 65,536: 1,024 threads then run side by side, half of what there can be."""


def run(*arguments: str, **environment: str) -> str:
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        timeout=100,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.strip()


@pytest.mark.native("a simulator of CUDA in Python shows nothing of a processor, and takes minutes")
@pytest.mark.slow
@pytest.mark.verifies("VA-EDC-10")
def test_the_kernels_agree_with_the_cpu_in_the_cuda_simulator() -> None:
    assert run(str(SIMULATED), "64", "128", NUMBA_ENABLE_CUDASIM="1") == "equal"


@pytest.mark.heavy("cuda-compile")
def test_the_kernels_compile_for_an_h100_and_all_they_know_stays_in_registers() -> None:
    lines = run(str(COMPILED)).splitlines()
    kernels = [dict(field.split("=") for field in line.split()[1:]) for line in lines]
    assert len(kernels) == 6
    for kernel in kernels:
        assert kernel["outside"] == "0", f"registers did not suffice for {kernel}"
        assert 0 < int(kernel["registers"]) <= MOST_REGISTERS
