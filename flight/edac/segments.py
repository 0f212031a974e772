"""How content lies in a container: in segments of interleaved blocks, each with its redundancy.

Neighbouring lines belong to different blocks: line i * depth + b of a segment is symbol i of block
b. With 64 blocks side by side a burst of 4,096 octets at any place, a lost page of a disk say,
takes at most one bit of each lane of each block, and all of it comes back.

A segment is its lines, the hashes of its blocks, their check symbols (interleaved likewise), and
the complements of the hashes, each part a whole number of lines. Every segment but the last has
n * depth lines. The last one has `depth` blocks as well, or, where it is the only one, one block
for every 64 lines if that is less; its blocks are thought to go on, up to n symbols, with zeros
that are not stored.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flight.edac.blocks import Mended, Octets, Redundancy, Region, Verdict, Words, aligned
from flight.edac.code import SYMBOL_OCTETS, Code

Lines = NDArray[np.void]
_LINE = np.dtype(f"V{SYMBOL_OCTETS}")
_LINES_A_BLOCK = 64


@dataclass(frozen=True)
class Segment:
    """Where one segment lies in the file, and what it holds."""

    code: Code
    depth: int
    rows: int
    content_octets: int
    base: int
    """Number of its first block in the file."""

    @property
    def line_octets(self) -> int:
        """Octets of its lines in the file."""
        return self.rows * self.depth * SYMBOL_OCTETS

    @property
    def stored_octets(self) -> int:
        """Octets that it takes in the file."""
        return self.line_octets + Redundancy.octets(self.code, self.depth)

    def encode(self, content: Octets) -> tuple[Octets, list[int]]:
        """What to store for this content, and the hashes of its blocks."""
        stored = aligned(self.stored_octets)
        stored[: content.size] = content
        region = Region(self._gather(stored), self.code, base=self.base)
        region.encode()
        redundancy = region.redundancy
        hashes, checks, complements = self._parts(stored)
        hashes[: self.depth], complements[: self.depth] = redundancy.hashes, redundancy.complements
        checks[:] = _lines(redundancy.checks, self.depth).T
        return stored, redundancy.hashes.tolist()

    def decode(self, stored: Octets) -> tuple[Octets, list[int], list[Mended]]:
        """The content, the hashes of its blocks, and each block that was not right.

        Octets that are missing at the end are taken for zeros.
        """
        whole = stored
        if stored.size < self.stored_octets:
            whole = aligned(self.stored_octets)
            whole[: stored.size] = stored
        blocks = self._gather(whole)
        region = Region(blocks, self.code, base=self.base)
        redundancy = region.redundancy
        hashes, checks, complements = self._parts(whole)
        redundancy.hashes[:], redundancy.complements[:] = (
            hashes[: self.depth],
            complements[: self.depth],
        )
        _lines(redundancy.checks, self.depth)[:] = checks.T
        found = region.scrub()
        if found:
            whole = np.ascontiguousarray(_lines(blocks, self.depth)[:, : self.rows].T)
            whole = whole.reshape(-1).view(np.uint8)
        unused = b"".join(words[self.depth :].tobytes() for words in (hashes, complements))
        if any(unused):
            bits = int.from_bytes(unused, "little").bit_count()
            found.append(Mended(self.depth - 1, Verdict.RECHECKED, check_bits=bits))
        return whole[: self.content_octets], redundancy.hashes.tolist(), found

    def _gather(self, stored: Octets) -> Octets:
        """The lines in the order of their blocks."""
        blocks = aligned(self.depth * self.code.block_octets)
        lines = stored[: self.line_octets].view(_LINE).reshape(self.rows, self.depth)
        _lines(blocks, self.depth)[:, : self.rows] = lines.T
        return blocks

    def _parts(self, stored: Octets) -> tuple[Words, Lines, Words]:
        """Hashes, check symbols row by row, and complements, where they are stored."""
        redundancy = stored[self.line_octets :]
        edge = Redundancy.hash_octets(self.depth)
        checks = redundancy[edge : redundancy.size - edge].view(_LINE).reshape(-1, self.depth)
        words = redundancy.view(np.uint64)
        return words[: edge // 8], checks, words[len(words) - edge // 8 :]


def segment_of(code: Code, depth: int, octets: int, base: int) -> Segment:
    """The segment of the next octets, after `base` blocks."""
    lines = -(-octets // SYMBOL_OCTETS)
    blocks = depth if base else min(depth, -(-lines // _LINES_A_BLOCK))
    return Segment(code, blocks, -(-lines // blocks), octets, base)


def segments_of(code: Code, depth: int, length: int) -> Iterator[Segment]:
    """The segments of so many octets of content."""
    full = code.n * depth * SYMBOL_OCTETS
    for base, start in enumerate(range(0, length, full)):
        yield segment_of(code, depth, min(full, length - start), base * depth)


def _lines(array: Octets | Words, rows: int) -> Lines:
    return array.reshape(-1).view(_LINE).reshape(rows, -1)
