"""The CUDA kernels as far as they go without a GPU: in the simulator, and compiled."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SIMULATED = Path(__file__).with_name("simulated_gpu.py")
COMPILED = """
import sys
from numba import cuda, types
from flight.edac import cuda as device
words, octets = types.uint64[::1], types.uint8[::1]
if getattr(cuda, "implementation", "Numba") != "NVIDIA":
    print("no compiler without a GPU here; pip install vanallen[cuda]")
    sys.exit(0)
for k in (6, 9, 12):
    encode = device.make_encode(k)[0], (words, words, words, words, types.int64)
    check = device.make_check(k)[0], (words, words, octets)
    for kernel, signature in (encode, check):
        text, _ = cuda.compile_ptx(kernel, signature, cc=(9, 0))
        assert "__local_depot" not in text, "registers did not suffice"
print("compiled")
"""


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


@pytest.mark.slow
def test_the_kernels_agree_with_the_cpu_in_the_cuda_simulator() -> None:
    assert run(str(SIMULATED), "64", "128", NUMBA_ENABLE_CUDASIM="1") == "equal"


@pytest.mark.slow
def test_the_kernels_compile_and_keep_what_they_know_in_registers() -> None:
    said = run("-c", COMPILED)
    if said != "compiled":
        pytest.skip(said)
