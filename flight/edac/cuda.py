"""The code on an NVIDIA GPU: one warp a block, check symbols and hashes as everywhere.

Bad blocks are only marked: they are corrected on the host. The kernels read memory once and in
order, 256 octets a warp at a time: lane 8 g + c of a warp takes word c of the symbols g, g + 4,
g + 8, ..., which is just how the block hash has it. What the lanes know meets in shared memory, so
that the same kernels run in Numba's simulator, which has no shuffles.

Import it only where there is a GPU, or the simulator of one.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import cuda

from flight.edac.hash import MULTIPLIERS, START

WARPS = 4
"""Warps, and so blocks, of one block of threads."""

_inlined: Callable[[Any], Any] = cuda.jit(device=True, inline="always")

U = np.uint64
_FIRST, _SECOND = (U(multiplier - 1) for multiplier in MULTIPLIERS)
_START = U(START)
_LOW, _HALF = U((1 << 32) - 1), U(32)
_ZERO = U(0)
_OCTET_BITS = 5  # eight loads in a row take 32 symbols; bit j of the number of such an octet
_OCTET = U(256)  # is bit 5 + j of the symbols'


@_inlined  # pragma: no cover
def _mix(y: Any) -> Any:
    """Like `hash.mix`."""
    y += (y & _LOW) * _FIRST
    y = (y >> _HALF) | (y << _HALF)
    y += (y & _LOW) * _SECOND
    return (y >> _HALF) | (y << _HALF)


@_inlined  # pragma: no cover
def _take(data: Any, at: Any, k: Any, is_hashed: Any, upper: Any, known: Any) -> Any:
    """Read the words of this lane, leave what they say in `known`, and return their hash.

    `known` gets the parities by bits 2 to k - 1 of the symbols' numbers, then the total.
    """
    lane = cuda.threadIdx.x & 31
    warp = cuda.threadIdx.x >> 5
    p0, p1, p2, total = _ZERO, _ZERO, _ZERO, _ZERO
    chain = U(lane + 1) * _START
    for j in range(k - _OCTET_BITS):
        upper[j] = _ZERO
    for m in range(1 << (k - _OCTET_BITS)):
        octet = _ZERO
        for q in range(8):
            word = data[at + U(32 * q)]
            octet ^= word
            if q & 1:
                p0 ^= word
            if q & 2:
                p1 ^= word
            if q & 4:
                p2 ^= word
            if is_hashed:
                chain = _mix(chain ^ word)
        at += _OCTET
        total ^= octet
        for j in range(k - _OCTET_BITS):
            upper[j] ^= octet & (_ZERO - U((m >> j) & 1))
    known[warp, 0, lane] = p0
    known[warp, 1, lane] = p1
    known[warp, 2, lane] = p2
    for j in range(k - _OCTET_BITS):
        known[warp, 3 + j, lane] = upper[j]
    known[warp, k - 2, lane] = total
    return chain


@_inlined  # pragma: no cover
def _finish(symbol: Any, k: Any, known: Any, found: Any) -> None:
    """From what the lanes know to check symbols; `symbol` is this column's word of symbol 0."""
    lane = cuda.threadIdx.x & 31
    warp = cuda.threadIdx.x >> 5
    group, column = lane >> 3, lane & 7
    for j in range(group, k + 1, 4):
        word = symbol
        for g in range(4):
            if j >= 2:
                word ^= known[warp, j - 2, 8 * g + column]
            elif (g >> j) & 1:
                word ^= known[warp, k - 2, 8 * g + column]
        found[warp, j, column] = word
    cuda.syncthreads()
    if group == 0:
        word = symbol
        for j in range(k):
            word ^= found[warp, j, column]
        found[warp, k + 1, column] = word
    cuda.syncthreads()


@_inlined  # pragma: no cover
def _fold(chains: Any) -> None:
    """From the hashes of 32 lanes to one, in the place of the first."""
    lane = cuda.threadIdx.x & 31
    warp = cuda.threadIdx.x >> 5
    for step in range(6):
        width = 8 if step < 3 else 4 >> (step - 3)
        other = 8 * (step + 1) if step < 3 else width
        h = _ZERO
        if lane < width:
            h = _mix(chains[warp, lane]) ^ chains[warp, lane + other]
        cuda.syncthreads()
        if lane < width:
            chains[warp, lane] = h
        cuda.syncthreads()


