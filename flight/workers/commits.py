"""Commits of a job's arrays: two files, written in turn, each whole or not valid.

A file is a header (magic, version, step, count, octets, length of the table), the table (msgpack:
name, type, shape and octets of each array), the arrays, and at its very end the CRC-32 of all
before it, big-endian. Octet order is the machine's; it stands in the type of each array.
"""

from __future__ import annotations

import mmap
import os
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgpack
import numpy as np

_MAGIC = b"VACOMMIT"
_VERSION = 1
_HEADER = struct.Struct("<8sHxxIQQQ")
_TRAILER = struct.Struct(">I")
_ALIGN = 64
_KINDS = "biufc?"

Array = np.ndarray[Any, np.dtype[Any]]


class CommitError(Exception):
    """A commit that cannot be used; the message says why."""


class Published(NamedTuple):
    """Where a commit went: the slot, how many octets the file has and the CRC-32 of all of it."""

    slot: int
    size: int
    crc32: int


class Loaded(NamedTuple):
    """A commit that is whole: its step, its number and its arrays."""

    step: int
    number: int
    arrays: dict[str, Array]
    path: Path


def path_of(folder: Path, slot: int) -> Path:
    """The file of slot 0 or 1 in a job's folder."""
    return folder / f"commit.{slot}"


class CommitSlots:
    """The two slots of a running job; room for both is taken at once."""

    def __init__(self, folder: Path, arrays: Mapping[str, Array], *, next_slot: int = 0) -> None:
        """Raises OSError (ENOSPC) when there is no room, CommitError for arrays of objects."""
        self._arrays = {name: _flat(name, array) for name, array in arrays.items()}
        self._table, self._offsets, self._end = _layout(arrays)
        self._folder = folder
        self._next = next_slot
        self._count = 0
        self._maps: list[mmap.mmap | None] = [None, None]

    def commit(self, step: int) -> Published:
        """Copy the arrays into the older slot; the other one stays whole meanwhile."""
        slot, self._next = self._next, 1 - self._next
        self._count += 1
        size = self._end + _TRAILER.size
        file = self._map(slot, size)
        header = _HEADER.pack(_MAGIC, _VERSION, len(self._table), step, self._count, size)
        # Not valid until its magic is back: a kill in between must not show half a commit.
        file[: len(_MAGIC)] = bytes(len(_MAGIC))
        file[len(_MAGIC) : _HEADER.size] = header[len(_MAGIC) :]
        file[_HEADER.size : _HEADER.size + len(self._table)] = self._table
        for name, octets in self._arrays.items():
            at = self._offsets[name]
            file[at : at + len(octets)] = octets
        with memoryview(file) as view:
            crc = zlib.crc32(view[len(_MAGIC) : self._end], zlib.crc32(_MAGIC))
        trailer = _TRAILER.pack(crc)
        file[self._end : size] = trailer
        file[: len(_MAGIC)] = _MAGIC
        return Published(slot, size, zlib.crc32(trailer, crc))

    def close(self) -> None:
        """Let go of the files."""
        for file in self._maps:
            if file is not None:
                file.close()
        self._maps = [None, None]

    def _map(self, slot: int, size: int) -> mmap.mmap:
        file = self._maps[slot]
        if file is None:
            flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
            fd = os.open(path_of(self._folder, slot), flags, 0o600)
            try:
                os.posix_fallocate(fd, 0, size)
                file = self._maps[slot] = mmap.mmap(fd, size)
            finally:
                os.close(fd)
        return file


def load(path: Path, like: Mapping[str, Array]) -> Loaded:
    """Read a commit that must hold exactly arrays like these. Raises CommitError, OSError."""
    content = path.read_bytes()
    if len(content) < _HEADER.size + _TRAILER.size:
        raise CommitError(f"{path.name} is too short for a commit")
    magic, version, table_size, step, count, size = _HEADER.unpack_from(content)
    if magic != _MAGIC or version != _VERSION or size != len(content):
        raise CommitError(f"{path.name} is not a whole commit")
    end = size - _TRAILER.size
    if _TRAILER.unpack_from(content, end)[0] != zlib.crc32(memoryview(content)[:end]):
        raise CommitError(f"{path.name} fails its checksum")
    table, offsets, expected_end = _layout(like)
    found = content[_HEADER.size : _HEADER.size + table_size]
    if found != table or expected_end != end:
        raise CommitError(f"{path.name} holds other arrays than this job; start the job anew")
    arrays = {
        name: np.frombuffer(content, array.dtype, array.size, offsets[name]).reshape(array.shape)
        for name, array in like.items()
    }
    return Loaded(step, count, arrays, path)


def newest(paths: list[Path], like: Mapping[str, Array]) -> tuple[Loaded | None, list[str]]:
    """The commit with the highest step that is whole, and why others were passed over."""
    best: Loaded | None = None
    passed_over: list[str] = []
    for path in paths:
        try:
            loaded = load(path, like)
        except FileNotFoundError:
            continue
        except (CommitError, OSError) as error:
            passed_over.append(str(error))
            continue
        if best is None or (loaded.step, loaded.number) > (best.step, best.number):
            best = loaded
    return best, passed_over


def _flat(name: str, array: Array) -> memoryview:
    if array.dtype.kind not in _KINDS:
        raise CommitError(f"array '{name}' of {array.dtype} cannot be committed; use numbers")
    if not array.flags.c_contiguous:
        raise CommitError(f"array '{name}' is not C-contiguous; register a contiguous one")
    octets: memoryview = array.reshape(-1).view(np.uint8).data
    return octets


def _layout(arrays: Mapping[str, Array]) -> tuple[bytes, dict[str, int], int]:
    """The table, the offset of each array, and where the arrays end."""
    sizes = {name: array.nbytes for name, array in arrays.items()}
    rows = [[name, a.dtype.str, list(a.shape), sizes[name]] for name, a in arrays.items()]
    table: bytes = msgpack.packb(rows)
    offsets: dict[str, int] = {}
    at = _HEADER.size + len(table)
    for name, size in sizes.items():
        at = -(-at // _ALIGN) * _ALIGN
        offsets[name] = at
        at += size
    return table, offsets, at
