"""The code on the CPU: Numba kernels over trees of XOR of whole cache lines.

Kernels take addresses, because sealed memory is read-only and need not be aligned; `blocks.py`
answers for them. They are serial and free of the interpreter's lock: threads come from outside,
each with blocks of its own. What made them fast, in order of effect: loads stay in address order;
a tile of 64 lines is one unrolled tree; without the hash, lines are asked for some way ahead, into
the second-level cache, and so are the check symbols of the next block. See `vectors.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from flight.edac.compiled_kernels import kept
from flight.edac.hash import SCATTERED
from flight.edac.vectors import (
    CHAINS,
    CHECKS,
    DIFFERENCES,
    TILE_BITS,
    TOTALS,
    disagrees,
    end_chains,
    fetch,
    finish,
    fold_totals,
    get,
    ones,
    put,
    take,
    take_hashed,
    work_space,
)

U = np.uint64  # words stay unsigned: with a signed one beside them Numba makes them float64
_ZERO = U(0)
_ONE = U(1)
_SCATTERED = U(SCATTERED)

CLEAN, CORRECTED, RECHECKED, LOST = range(4)
"""What `mend` found, and did."""


@njit(inline="always")
def _fold(work: Any, k: Any) -> None:
    """From the totals of tiles to the higher parities and the total of all."""
    pairs = (_ONE << k) >> U(TILE_BITS + 1)
    parity = work + U(TILE_BITS * 64)
    while pairs > _ZERO:
        fold_totals(work + U(TOTALS), parity, pairs)
        pairs >>= _ONE
        parity += U(64)


@njit(inline="always")
def _take(block: Any, stored: Any, work: Any, k: Any) -> None:
    """Take a block into the work space: `finish` or `disagrees` comes next, with the checks
    `stored`."""
    fetch(stored + ((k + U(2)) << U(6)), k + U(2))
    take(block, work, _ONE << (k - U(TILE_BITS)))
    _fold(work, k)


@njit(inline="always")
def _take_hashed(block: Any, work: Any, k: Any, index: Any) -> Any:
    """As `_take`; returns the hash."""
    take_hashed(block, work, _ONE << (k - U(TILE_BITS)))
    _fold(work, k)
    return end_chains(work + U(CHAINS), index, _ONE << k)


@kept("void(u8, u8, u8, u8, u8)")
def encode(data: Any, checks: Any, k: Any, first: Any, last: Any) -> None:
    """Write the check symbols of the blocks from `first` up to `last`."""
    work = work_space()
    for i in range(first, last):
        block = data + (U(i) << (k + U(6)))
        stored = checks + U(i) * ((k + U(2)) << U(6))
        _take(block, stored, work, k)
        finish(work, block, stored, k)


@kept("void(u8, u8, u8, u8, u8, u8, u8, u8)")
def encode_hashed(
    data: Any, checks: Any, hashes: Any, complements: Any, k: Any, first: Any, last: Any, base: Any
) -> None:
    """As `encode`, with the hashes and their complements; block i is number base + i."""
    work = work_space()
    for i in range(first, last):
        block = data + (U(i) << (k + U(6)))
        stored = checks + U(i) * ((k + U(2)) << U(6))
        found = _take_hashed(block, work, k, base + U(i))
        finish(work, block, stored, k)
        put(hashes + (U(i) << U(3)), found)
        put(complements + (U(i) << U(3)), ~found)


@kept("u8(u8, u8, u8, u8, u8, u1[::1])")
def check(data: Any, checks: Any, k: Any, first: Any, last: Any, is_bad: Any) -> Any:
    """Mark in `is_bad` each block from `first` that disagrees with its checks; returns how many."""
    work = work_space()
    count = _ZERO
    for i in range(first, last):
        block = data + (U(i) << (k + U(6)))
        stored = checks + U(i) * ((k + U(2)) << U(6))
        _take(block, stored, work, k)
        wrong = disagrees(work, block, stored, k)
        is_bad[i - first] = wrong
        count += wrong
    return count


@kept("u8(u8, u8, u8, u8, u8, u8, u8, u8, u1[::1])")
def check_hashed(
    data: Any,
    checks: Any,
    hashes: Any,
    complements: Any,
    k: Any,
    first: Any,
    last: Any,
    base: Any,
    is_bad: Any,
) -> Any:
    """As `check`, and the hash and its complement are compared as well."""
    work = work_space()
    count = _ZERO
    for i in range(first, last):
        block = data + (U(i) << (k + U(6)))
        stored = checks + U(i) * ((k + U(2)) << U(6))
        found = _take_hashed(block, work, k, base + U(i))
        wrong = disagrees(work, block, stored, k)
        copy, other = get(hashes + (U(i) << U(3))), get(complements + (U(i) << U(3)))
        if (found ^ copy) | (found ^ ~other):
            wrong = _ONE
        is_bad[i - first] = wrong
        count += wrong
    return count


@njit(inline="always")
def _agrees(found: Any, stored: Any, complement: Any) -> Any:
    """Like `hash.agrees`."""
    other = ~complement
    if found in (stored, other):
        return True
    return (found ^ stored) & (found ^ other) == _ZERO and ones(stored ^ other) <= _SCATTERED


@njit(inline="always")
def _renew(target: Any, word: Any) -> Any:
    """Write a word; returns how many bits changed."""
    changed = ones(get(target) ^ word)
    if changed:
        put(target, word)
    return changed


@kept("Tuple((u8, u8))(u8, u8, u8)")
def set_right(block: Any, differences: Any, k: Any) -> Any:
    """Flip the wrong data bit of each lane; returns (bits flipped, lanes that cannot be told).

    Lines 0 to k of `differences` are check symbols received against recomputed; the next is the
    parity of all data and checks as received. Like `code.locate`, lane by lane.
    """
    n = _ONE << k
    flipped, lost = _ZERO, _ZERO
    for w in range(8):
        word = differences + U(8 * w)
        odd = get(word + ((k + _ONE) << U(6)))
        wrong = odd
        for j in range(k + _ONE):
            wrong |= get(word + (U(j) << U(6)))
        while wrong:
            mask = wrong & (~wrong + _ONE)
            wrong ^= mask
            s = _ZERO
            for j in range(k + _ONE):
                if get(word + (U(j) << U(6))) & mask:
                    s |= _ONE << U(j)
            if odd & mask == _ZERO:
                lost += _ONE
            elif s > n or s == n - _ONE:
                symbol = s - n if s > n else _ZERO
                place = block + (symbol << U(6)) + U(8 * w)
                put(place, get(place) ^ mask)
                flipped += _ONE
            elif s & (s - _ONE):
                lost += _ONE
    return flipped, lost


@kept("void(u8, u8, u8)")
def compare(recomputed: Any, stored: Any, k: Any) -> None:
    """Turn recomputed check symbols into what `set_right` takes."""
    for w in range(8):
        parity = _ZERO
        for j in range(k + U(2)):
            place = recomputed + (U(j) << U(6)) + U(8 * w)
            difference = get(place) ^ get(stored + (U(j) << U(6)) + U(8 * w))
            parity ^= difference
            put(place, difference)
        put(recomputed + ((k + _ONE) << U(6)) + U(8 * w), parity)


@kept("Tuple((u8, u8, u8))(u8, u8, u8, u8, u8, u8, u8)")
def mend(
    data: Any, checks: Any, hash_at: Any, complement_at: Any, k: Any, index: Any, block: Any
) -> Any:
    """Set one block right: (verdict, data bits, check and hash bits that were wrong).

    Works on a copy, for which `block` has room; the data itself changes only when its hash proves
    the correction.
    """
    work = work_space()
    for at in range(U(8) << k):
        put(block + (U(at) << U(3)), get(data + (U(at) << U(3))))
    stored, complement = get(hash_at), get(complement_at)
    found = _take_hashed(block, work, k, index)
    recomputed = work + U(CHECKS)
    finish(work, block, recomputed, k)
    flipped = _ZERO
    if not _agrees(found, stored, complement):
        place = work + U(DIFFERENCES)
        for at in range(8 * (k + U(2))):
            put(place + (U(at) << U(3)), get(recomputed + (U(at) << U(3))))
        compare(place, checks, k)
        flipped, lost = set_right(block, place, k)
        found = _take_hashed(block, work, k, index)
        if lost or not _agrees(found, stored, complement):
            return U(LOST), _ZERO, _ZERO
        finish(work, block, recomputed, k)
        set_right(data, place, k)
    renewed = _renew(hash_at, found) + _renew(complement_at, ~found)
    for at in range(U(8) * (k + U(2))):
        renewed += _renew(checks + (U(at) << U(3)), get(recomputed + (U(at) << U(3))))
    verdict = U(CLEAN)
    if flipped:
        verdict = U(CORRECTED)
    elif renewed:
        verdict = U(RECHECKED)
    return verdict, flipped, renewed
