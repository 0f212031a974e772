"""Sidecars: what protects a plain file lies in a file beside it, and the plain file stays plain.

`weights.npz` is protected by `weights.npz.edac`, which holds three copies of a record, what
`segments.py` adds to each segment of the content (hashes, check symbols and the hashes'
complements), and three more copies of the record. The content is cut and interleaved exactly as in
a container; its lines lie in the plain file.

    octets   0-7    8-9      10      11     12-15  16-23   24-31  32-55    56-63
             magic  version  log2 n  depth  zero   length  root   sha-256  hash

`length` is the plain file's, `root` is `hash.chain` over the hashes of all its blocks, `sha-256`
the first 24 octets of its SHA-256: who only wants to know whether the file is as it was needs
nothing but these and the standard library (`find`, `is_of`).
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from flight.edac.code import LARGEST, SMALLEST, Code
from flight.edac.hash import START, chain
from flight.edac.header import (
    END_OCTETS,
    LARGEST_DEPTH,
    RECORD_OCTETS,
    ContainerError,
    UnknownVersion,
    candidates,
    damaged,
)
from icd.files import LONGEST_NAME, opened

if TYPE_CHECKING:
    from flight.edac.blocks import Octets
    from flight.edac.container import Report

SUFFIX = ".edac"
MAGIC = b"VA-SIDE\n"
VERSION = 1
DIGEST_OCTETS = 24
_LAYOUT = struct.Struct("<8sHBBIQQ24s")

Beat = Callable[[], object]


class NoSidecar(ContainerError):
    """A file is not a sidecar, or all copies of its record are lost."""


@dataclass(frozen=True)
class Record:
    """See the module."""

    code: Code
    depth: int
    length: int
    root: int
    sha256: bytes
    """Its first 24 octets."""

    def pack(self) -> bytes:
        """The record's 64 octets."""
        values = (self.code.k, self.depth, 0, self.length, self.root, self.sha256)
        body = _LAYOUT.pack(MAGIC, VERSION, *values)
        return body + chain(struct.unpack("<7Q", body)).to_bytes(8, "little")

    @classmethod
    def parse(cls, octets: bytes) -> Record | None:
        """The record in 64 octets; None where it is none or damaged. Raises UnknownVersion."""
        if len(octets) != RECORD_OCTETS or octets[: len(MAGIC)] != MAGIC:
            return None
        body, stored = octets[: _LAYOUT.size], int.from_bytes(octets[_LAYOUT.size :], "little")
        if chain(struct.unpack("<7Q", body)) != stored:
            return None
        _, version, k, depth, zero, length, root, sha256 = _LAYOUT.unpack(body)
        if version != VERSION or zero:
            raise UnknownVersion(f"sidecar version {version}; this software reads {VERSION}")
        if not (SMALLEST <= 1 << k <= LARGEST and 1 <= depth <= LARGEST_DEPTH):
            return None
        return cls(Code(1 << k), depth, length, root, sha256)

    def is_of(self, length: int, sha256: bytes) -> bool:
        """Whether a file of that length and SHA-256 is the protected one, unharmed."""
        return (self.length, self.sha256) == (length, sha256[:DIGEST_OCTETS])


def find(head: bytes, tail: bytes) -> Record:
    """The record, from the first and last 192 octets of a sidecar. Raises NoSidecar."""
    for octets in candidates(head, tail):
        record = Record.parse(octets)
        if record is not None:
            return record
    raise NoSidecar("not a sidecar of this software, or its record is lost in all six copies")


@dataclass(frozen=True)
class Digest:
    """What a file holds."""

    size: int
    crc32: int
    sha256: bytes


def protect(content: BinaryIO, sidecar: BinaryIO, beat: Beat = lambda: None) -> Digest:
    """Write the sidecar of all content, both streams from where they are.

    `beat` is called for each segment (2 MiB).
    """
    from flight.edac.segments import segment_of

    code, depth = Code(), LARGEST_DEPTH
    sidecar.write(bytes(END_OCTETS))
    sha256, crc32, size, root, blocks = hashlib.sha256(), 0, 0, START, 0
    while piece := content.read(code.block_octets * depth):
        sha256.update(piece)
        crc32, size = zlib.crc32(piece, crc32), size + len(piece)
        segment = segment_of(code, depth, len(piece), blocks)
        stored, hashes = segment.encode(_octets(piece))
        sidecar.write(stored[segment.line_octets :].data)
        root, blocks = chain(hashes, root), blocks + segment.depth
        beat()
    record = Record(code, depth, size, root, sha256.digest()[:DIGEST_OCTETS])
    sidecar.write(record.pack() * 3)
    sidecar.seek(0)
    sidecar.write(record.pack() * 3)
    return Digest(size, crc32, sha256.digest())


