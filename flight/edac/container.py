"""Container files: content that survives upsets and lost pages, or says that it did not.

A file is a header (`header.py`), the segments of its content (`segments.py`), and the header again.
It is written under another name and takes its own when it is whole and on the disk.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from flight.edac.blocks import Mended, Octets, Verdict, octets_in
from flight.edac.code import SYMBOL_OCTETS, Code
from flight.edac.hash import START, chain
from flight.edac.header import (
    END_OCTETS,
    LARGEST_DEPTH,
    ContainerError,
    Header,
    NotAContainer,
    UnknownVersion,
    find,
)
from flight.edac.segments import Segment, segment_of, segments_of
from icd.files import beside, opened

__all__ = [
    "ContainerError",
    "DataLost",
    "NotAContainer",
    "Reader",
    "Report",
    "UnknownVersion",
    "Writer",
    "pack",
    "read",
    "repair",
    "replacing",
    "unpack",
    "verify",
    "write",
]


@dataclass
class Report:
    """What was found in a container; complete when every segment has been read."""

    label: str
    length: int
    header_copies: int
    """Copies of the header that are damaged, of six."""
    missing: int
    """Octets that the file should have and has not."""
    surplus: int
    """Octets behind its end."""
    blocks: int = 0
    corrected: int = 0
    """Blocks whose content was wrong and is right again."""
    rechecked: int = 0
    """Blocks of which only check symbols or hashes were wrong."""
    bits: int = 0
    """Bits that were wrong, in blocks that are right again."""
    lost: list[int] = field(default_factory=list)
    """Blocks that cannot be set right."""
    is_mixed: bool = False
    """Every block is right, but they are not those of one file."""

    @property
    def is_recoverable(self) -> bool:
        """Whether all content is there, and proven."""
        return not self.lost and not self.is_mixed

    @property
    def is_sound(self) -> bool:
        """Whether there is nothing to repair."""
        wrong = self.header_copies or self.missing or self.surplus
        return self.is_recoverable and not (wrong or self.corrected or self.rechecked)

    def take(self, segment: Segment, found: list[Mended]) -> None:
        """Count what was found in one more segment."""
        self.blocks += segment.depth
        for mended in found:
            self.corrected += mended.verdict is Verdict.CORRECTED
            self.rechecked += mended.verdict is Verdict.RECHECKED
            self.bits += mended.data_bits + mended.check_bits
            if mended.verdict is Verdict.LOST:
                self.lost.append(segment.base + mended.block)

    def sentences(self) -> list[str]:
        """What is to be said of it, for people."""
        said = {
            f"{self.header_copies} of 6 copies of the header are damaged": self.header_copies,
            f"{self.missing} octets are missing at the end": self.missing,
            f"{self.surplus} octets do not belong to it": self.surplus,
            f"{self.corrected} blocks had wrong content, corrected": self.corrected,
            f"{self.rechecked} blocks had wrong check symbols or hashes": self.rechecked,
            f"{len(self.lost)} blocks of {self.blocks} are lost: {_few(self.lost)}": self.lost,
            "its segments are right but were not written together": self.is_mixed,
        }
        return [sentence for sentence, is_so in said.items() if is_so] or ["sound"]


class DataLost(ContainerError):
    """Content was damaged beyond correction; `report` has the blocks."""

    def __init__(self, report: Report) -> None:
        super().__init__("; ".join(report.sentences()))
        self.report = report


class Writer:
    """Writes a container to a stream that can seek, piece by piece; `finish` makes it whole."""

    def __init__(
        self,
        stream: BinaryIO,
        label: str = "",
        code: Code | None = None,
        depth: int = LARGEST_DEPTH,
    ) -> None:
        self._stream = stream
        self._header = Header(code or Code(), depth, 0, 0, label)
        self._root = START
        self._length = 0
        self._blocks = 0
        self._waiting = bytearray()
        self._full = self._header.code.n * depth * SYMBOL_OCTETS
        stream.write(bytes(END_OCTETS))

    def write(self, content: Any) -> None:
        """Take in more content, from any contiguous buffer."""
        view = octets_in(content).data
        while view:
            room = self._full - len(self._waiting)
            self._waiting += view[:room]
            view = view[room:]
            if len(self._waiting) == self._full:
                self._flush()

    def finish(self) -> Header:
        """Write what is left, and the header at both ends."""
        self._flush()
        old = self._header
        header = Header(old.code, old.depth, self._length, self._root, old.label)
        end = header.record() * (END_OCTETS // len(header.record()))
        self._stream.write(end)
        self._stream.seek(0)
        self._stream.write(end)
        return header

    def _flush(self) -> None:
        if self._waiting:
            header, content = self._header, octets_in(self._waiting)
            segment = segment_of(header.code, header.depth, content.size, self._blocks)
            stored, hashes = segment.encode(content)
            self._stream.write(stored.data)
            self._root = chain(hashes, self._root)
            self._blocks += segment.depth
            self._length += content.size
        self._waiting = bytearray()


class Reader:
    """Reads a container from a stream that can seek, setting right what it can on the way.

    Raises NotAContainer or UnknownVersion.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        size = stream.seek(0, io.SEEK_END)
        stream.seek(0)
        head = stream.read(END_OCTETS)
        stream.seek(max(0, size - END_OCTETS))
        self.header, damaged = find(head, stream.read(END_OCTETS))
        self._segments = list(segments_of(self.header.code, self.header.depth, self.header.length))
        wanted = 2 * END_OCTETS + sum(segment.stored_octets for segment in self._segments)
        missing, surplus = max(0, wanted - size), max(0, size - wanted)
        if surplus:
            stream.seek(wanted - END_OCTETS)
            self.header, damaged = find(head, stream.read(END_OCTETS))
        self.report = Report(self.header.label, self.header.length, damaged, missing, surplus)

    def segments(self) -> Iterator[Octets]:
        """The content, segment by segment, as right as it can be made; see `report` afterwards."""
        self._stream.seek(END_OCTETS)
        root, report = START, self.report
        for segment in self._segments:
            stored = octets_in(self._stream.read(segment.stored_octets))
            content, hashes, found = segment.decode(stored)
            root = chain(hashes, root)
            report.take(segment, found)
            yield content
        report.is_mixed = not report.lost and root != self.header.root

    def read(self) -> Octets:
        """All content. Raises DataLost."""
        whole = np.empty(self.header.length, np.uint8)
        at = 0
        for content in self.segments():
            whole[at : at + content.size] = content
            at += content.size
        if not self.report.is_recoverable:
            raise DataLost(self.report)
        return whole


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A stream that becomes the file when all went well, and leaves nothing behind otherwise."""
    unfinished = beside(path, f".{os.getpid()}.part")
    try:
        with unfinished.open("wb+") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _few(blocks: list[int]) -> str:
    rest = f" and {len(blocks) - 8} more" if len(blocks) > 8 else ""
    return ", ".join(map(str, blocks[:8])) + rest


def pack(content: Any, label: str = "", code: Code | None = None) -> bytes:
    """A container in memory."""
    stream = io.BytesIO()
    writer = Writer(stream, label, code)
    writer.write(content)
    writer.finish()
    return stream.getvalue()


def unpack(container: bytes) -> bytes:
    """The content of a container in memory. Raises ContainerError."""
    return Reader(io.BytesIO(container)).read().tobytes()


def write(path: Path, content: Any, label: str = "", code: Code | None = None) -> None:
    """Put content, one buffer or an iterator of them, into a file that is there whole or not."""
    with replacing(path) as stream:
        writer = Writer(stream, label, code)
        for piece in content if isinstance(content, Iterator) else (content,):
            writer.write(piece)
        writer.finish()


def read(path: Path) -> Octets:
    """The content of a container file. Raises ContainerError, OSError."""
    with opened(path) as stream:
        return Reader(stream).read()


def verify(path: Path) -> Report:
    """Look at every octet of a container file. Raises NotAContainer, UnknownVersion, OSError."""
    with opened(path) as stream:
        reader = Reader(stream)
        for _ in reader.segments():
            pass
        return reader.report


def repair(path: Path, out: Path | None = None) -> Report:
    """Write a container file anew, all of it right, into its own place or into `out`.

    A sound file stays as it is unless `out` is given.
    Raises DataLost, and writes nothing, when content is lost.
    """
    report = verify(path)
    if not report.is_recoverable:
        raise DataLost(report)
    if report.is_sound and out is None:
        return report
    with opened(path) as source, replacing(out or path) as stream:
        reader = Reader(source)
        header = reader.header
        writer = Writer(stream, header.label, header.code, header.depth)
        for content in reader.segments():
            writer.write(content)
        writer.finish()
        if not reader.report.is_recoverable:
            raise DataLost(reader.report)
    return report
