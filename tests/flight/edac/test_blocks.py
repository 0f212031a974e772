"""Regions: every size and alignment, every burst, and no miscorrection that is not said."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import combinations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flight.edac import cpu, reference
from flight.edac.blocks import Mended, Octets, Redundancy, Region, Verdict, aligned
from flight.edac.code import SYMBOL_OCTETS, Code

pytestmark = [pytest.mark.numerical, pytest.mark.portable]

SIZES = [64, 128, 256, 512, 1024, 2048, 4096]
QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def random_octets(size: int, seed: int = 0) -> Octets:
    return np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)


def region_of(size: int, n: int = 64, seed: int = 0) -> tuple[Octets, Region]:
    data = random_octets(size, seed)
    region = Region(data, Code(n))
    region.encode()
    return data, region


def burst(octets: Octets, first_bit: int, bits: int, seed: int) -> int:
    """Draw the bits of a burst anew, its ends always wrong; returns how many changed."""
    draw = np.random.default_rng(seed)
    flips = draw.integers(0, 2, bits).astype(bool)
    flips[0] = flips[-1] = True
    for bit in np.flatnonzero(flips) + first_bit:
        octets[bit // 8] ^= 1 << bit % 8
    return int(flips.sum())


class TestAgainstTheReference:
    @pytest.mark.parametrize("n", SIZES)
    def test_check_symbols_are_those_of_the_plain_form(self, n: int) -> None:
        data, region = region_of(2 * n * SYMBOL_OCTETS, n)
        for block in range(2):
            content = data[block * n * 64 : (block + 1) * n * 64].tobytes()
            wanted = reference.encode(reference.symbols_of(content))
            assert region.redundancy.checks[block].tobytes() == reference.octets_of(wanted)

    @pytest.mark.parametrize("n", SIZES)
    def test_unhashed_encoding_gives_the_same_check_symbols(self, n: int) -> None:
        data, region = region_of(2 * n * SYMBOL_OCTETS, n)
        checks = np.zeros_like(region.redundancy.checks)
        cpu.encode(data.ctypes.data, checks.ctypes.data, region.code.k, 0, 2)
        assert (checks == region.redundancy.checks).all()

    @QUICK
    @given(st.sampled_from(SIZES[:4]), st.integers(0, 2**32), st.integers(1, 6))
    def test_decoding_is_that_of_the_plain_form(self, n: int, seed: int, hits: int) -> None:
        data, region = region_of(n * SYMBOL_OCTETS, n)
        draw = np.random.default_rng(seed)
        symbols = np.concatenate([data.view(np.uint64), region.redundancy.checks.ravel()])
        rows = symbols.reshape(-1, 8)
        for row in draw.integers(0, len(rows), hits):
            rows[row] ^= draw.integers(0, 2**64, 8, dtype=np.uint64)
        content, checks = rows[:n].copy(), rows[n:].copy()
        wanted = reference.decode(
            reference.symbols_of(content.tobytes()), reference.symbols_of(checks.tobytes())
        )
        k, differences = region.code.k, np.zeros_like(checks)
        cpu.encode(content.ctypes.data, differences.ctypes.data, k, 0, 1)
        cpu.compare(differences.ctypes.data, checks.ctypes.data, k)
        flipped, lost = cpu.set_right(content.ctypes.data, differences.ctypes.data, k)
        assert content.tobytes() == reference.octets_of(wanted.data)
        assert (flipped, lost) == (wanted.data_bits, len(wanted.lost_lanes))


class TestCorrection:
    def test_every_single_symbol_of_data_and_checks_comes_back_at_n_64(self) -> None:
        data, region = region_of(64 * 64)
        good, checks = data.copy(), region.redundancy.checks.copy()
        for symbol in range(64 + 8):
            target = data.reshape(64, 64) if symbol < 64 else checks_of(region)
            target[symbol % 64] ^= 0xFF
            wanted = Verdict.CORRECTED if symbol < 64 else Verdict.RECHECKED
            (found,) = region.scrub()
            assert found.verdict is wanted
            assert found.data_bits + found.check_bits == 512
            assert (data == good).all()
            assert (region.redundancy.checks == checks).all()

    @pytest.mark.verifies("VA-EDC-09")
    def test_every_double_symbol_at_n_64_is_detected_and_never_called_corrected(self) -> None:
        data, region = region_of(64 * 64)
        good, checks = data.copy(), region.redundancy.checks.copy()
        everything = data.reshape(64, 64), checks_of(region)
        for one, other in combinations(range(64 + 8), 2):
            for symbol in (one, other):
                everything[symbol // 64][symbol % 64] ^= 0xFF
            wrong = data.copy()
            assert region.check() == [0]
            (found,) = region.scrub()
            assert found.verdict is (Verdict.RECHECKED if one >= 64 else Verdict.LOST)
            assert (data == wrong).all()
            data[:] = good
            region.redundancy.checks[:] = checks

    @QUICK
    @given(st.sampled_from(SIZES), st.integers(1, 512), st.integers(0, 2**32), st.floats(0, 1))
    def test_a_burst_of_512_bits_at_any_place_of_the_data_is_corrected(
        self, n: int, bits: int, seed: int, place: float
    ) -> None:
        data, region = region_of(2 * n * SYMBOL_OCTETS + 100, n)
        good = data.copy()
        changed = burst(data, int(place * (8 * data.size - bits)), bits, seed)
        found = region.scrub()
        assert sum(each.data_bits for each in found) == changed
        assert {each.verdict for each in found} == {Verdict.CORRECTED}
        assert (data == good).all()
        assert region.verify() == []

    @QUICK
    @given(st.sampled_from(SIZES), st.integers(1, 512), st.integers(0, 2**32), st.floats(0, 1))
    def test_a_burst_of_512_bits_at_any_place_of_the_redundancy_is_made_good(
        self, n: int, bits: int, seed: int, place: float
    ) -> None:
        data, region = region_of(2 * n * SYMBOL_OCTETS, n)
        good, before = data.copy(), region.redundancy.buffer.copy()
        octets = region.redundancy.buffer.view(np.uint8)
        burst(octets, int(place * (8 * octets.size - bits)), bits, seed)
        assert {each.verdict for each in region.scrub()} <= {Verdict.RECHECKED}
        assert (data == good).all()
        words = region.redundancy
        assert (words.hashes == ~words.complements).all()
        assert (words.hashes == before[:2]).all()
        assert region.verify() == []

    @pytest.mark.verifies("VA-EDC-09")
    def test_three_and_more_errors_of_a_lane_are_never_corrected_wrongly_in_silence(self) -> None:
        data, region = region_of(512 * 64, 512)
        good, draw = data.copy(), np.random.default_rng(3)
        told = 0
        for trial in range(3000):
            rows = draw.choice(512, 3 + trial % 4, replace=False)
            data.reshape(512, 64)[rows, trial % 64] ^= 1 << trial % 8
            wrong = data.copy()
            told += unhashed_would_change(region, wrong)
            found = region.correct(0)
            assert found == Mended(0, Verdict.LOST)
            assert (data == wrong).all()
            data[:] = good
        assert told > 1000  # the code alone would have been wrong in silence

    @pytest.mark.parametrize("bits", [(1, 2), (0b1010, 0b0101), (1 << 63, 1)])
    def test_scattered_flips_in_both_copies_of_a_hash_are_made_good(
        self, bits: tuple[int, int]
    ) -> None:
        _, region = region_of(64 * 64)
        region.redundancy.hashes[:] ^= np.uint64(bits[0])
        region.redundancy.complements[:] ^= np.uint64(bits[1])
        assert region.check() == []
        ones = sum(bit.bit_count() for bit in bits)
        assert region.scrub() == [Mended(0, Verdict.RECHECKED, 0, ones)]
        assert region.verify() == []

    def test_a_hash_lost_in_both_copies_is_said_not_believed(self) -> None:
        _, region = region_of(64 * 64)
        region.redundancy.hashes[:] ^= np.uint64(3)
        region.redundancy.complements[:] ^= np.uint64(3)
        assert region.scrub() == [Mended(0, Verdict.LOST)]

    def test_a_block_in_the_place_of_another_is_found(self) -> None:
        data, region = region_of(2 * 64 * 64)
        swap = [1, 0]
        data.reshape(2, -1)[:] = data.reshape(2, -1)[swap]
        region.redundancy.checks[:] = region.redundancy.checks[swap]
        region.redundancy.hashes[:] = region.redundancy.hashes[swap]
        region.redundancy.complements[:] = region.redundancy.complements[swap]
        assert region.check() == []
        assert region.verify() == [0, 1]

    def test_a_block_without_errors_is_clean(self) -> None:
        _, region = region_of(64 * 64)
        assert region.correct(0) == Mended(0, Verdict.CLEAN)


class TestRegions:
    @QUICK
    @given(st.integers(0, 20_000), st.integers(0, 63), st.integers(0, 2**32))
    def test_any_size_at_any_alignment_is_protected(self, size: int, shift: int, seed: int) -> None:
        data = aligned(size + 64)[shift : shift + size]
        data[:] = random_octets(size, seed)
        region = Region(data, Code(64))
        region.encode()
        assert region.blocks == -(-size // 4096)
        assert region.verify() == region.check() == []
        if size:
            good = data.copy()
            data[seed % size] ^= 0x81
            assert region.check() == [seed % size // 4096]
            assert region.scrub() == [Mended(seed % size // 4096, Verdict.CORRECTED, 2)]
            assert (data == good).all()

    def test_no_data_needs_no_redundancy(self) -> None:
        region = Region(b"")
        region.encode()
        assert (region.blocks, region.redundancy.buffer.size) == (0, 0)
        assert region.scrub() == []

    def test_redundancy_in_a_buffer_is_taken_up_by_another_region(self) -> None:
        data, code = random_octets(9000), Code(64)
        room = aligned(Redundancy.octets(code, 3))
        Region(data, code, room).encode()
        data[5000] ^= 1
        assert Region(data, code, room).scrub() == [Mended(1, Verdict.CORRECTED, 1)]
        with pytest.raises(ValueError, match=f"make it {room.size} octets"):
            Region(data, code, room[:-8])

    def test_read_only_memory_is_checked_but_not_corrected(self) -> None:
        data, region = region_of(5000)
        sealed = Region(data.tobytes(), Code(64), region.redundancy.buffer)
        assert sealed.verify() == []
        with pytest.raises(ValueError, match="read-only"):
            sealed.correct(0)

    def test_threads_share_a_region_in_slices(self) -> None:
        data, region = region_of(10 * 4096 + 7)
        data[[0, 20_000, 40_962]] ^= 1
        with ThreadPoolExecutor(3) as pool:
            bad = list(pool.map(lambda part: region.verify(*part), region.slices(3)))
        assert [block for part in bad for block in part] == [0, 4, 10]
        assert region.slices(2) == [(0, 5), (5, 11)]

    def test_stripes_and_wrong_ranges(self) -> None:
        data, region = region_of(10 * 4096)
        data[::4096] ^= 1
        assert region.check(2, 5) == [2, 3, 4]
        assert region.verify(9) == [9]
        assert region.check(3, 3) == []
        for first, last in ((-1, 2), (0, 11), (5, 4)):
            with pytest.raises(IndexError, match="region of 10"):
                region.check(first, last)

    def test_an_array_with_gaps_is_refused(self) -> None:
        with pytest.raises(ValueError, match="not contiguous"):
            Region(np.zeros((64, 64))[:, ::2])


def checks_of(region: Region) -> Octets:
    """The check symbols of a region of one block, in octets."""
    octets: Octets = region.redundancy.checks[0].view(np.uint8)
    return octets


def unhashed_would_change(region: Region, data: Octets) -> bool:
    """Whether the code alone would set this block wrong without a word."""
    k, differences = region.code.k, np.zeros_like(region.redundancy.checks[0])
    content = data.copy()
    cpu.encode(content.ctypes.data, differences.ctypes.data, k, 0, 1)
    cpu.compare(differences.ctypes.data, region.redundancy.checks.ctypes.data, k)
    flipped, lost = cpu.set_right(content.ctypes.data, differences.ctypes.data, k)
    return bool(flipped) and not lost
