"""What a container says of itself: one cache line, kept six times, three at either end of the file.

    octets   0-7    8-9      10      11     12-15  16-23   24-31  32-55  56-63
             magic  version  log2 n  depth  zero   length  root   label  hash

Numbers are little-endian. `length` counts octets of content; `root` is `hash.chain` over the hashes
of all blocks in order, so that segments of two files never pass for one; `label` is UTF-8 filled
with zeros; `hash` is `hash.chain` over the seven words before it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from flight.edac.code import LARGEST, SMALLEST, Code
from flight.edac.hash import chain

MAGIC = b"VA-EDAC\n"
VERSION = 1
COPIES = 3
RECORD_OCTETS = 64
END_OCTETS = COPIES * RECORD_OCTETS
"""Octets of header at either end."""
LABEL_OCTETS = 24
LARGEST_DEPTH = 64
_LAYOUT = struct.Struct("<8sHBBIQQ24s")


class ContainerError(ValueError):
    """A file cannot be used as a container.

    `NotAContainer` and `UnknownVersion` say that it never could; `DataLost` that it was damaged
    beyond correction.
    """


class NotAContainer(ContainerError):
    """No copy of a header can be read, nor all together."""


class UnknownVersion(ContainerError):
    """A later version of this software wrote the file."""


@dataclass(frozen=True)
class Header:
    """See the module. Raises ValueError for a label that does not fit."""

    code: Code
    depth: int
    length: int
    root: int
    label: str

    def __post_init__(self) -> None:
        if len(self.label.encode()) > LABEL_OCTETS or "\0" in self.label:
            raise ValueError(f"label {self.label!r} does not fit; give up to {LABEL_OCTETS} octets")
        if not 1 <= self.depth <= LARGEST_DEPTH:
            raise ValueError(f"depth {self.depth} is out of range; give 1 to {LARGEST_DEPTH}")

    def record(self) -> bytes:
        """The header's 64 octets."""
        fields = (self.code.k, self.depth, 0, self.length, self.root, self.label.encode())
        body = _LAYOUT.pack(MAGIC, VERSION, *fields)
        return body + chain(struct.unpack("<7Q", body)).to_bytes(8, "little")

    @classmethod
    def parse(cls, record: bytes) -> Header | None:
        """The header in one record, None where the record is damaged. Raises UnknownVersion."""
        body, stored = record[: _LAYOUT.size], int.from_bytes(record[_LAYOUT.size :], "little")
        if len(record) != RECORD_OCTETS or chain(struct.unpack("<7Q", body)) != stored:
            return None
        magic, version, k, depth, zero, length, root, label = _LAYOUT.unpack(body)
        if magic != MAGIC:
            return None
        if version != VERSION or zero:
            raise UnknownVersion(f"container version {version}; this software reads {VERSION}")
        if not (SMALLEST <= 1 << k <= LARGEST and 1 <= depth <= LARGEST_DEPTH):
            return None
        return cls(Code(1 << k), depth, length, root, label.rstrip(b"\0").decode(errors="replace"))


def find(head: bytes, tail: bytes) -> tuple[Header, int]:
    """The header, and how many of its six copies are damaged; from both ends of a file.

    Any copy will do; where all are damaged, the majority of each bit. Raises NotAContainer.
    """
    for candidate in candidates(head, tail):
        header = Header.parse(candidate)
        if header is not None:
            return header, damaged(candidate, head, tail)
    raise NotAContainer("not a container of this software, or its header is lost in all six copies")


def candidates(head: bytes, tail: bytes) -> Iterator[bytes]:
    """What a record of 64 octets may be that is kept three times at either end of a file.

    Each copy, then the majority of each bit: of the copies at either end, and of any three.
    """
    whole = [record for record in _records(head, tail) if len(record) == RECORD_OCTETS]
    yield from whole
    for first in range(len(whole) - 2):
        a, b, c = (int.from_bytes(record, "little") for record in whole[first : first + 3])
        yield ((a & b) | (a & c) | (b & c)).to_bytes(RECORD_OCTETS, "little")


def damaged(record: bytes, head: bytes, tail: bytes) -> int:
    """How many of the six copies are not that record."""
    return sum(copy != record for copy in _records(head, tail))


def _records(head: bytes, tail: bytes) -> list[bytes]:
    places = range(0, END_OCTETS, RECORD_OCTETS)
    return [end[at : at + RECORD_OCTETS] for end in (head, tail) for at in places]
