"""What a commit says of itself: one cache line, kept six times, three at either end of the file.

    octets   0-7    8-9      10      11    12-15  16-23  24-31   32-39  40-55  56-63
             magic  version  log2 n  zero  table  step   number  body   root   hash

Numbers are little-endian. `table` and `body` count octets; `root` is BLAKE2b (16 octets) of the
hashes of all blocks; `hash` is `hash.chain` over the seven words before it. The file's last four
octets are the CRC-32 of all before them, big-endian, in a copy on the disk; in a slot they are
zeros, because memory is checked by its blocks.

Standard library only: the storage worker knows a sound commit from a damaged one by this file, and
asks another process to set a damaged one right.
"""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple

from flight.edac.code import LARGEST, SMALLEST, SYMBOL_OCTETS, Code
from flight.edac.hash import chain
from flight.edac.header import END_OCTETS, RECORD_OCTETS, candidates

MAGIC = b"VACOMMIT"
VERSION = 2
BODY_AT = 256
TAIL_OCTETS = END_OCTETS + 4
"""Octets behind the redundancy: three records and the CRC-32."""
_LAYOUT = struct.Struct("<8sHBxIQQQ16s")
_LARGEST_BODY = 1 << 48


class CommitRecord(NamedTuple):
    """See the module."""

    n: int
    table: int
    step: int
    number: int
    """Counts the commits of one process."""
    body: int
    root: bytes

    @property
    def redundancy_at(self) -> int:
        """Where the redundancy of the body begins."""
        return BODY_AT + self.body

    @property
    def redundancy(self) -> int:
        """Octets of redundancy; `blocks.Redundancy` has its layout."""
        code = Code(self.n)
        blocks = -(-self.body // code.block_octets)
        hashes = -(-blocks // 8) * SYMBOL_OCTETS
        return code.check_symbols * blocks * SYMBOL_OCTETS + 2 * hashes

    @property
    def size(self) -> int:
        """Octets of the whole file."""
        return self.redundancy_at + self.redundancy + TAIL_OCTETS

    def pack(self) -> bytes:
        """The record's 64 octets."""
        k = Code(self.n).k
        body = _LAYOUT.pack(MAGIC, VERSION, k, *self[1:])
        return body + chain(struct.unpack("<7Q", body)).to_bytes(8, "little")

    @classmethod
    def parse(cls, octets: bytes) -> CommitRecord | None:
        """The record in 64 octets; None where there is none, or it is damaged."""
        if len(octets) != RECORD_OCTETS or octets[:8] != MAGIC:
            return None
        body, stored = octets[: _LAYOUT.size], int.from_bytes(octets[_LAYOUT.size :], "little")
        if chain(struct.unpack("<7Q", body)) != stored:
            return None
        _, version, k, *values = _LAYOUT.unpack(body)
        if version != VERSION or not SMALLEST <= 1 << k <= LARGEST:
            return None
        record = cls(1 << k, *values)
        is_possible = record.table <= record.body < _LARGEST_BODY
        return record if is_possible and not record.body % SYMBOL_OCTETS else None


def find(head: bytes, tail: bytes) -> CommitRecord | None:
    """The record, from the first and the last octets of a file; None where there is none."""
    for octets in candidates(head[:END_OCTETS], tail[-TAIL_OCTETS:-4]):
        record = CommitRecord.parse(octets)
        if record is not None:
            return record
    return None


def seal_of(record: CommitRecord) -> int:
    """A number that stands for a commit: with the root, it covers every octet of its body."""
    return zlib.crc32(record.pack())


def trailer(crc32: int) -> bytes:
    """The last four octets of a commit on the disk."""
    return struct.pack(">I", crc32)