@functools.cache
def make_encode(k: int) -> tuple[Callable[..., None], Any]:
    """The kernel that writes checks and hashes of blocks of 2**k symbols: plain, and compiled."""
    size, checks_size, symbols = U(8 << k), U(8 * (k + 2)), U(1 << k)
    known_shape, found_shape, chains_shape = (WARPS, k - 1, 32), (WARPS, k + 2, 8), (WARPS, 32)

    def kernel(data, checks, hashes, complements, base):  # type: ignore[no-untyped-def]  # pragma: no cover
        known = cuda.shared.array(known_shape, np.uint64)
        found = cuda.shared.array(found_shape, np.uint64)
        chains = cuda.shared.array(chains_shape, np.uint64)
        upper = cuda.local.array(7, np.uint64)
        lane, warp = cuda.threadIdx.x & 31, cuda.threadIdx.x >> 5
        block = cuda.blockIdx.x * WARPS + warp
        symbol = _ZERO
        if block < hashes.size:
            start = U(block) * size
            symbol = data[start + U(lane & 7)]
            chains[warp, lane] = _take(data, start + U(lane), k, True, upper, known)
        cuda.syncthreads()
        _finish(symbol, k, known, found)
        _fold(chains)
        if block < hashes.size:
            for j in range(lane >> 3, k + 2, 4):
                at = U(block) * checks_size + U(8 * j + (lane & 7))
                checks[at] = found[warp, j, lane & 7]
            if lane == 0:
                h = _mix(_mix(chains[warp, 0] ^ U(base + block)) ^ symbols)
                hashes[block] = h
                complements[block] = ~h

    return kernel, cuda.jit(kernel)


@functools.cache
def make_check(k: int) -> tuple[Callable[..., None], Any]:
    """The kernel that marks in `is_bad` what disagrees with its checks: plain, and compiled."""
    size, checks_size = U(8 << k), U(8 * (k + 2))
    known_shape, found_shape = (WARPS, k - 1, 32), (WARPS, k + 2, 8)

    def kernel(data, checks, is_bad):  # type: ignore[no-untyped-def]  # pragma: no cover
        known = cuda.shared.array(known_shape, np.uint64)
        found = cuda.shared.array(found_shape, np.uint64)
        upper = cuda.local.array(7, np.uint64)
        lane, warp = cuda.threadIdx.x & 31, cuda.threadIdx.x >> 5
        block = cuda.blockIdx.x * WARPS + warp
        symbol = _ZERO
        if block < is_bad.size:
            start = U(block) * size
            symbol = data[start + U(lane & 7)]
            _take(data, start + U(lane), k, False, upper, known)
            if lane == 0:
                is_bad[block] = 0
        cuda.syncthreads()
        _finish(symbol, k, known, found)
        if block < is_bad.size:
            wrong = _ZERO
            for j in range(lane >> 3, k + 2, 4):
                at = U(block) * checks_size + U(8 * j + (lane & 7))
                wrong |= found[warp, j, lane & 7] ^ checks[at]
            if wrong != _ZERO:
                is_bad[block] = 1

    return kernel, cuda.jit(kernel)


def encode(data: Any, checks: Any, hashes: Any, complements: Any, base: int = 0) -> None:
    """Write checks and hashes of the blocks in `data`; all are arrays on the device.

    `data` has the shape (blocks, n, 8), `checks` (blocks, k + 2, 8), the others (blocks,). Block i
    is number base + i. Returns when the kernel is on its way.
    """
    kernel, grid = make_encode(_k_of(data, checks))[1], _grid(hashes)
    kernel[grid, 32 * WARPS](data.reshape(-1), checks.reshape(-1), hashes, complements, base)


def check(data: Any, checks: Any, is_bad: Any) -> None:
    """Mark in `is_bad`, octets of the shape (blocks,), each block that disagrees with its checks.

    Like `encode` otherwise.
    """
    kernel, grid = make_check(_k_of(data, checks))[1], _grid(is_bad)
    kernel[grid, 32 * WARPS](data.reshape(-1), checks.reshape(-1), is_bad)


def _k_of(data: Any, checks: Any) -> int:
    k = int(data.shape[1]).bit_length() - 1
    if data.shape[1:] != (1 << k, 8) or checks.shape[1:] != (k + 2, 8):
        raise ValueError(f"data {data.shape} and checks {checks.shape} are not of one code")
    return k


def _grid(blocks: Any) -> int:
    return -(-int(blocks.size) // WARPS)
