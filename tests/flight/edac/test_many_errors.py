"""Thousands of bursts, and of errors that the code alone would set right wrongly."""

from __future__ import annotations

import numpy as np
import pytest

from flight.edac.blocks import Octets, Region, Verdict
from flight.edac.code import Code

pytestmark = [pytest.mark.numerical, pytest.mark.portable]

BURSTS = 3000
ROUNDS = 25
BLOCKS = 4096


def draw_bursts(data: Octets, every: int, seed: int) -> int:
    """A burst of 1 to 512 bits in every stretch of so many octets, at any bit; bits flipped."""
    draw = np.random.default_rng(seed)
    flipped = 0
    for start in range(0, data.size, every):
        bits = int(draw.integers(1, 513))
        first = 8 * start + int(draw.integers(0, 4 * every))  # it ends in the third quarter
        pattern = draw.integers(0, 2, bits, dtype=np.uint8)
        pattern[[0, -1]] = 1
        lead, octets = first % 8, first // 8
        mask = np.packbits(np.concatenate([np.zeros(lead, np.uint8), pattern]), bitorder="little")
        data[octets : octets + mask.size] ^= mask
        flipped += int(pattern.sum())
    return flipped


@pytest.mark.parametrize("n", [64, 128])
@pytest.mark.verifies("VA-EDC-09")
def test_thousands_of_bursts_of_1_to_512_bits_at_any_alignment_are_all_corrected(n: int) -> None:
    block = Code(n).block_octets
    data = np.random.default_rng(n).integers(0, 256, BURSTS * 3 * block, dtype=np.uint8)
    region = Region(data, Code(n))
    region.encode()
    good = data.copy()
    flipped = draw_bursts(data, 3 * block, n)
    found = region.scrub()
    assert {each.verdict for each in found} == {Verdict.CORRECTED}
    assert sum(each.data_bits for each in found) == flipped
    assert len(found) > BURSTS  # some reached two blocks
    assert (data == good).all()
    assert region.verify() == []


def test_every_alignment_of_a_burst_of_512_bits_is_corrected() -> None:
    good = np.random.default_rng(8).integers(0, 256, 2 * 4096, dtype=np.uint8)
    data = good.copy()
    region = Region(data, Code(64))
    region.encode()
    for first in range(8 * 4096 - 512, 8 * 4096 + 1):  # from one block into the next
        mask = np.unpackbits(data, bitorder="little")
        mask[first : first + 512] ^= 1
        data[:] = np.packbits(mask, bitorder="little")
        found = region.scrub()
        assert sum(each.data_bits for each in found) == 512
        assert (data == good).all()


def test_what_a_miscorrection_leaves_moves_the_hash_as_chance_would() -> None:
    """Four wrong bits in a lane, which is what three and a wrong correction leave: 102,400 times.

    Were the hash blind to some of them, few of its bits would move, or all in step: then parts of
    16 bits would agree more often than once in 65,536.
    """
    draw = np.random.default_rng(16)
    data = draw.integers(0, 2**64, (BLOCKS, 64, 8), dtype=np.uint64)
    region = Region(data, Code(64))
    region.encode()
    before = region.redundancy.hashes.copy()
    moved = np.zeros(64, np.int64)
    part_agreed = 0
    for _ in range(ROUNDS):
        rows = np.argsort(draw.random((BLOCKS, 64)), axis=1)[:, :4]
        column = draw.integers(0, 8, BLOCKS)
        bit = np.uint64(1) << draw.integers(0, 64, BLOCKS, dtype=np.uint64)
        blocks = np.arange(BLOCKS)
        for row in rows.T:
            data[blocks, row, column] ^= bit
        region.encode()
        difference = region.redundancy.hashes ^ before
        assert difference.all()
        bits = np.unpackbits(difference.view(np.uint8).reshape(-1, 8), axis=1)
        moved += bits.sum(axis=0, dtype=np.int64)
        part_agreed += int((difference.view(np.uint16) == 0).sum())
        for row in rows.T:
            data[blocks, row, column] ^= bit
    trials = ROUNDS * BLOCKS
    share = moved / trials
    assert np.abs(share - 0.5).max() < 5 * 0.5 / trials**0.5
    assert part_agreed < 20  # 4 * 102,400 / 65,536 = 6.25 are to be expected
