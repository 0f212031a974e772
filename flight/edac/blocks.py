"""Regions of memory under the code: encode them, check them, set their blocks right."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flight.edac import cpu
from flight.edac.code import SYMBOL_OCTETS, SYMBOL_WORDS, Code
from flight.edac.proof import prove

Words = NDArray[np.uint64]
Octets = NDArray[np.uint8]


@enum.unique
class Verdict(enum.IntEnum):
    """What became of a block."""

    CLEAN = cpu.CLEAN
    CORRECTED = cpu.CORRECTED
    """Data was wrong, is right again, and its hash proves it."""
    RECHECKED = cpu.RECHECKED
    """Only check symbols or the hash were wrong; they are made anew from the proven data."""
    LOST = cpu.LOST
    """Data is wrong and cannot be set right; the block is as it was."""


@dataclass(frozen=True)
class Mended:
    """One block after `Region.correct`."""

    block: int
    verdict: Verdict
    data_bits: int = 0
    check_bits: int = 0
    """Bits of check symbols and of the hash."""


@dataclass(frozen=True)
class Redundancy:
    """What protects a region: hashes, check symbols, and the hashes' complements.

    They lie in this order in one buffer, so that no burst of 512 bits reaches both copies of a
    hash.
    """

    buffer: Words
    hashes: Words
    checks: Words
    complements: Words

    @staticmethod
    def octets(code: Code, blocks: int) -> int:
        """Octets that the redundancy of some blocks takes."""
        checks = code.check_symbols * blocks * SYMBOL_OCTETS
        return checks + 2 * Redundancy.hash_octets(blocks)

    @staticmethod
    def hash_octets(blocks: int) -> int:
        """Octets of the hashes, or of their complements: whole cache lines."""
        return -(-blocks // SYMBOL_WORDS) * SYMBOL_OCTETS

    @classmethod
    def over(cls, code: Code, blocks: int, buffer: Any = None) -> Redundancy:
        """Lay the redundancy over a writable buffer, or over new memory.

        Raises ValueError for a buffer of another size.
        """
        wanted = cls.octets(code, blocks)
        words = aligned(wanted).view(np.uint64) if buffer is None else octets_in(buffer)
        if words.nbytes != wanted:
            raise ValueError(f"redundancy of {words.nbytes} octets; make it {wanted} octets")
        words = words.view(np.uint64)
        edge = cls.hash_octets(blocks) // 8
        checks = words[edge : len(words) - edge].reshape(-1, code.check_symbols, SYMBOL_WORDS)
        complements = words[len(words) - edge :][:blocks]
        return cls(words, words[:blocks], checks, complements)


class Region:
    """Memory under the code, checked and set right in place.

    `data` is any contiguous array or buffer, of any size and alignment (64 octets is fastest); what
    is left behind the last whole block is protected as a block filled up with zeros. `redundancy`
    is a buffer of `Redundancy.octets` that was encoded before; without one, `encode` comes first.
    `base` is the number of the first block where the region is a part of a larger one.
    Methods take blocks `first` up to `last`; calls on other blocks may run in other threads.
    Raises KernelWrong (`proof.py`) where the compiled code is damaged.
    """

    def __init__(self, data: Any, code: Code | None = None, redundancy: Any = None, base: int = 0):
        prove()
        self.code = code or Code()
        self.base = base
        self._octets = octets_in(data)
        whole, rest = divmod(self._octets.size, self.code.block_octets)
        self._whole = whole
        self._rest = self._octets[whole * self.code.block_octets :]
        self._last = aligned(self.code.block_octets if rest else 0)
        self.blocks = whole + (1 if rest else 0)
        self.redundancy = Redundancy.over(self.code, self.blocks, redundancy)
        self._data = self._octets.ctypes.data
        self._checks = self.redundancy.checks.ctypes.data
        self._hashes = self.redundancy.hashes.ctypes.data
        self._complements = self.redundancy.complements.ctypes.data

    def encode(self, first: int = 0, last: int | None = None) -> None:
        """Write checks and hashes of what the memory holds now."""
        for data, i, start, end in self._runs(first, last):
            redundancy = (self._checks_at(i), *self._hashes_at(i))
            cpu.encode_hashed(data, *redundancy, self.code.k, start, end, self.base + i)

    def check(self, first: int = 0, last: int | None = None) -> list[int]:
        """The blocks that disagree with their check symbols; the fastest look at memory."""
        bad: list[int] = []
        for data, i, start, end in self._runs(first, last):
            flags = np.empty(end - start, np.uint8)
            if cpu.check(data, self._checks_at(i), self.code.k, start, end, flags):
                bad.extend((np.flatnonzero(flags) + (i + start)).tolist())
        return bad

    def verify(self, first: int = 0, last: int | None = None) -> list[int]:
        """The blocks that disagree with their check symbols or with either copy of their hash."""
        bad: list[int] = []
        for data, i, start, end in self._runs(first, last):
            flags = np.empty(end - start, np.uint8)
            redundancy = (self._checks_at(i), *self._hashes_at(i))
            base = self.base + i
            if cpu.check_hashed(data, *redundancy, self.code.k, start, end, base, flags):
                bad.extend((np.flatnonzero(flags) + (i + start)).tolist())
        return bad

    def correct(self, block: int) -> Mended:
        """Set one block right where that can be proven, else leave it as it is.

        The memory changes only where a bit was wrong, and only then.
        Raises ValueError when the memory is read-only.
        """
        if not (self._octets.flags.writeable and self.redundancy.buffer.flags.writeable):
            raise ValueError("this memory is read-only: it can be checked, but not corrected")
        ((data, i, start, _),) = self._runs(block, block + 1)
        room = np.empty(self.code.block_octets, np.uint8)
        verdict, data_bits, check_bits = cpu.mend(
            data + start * self.code.block_octets,
            self._checks_at(block),
            *self._hashes_at(block),
            self.code.k,
            self.base + block,
            room.ctypes.data,
        )
        if i == self._whole and verdict == Verdict.CORRECTED:
            self._rest[:] = self._last[: self._rest.size]
        return Mended(block, Verdict(verdict), int(data_bits), int(check_bits))

    def scrub(self, first: int = 0, last: int | None = None) -> list[Mended]:
        """Verify blocks and correct those that are wrong."""
        return [self.correct(block) for block in self.verify(first, last)]

    def slices(self, parts: int) -> list[tuple[int, int]]:
        """(first, last) of as many nearly equal parts, one for each thread."""
        edges = [part * self.blocks // parts for part in range(parts + 1)]
        return list(pairwise(edges))

    def _runs(self, first: int, last: int | None) -> Iterator[tuple[int, int, int, int]]:
        """Runs of blocks that lie together: address, its block's number, first, last from it."""
        last = self.blocks if last is None else last
        if not 0 <= first <= last <= self.blocks:
            raise IndexError(f"no blocks {first} up to {last} in a region of {self.blocks}")
        if first < min(last, self._whole):
            yield self._data, 0, first, min(last, self._whole)
        if last > self._whole and first < last:
            self._last[: self._rest.size] = self._rest
            yield self._last.ctypes.data, self._whole, 0, 1

    def _checks_at(self, block: int) -> int:
        return self._checks + block * self.code.check_symbols * SYMBOL_OCTETS

    def _hashes_at(self, block: int) -> tuple[int, int]:
        return self._hashes + 8 * block, self._complements + 8 * block


def aligned(size: int) -> Octets:
    """Zeroed memory that starts at a whole cache line."""
    room = np.zeros(size + SYMBOL_OCTETS, np.uint8)
    start = -room.ctypes.data % SYMBOL_OCTETS
    return room[start : start + size]


def octets_in(data: Any) -> Octets:
    """The octets of a contiguous array or buffer, in place. Raises ValueError."""
    if isinstance(data, np.ndarray):
        if not data.flags.c_contiguous:
            raise ValueError("this array is not contiguous; protect the array that it is a view of")
        return data.reshape(-1).view(np.uint8)
    return np.frombuffer(data, np.uint8) if len(data) else np.zeros(0, np.uint8)
