"""Run as a program under NUMBA_ENABLE_CUDASIM=1: the CUDA kernels against the code on the CPU."""

from __future__ import annotations

import sys

import numpy as np
from numba import cuda

from flight.edac import cuda as device
from flight.edac.blocks import Region
from flight.edac.code import Code


def compare(n: int, blocks: int, base: int) -> None:
    """Encode on the device as on the host; find exactly the blocks that were hit."""
    draw = np.random.default_rng(n)
    data = draw.integers(0, 2**64, (blocks, n, 8), dtype=np.uint64)
    region = Region(data, Code(n), base=base)
    region.encode()
    wanted = region.redundancy
    on_device = cuda.to_device(data)
    checks = cuda.to_device(np.zeros_like(wanted.checks))
    hashes = cuda.to_device(np.zeros_like(wanted.hashes))
    complements = cuda.to_device(np.zeros_like(wanted.hashes))
    device.encode(on_device, checks, hashes, complements, base)
    assert (checks.copy_to_host() == wanted.checks).all()
    assert (hashes.copy_to_host() == wanted.hashes).all()
    assert (complements.copy_to_host() == wanted.complements).all()
    is_bad = cuda.to_device(np.full(blocks, 7, np.uint8))
    device.check(on_device, checks, is_bad)
    assert not is_bad.copy_to_host().any()
    data[blocks - 1, 0, 5] ^= np.uint64(1)
    data[0, n - 1, 0] ^= np.uint64(1 << 63)
    device.check(cuda.to_device(data), checks, is_bad)
    assert np.flatnonzero(is_bad.copy_to_host()).tolist() == sorted({0, blocks - 1})


if __name__ == "__main__":
    for n in map(int, sys.argv[1:]):
        compare(n, 5, 3)
    try:
        device.check(np.zeros((1, 64, 8)), np.zeros((1, 9, 8)), np.zeros(1))
    except ValueError:
        sys.stdout.write("equal\n")
