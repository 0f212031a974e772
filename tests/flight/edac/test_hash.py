"""The block hash: its fixed answers, that nothing cancels out, and its two copies."""

from __future__ import annotations

import random

import numpy as np
import pytest

from flight.edac.blocks import Region
from flight.edac.code import Code
from flight.edac.hash import MASK, agrees, block_hash, chain, half, mix, starts

pytestmark = [pytest.mark.numerical, pytest.mark.portable]

FIXED_MIX = ["0000000000000000", "000000009e3779b1", "f072a659b48d1294"]
FIXED_ZEROS = "e9886b7fabf162da"
FIXED_COUNTED = "481eec30fee033ab"
FIXED_SEVENTH = "b4f28eb08e88790c"
FIXED_CHAIN = "91314ec116f33a47"
"""Written down once: files that were written yesterday are read tomorrow."""


def words(n: int, seed: int) -> list[int]:
    draw = random.Random(seed)
    return [draw.getrandbits(64) for _ in range(8 * n)]


def test_mixing_is_one_to_one() -> None:
    # half(y, m) can be undone: its upper half is the low product, whose factor m is odd.
    draw = random.Random(5)
    for _ in range(1000):
        y, m = draw.getrandbits(64), draw.getrandbits(32) | 1
        mixed = half(y, m)
        low = (mixed >> 32) * pow(m, -1, 1 << 32) & 0xFFFFFFFF
        high = ((mixed & 0xFFFFFFFF) << 32 | mixed >> 32) - low * m & MASK
        assert high | low == y


def test_the_hash_of_known_blocks_never_changes() -> None:
    zeros, counted = [0] * 512, list(range(512))
    assert [f"{mix(y):016x}" for y in (0, 1, MASK)] == FIXED_MIX
    assert f"{block_hash(zeros):016x}" == FIXED_ZEROS
    assert f"{block_hash(counted):016x}" == FIXED_COUNTED
    assert f"{block_hash(counted, index=7):016x}" == FIXED_SEVENTH
    assert f"{chain([1, 2, 3]):016x}" == FIXED_CHAIN
    assert len(set(starts())) == 32


@pytest.mark.parametrize("n", [64, 128, 256, 512, 1024, 2048, 4096])
def test_the_kernels_hash_is_the_plain_one(n: int) -> None:
    content = words(n, n)
    region = Region(np.array(content * 2, np.uint64), Code(n), base=3)
    region.encode()
    assert [int(h) for h in region.redundancy.hashes] == [
        block_hash(content, 3),
        block_hash(content, 4),
    ]
    assert (region.redundancy.complements == ~region.redundancy.hashes).all()


def test_a_change_of_one_word_always_changes_the_hash() -> None:
    content = words(64, 2)
    before = block_hash(content)
    for at in range(0, 512, 7):
        changed = list(content)
        changed[at] ^= 1 << at % 64
        assert block_hash(changed) != before


def test_four_flips_in_one_lane_always_changed_the_hash_of_the_kernel() -> None:
    # What a miscorrection leaves: an even number of wrong bits in one lane.
    draw = np.random.default_rng(8)
    data = draw.integers(0, 2**64, (1, 64, 8), dtype=np.uint64)
    region = Region(data, Code(64))
    region.encode()
    before = int(region.redundancy.hashes[0])
    for trial in range(20_000):
        column, bit = trial % 8, np.uint64(1) << np.uint64(draw.integers(64))
        rows = draw.integers(0, 64, 4) if trial % 2 else 4 * draw.integers(0, 16, 4)
        if len(set(rows.tolist())) < 4:
            continue
        data[0, rows, column] ^= bit
        region.encode()
        assert int(region.redundancy.hashes[0]) != before
        data[0, rows, column] ^= bit


def test_every_bit_of_a_block_moves_half_the_bits_of_its_hash() -> None:
    content = words(64, 9)
    before = block_hash(content)
    moved = []
    for bit in range(64):
        content[100] ^= 1 << bit
        moved.append((block_hash(content) ^ before).bit_count())
        content[100] ^= 1 << bit
    assert 28 < sum(moved) / 64 < 36
    assert min(moved) > 10


def test_a_hash_is_known_from_either_copy_or_from_both_together() -> None:
    h = block_hash(words(64, 3))
    complement = h ^ MASK
    assert agrees(h, h, complement)
    assert agrees(h, 0, complement)
    assert agrees(h, h, 0)
    assert agrees(h, h ^ 0b1011, complement ^ 0b0100)
    assert not agrees(h, h ^ 1, complement ^ 1)
    assert not agrees(h, h ^ 0xFFFFFFFF, complement ^ 0xFFFFFFFF << 32)
    assert not agrees(h ^ 1, h, complement)
