"""Kernels work in memory that is theirs until they end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.numerical, pytest.mark.portable]

ROOT = Path(__file__).parents[3]
CORRECTING = """
import numpy as np
from flight.edac.blocks import Region, Verdict
from flight.edac.code import Code
draw = np.random.default_rng(1)
for n in (64, 512):
    data = draw.integers(0, 256, 3 * 64 * n + 100, dtype=np.uint8)
    region = Region(data, Code(n))
    region.encode()
    good = data.copy()
    for trial in range(50):
        data[draw.integers(data.size)] ^= 1 << draw.integers(8)
        assert [mended.verdict for mended in region.scrub()] == [Verdict.CORRECTED]
        assert (data == good).all()
print("all corrected")
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "allocator",
    [
        {"MALLOC_PERTURB_": "165"},  # glibc fills what is freed with a pattern
        {"GLIBC_TUNABLES": "glibc.malloc.tcache_count=0"},  # and gives it out again at once
    ],
    ids=["freed memory is overwritten", "freed memory is given out at once"],
)
def test_correction_needs_no_memory_that_was_freed(allocator: dict[str, str]) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", CORRECTING],
        capture_output=True,
        text=True,
        env={**os.environ, **allocator, "PYTHONPATH": str(ROOT)},
        timeout=100,
        check=False,
    )
    assert ended.stdout == "all corrected\n", ended.stderr