class Reader:
    """Reads a plain file by its sidecar, setting right what it can on the way; see `report`.

    Streams can seek. Raises NoSidecar, UnknownVersion.
    """

    def __init__(self, content: BinaryIO, sidecar: BinaryIO) -> None:
        from flight.edac.container import Report
        from flight.edac.segments import segments_of

        self._content, self._sidecar = content, sidecar
        size = content.seek(0, io.SEEK_END)
        head, tail, held = _ends(sidecar)
        self.record = record = find(head, tail)
        self._segments = list(segments_of(record.code, record.depth, record.length))
        added = sum(segment.stored_octets - segment.line_octets for segment in self._segments)
        wrong = damaged(record.pack(), head, tail)
        missing = max(0, record.length - size) + max(0, added + 2 * END_OCTETS - held)
        self.report: Report = Report(
            "", record.length, wrong, missing, max(0, size - record.length)
        )

    def segments(self) -> Iterator[Octets]:
        """The content, segment by segment, as right as it can be made."""
        from flight.edac.blocks import aligned

        self._content.seek(0)
        self._sidecar.seek(END_OCTETS)
        root, report = START, self.report
        for segment in self._segments:
            stored = aligned(segment.stored_octets)
            content = _octets(self._content.read(segment.content_octets))
            added = _octets(self._sidecar.read(segment.stored_octets - segment.line_octets))
            stored[: content.size] = content
            stored[segment.line_octets : segment.line_octets + added.size] = added
            right, hashes, found = segment.decode(stored)
            root = chain(hashes, root)
            report.take(segment, found)
            yield right
        report.is_mixed = not report.lost and root != self.record.root


def examine(content: BinaryIO, sidecar: BinaryIO, beat: Beat = lambda: None) -> Report:
    """Look at every octet of a file and of its sidecar. Raises NoSidecar, UnknownVersion."""
    reader = Reader(content, sidecar)
    for _ in reader.segments():
        beat()
    return reader.report


def mend(content: BinaryIO, sidecar: BinaryIO, out: BinaryIO, beat: Beat = lambda: None) -> Report:
    """Write the content to `out`, as right as it can be made; `report` says whether it is."""
    reader = Reader(content, sidecar)
    for right in reader.segments():
        out.write(right.data)
        beat()
    return reader.report


def path_of(path: Path) -> Path:
    """Where the sidecar of a file lies."""
    return path.with_name(path.name + SUFFIX)


def has(path: Path) -> bool:
    """Whether a file has a sidecar; one whose name is too long for that has none."""
    with contextlib.suppress(OSError):
        return path_of(path).exists()
    return False


def write(path: Path) -> Digest:
    """Give a file its sidecar, there whole or not at all. Raises OSError."""
    from flight.edac.container import replacing

    place = path_of(path)
    octets = len(os.fsencode(place.name))
    if octets > LONGEST_NAME:
        raise OSError(
            errno.ENAMETOOLONG,
            f"a sidecar's name would have {octets} octets, of at most {LONGEST_NAME}; rename it",
            str(path),
        )
    with opened(path) as content, replacing(place) as stream:
        return protect(content, stream)


def verify(path: Path) -> Report:
    """Look at every octet of a file and its sidecar. Raises NoSidecar, UnknownVersion, OSError."""
    with opened(path) as content, opened(path_of(path)) as beside:
        return examine(content, beside)


def repair(path: Path, out: Path | None = None) -> Report:
    """Write a file anew, all of it right, and its sidecar, in their places or as `out`.

    A sound file stays as it is unless `out` is given.
    Raises DataLost, and writes nothing, when content is lost.
    """
    from flight.edac.container import DataLost, replacing

    report = verify(path)
    if not report.is_recoverable:
        raise DataLost(report)
    if report.is_sound and out is None:
        return report
    with (
        opened(path) as content,
        opened(path_of(path)) as beside,
        replacing(out or path) as stream,
    ):
        if not mend(content, beside, stream).is_recoverable:
            raise DataLost(report)
    write(out or path)
    return report


def _ends(stream: BinaryIO) -> tuple[bytes, bytes, int]:
    """First and last octets of a stream, and how many it has."""
    size = stream.seek(0, io.SEEK_END)
    stream.seek(0)
    head = stream.read(END_OCTETS)
    stream.seek(max(0, size - END_OCTETS))
    return head, stream.read(END_OCTETS), size


def _octets(piece: bytes) -> Octets:
    from flight.edac.blocks import octets_in

    return octets_in(piece)
