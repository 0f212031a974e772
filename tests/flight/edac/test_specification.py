"""The code and its hash written anew from docs/edac.md alone, in whole arrays: all forms agree.

Nothing here is taken from the package but what is compared.
"""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from flight.edac import reference
from flight.edac.blocks import Region
from flight.edac.code import Code, Lane, locate
from flight.edac.hash import block_hash

pytestmark = [pytest.mark.numerical, pytest.mark.portable]

Words = NDArray[np.uint64]
FIRST, SECOND = np.uint64(0x9E3779B1), np.uint64(0x85EBCA77)
LOW, HALF, ONE = np.uint64(0xFFFFFFFF), np.uint64(32), np.uint64(1)
SIZES = [64, 128, 256, 512, 1024, 2048, 4096]


def check_symbols(data: Words) -> Words:
    """ "With k = log2 n there are k + 2 check symbols": from data of the shape (n, 8)."""
    numbers = np.arange(len(data))
    k = int(np.log2(len(data)))
    rows = [data[(numbers >> j) % 2 == 1] for j in range(k)]
    checks = [np.bitwise_xor.reduce(np.vstack([data[:1], chosen])) for chosen in rows]
    checks.append(np.bitwise_xor.reduce(data[1:]))
    checks.append(np.bitwise_xor.reduce(np.vstack([data, *(row[None] for row in checks)])))
    return np.array(checks)


def half(y: Words, m: np.uint64) -> Words:
    """ "half(y, m) = swap(y + lo(y) (m - 1))"."""
    y = y + (y & LOW) * (m - ONE)
    return (y << HALF) | (y >> HALF)


def mix(y: Words) -> Words:
    """ "mix(y) = half(half(y, 0x9E3779B1), 0x85EBCA77)"."""
    return half(half(y, FIRST), SECOND)


def hash_of(data: Words, index: int) -> int:
    """The five lines of the list: of a block of the shape (n, 8)."""
    with np.errstate(over="ignore"):
        lanes = np.arange(1, 33, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        for words in data.reshape(-1, 32):
            lanes = mix(lanes ^ words)
        columns, *others = lanes.reshape(4, 8)
        for other in others:
            columns = mix(columns) ^ other
        for width in (4, 2, 1):
            columns = mix(columns[:width]) ^ columns[width : 2 * width]
        found = mix(mix(columns ^ np.uint64(index)) ^ np.uint64(len(data)))
        return int(found[0])


def wrong_by_the_table(n: int, e: int, s: int) -> tuple[str, int]:
    """The table of docs/edac.md, row by row."""
    k = n.bit_length() - 1
    if e == 0:
        return ("nothing", 0) if s == 0 else ("lost", 0)
    if s == 0:
        return "check", k + 1
    if s > n:
        return "data", s - n
    if s in [2**j for j in range(k + 1)]:
        return "check", [2**j for j in range(k + 1)].index(s)
    if s == n - 1:
        return "data", 0
    return "lost", 0


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.verifies("VA-EDC-10")
def test_kernels_and_plain_form_are_what_the_page_specifies(n: int) -> None:
    data = np.random.default_rng(n).integers(0, 2**64, (3, n, 8), dtype=np.uint64)
    region = Region(data, Code(n), base=41)
    region.encode()
    for i, block in enumerate(data):
        wanted = check_symbols(block)
        assert (region.redundancy.checks[i] == wanted).all()
        assert (
            reference.octets_of(reference.encode(reference.symbols_of(block.tobytes())))
            == wanted.tobytes()
        )
        assert int(region.redundancy.hashes[i]) == hash_of(block, 41 + i)
    assert block_hash(data[0].ravel().tolist(), 41) == hash_of(data[0], 41)
    assert (region.redundancy.complements == ~region.redundancy.hashes).all()


@pytest.mark.parametrize("n", SIZES)
def test_decoding_follows_the_table_of_the_page(n: int) -> None:
    names = {Lane.CLEAN: "nothing", Lane.LOST: "lost", Lane.DATA: "data", Lane.CHECK: "check"}
    k = n.bit_length() - 1
    for s in range(2 * n):
        for e in (0, 1):
            kind, symbol = locate(k, s, bool(e))
            assert (names[kind], symbol) == wrong_by_the_table(n, e, s)


@pytest.mark.parametrize("symbol", [0, 1, 17, 63])
def test_a_wrong_symbol_is_where_the_page_says(symbol: int) -> None:
    data = np.random.default_rng(symbol).integers(0, 2**64, (64, 8), dtype=np.uint64)
    stored = check_symbols(data)
    data[symbol, 2] ^= ONE << np.uint64(5)
    lane = np.concatenate([data, stored])[:, 2] >> np.uint64(5) & ONE
    recomputed = check_symbols(data)[:, 2] >> np.uint64(5) & ONE
    differences = recomputed ^ lane[64:]
    s = sum(int(bit) << j for j, bit in enumerate(differences[:7]))
    e = int(np.bitwise_xor.reduce(lane))
    assert wrong_by_the_table(64, e, s) == ("data", symbol)
