"""Commits of version 1, which software before the code wrote: read, so that an update loses none.

A header (magic, version, octets of the table, step, number, octets of the file), the table, the
arrays, each from a multiple of 64 octets on, and the CRC-32 of all before it, big-endian.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from typing import Any

import msgpack
import numpy as np

from flight.commits.record import MAGIC

Array = np.ndarray[Any, np.dtype[Any]]

_VERSION = 1
_HEADER = struct.Struct("<8sHxxIQQQ")
_TRAILER = struct.Struct(">I")
_ALIGN = 64


class CommitError(Exception):
    """A commit that cannot be used; the message says why."""


def is_one(start: bytes) -> bool:
    """Whether a file that starts so is of version 1."""
    return start[:10] == MAGIC + _VERSION.to_bytes(2, "little")


def load(content: bytes, name: str, like: Mapping[str, Array]) -> tuple[int, int, dict[str, Array]]:
    """Step, number and arrays of a commit that holds arrays like these. Raises CommitError."""
    if len(content) < _HEADER.size + _TRAILER.size:
        raise CommitError(f"{name} is too short for a commit")
    _, _, table_size, step, count, size = _HEADER.unpack_from(content)
    end = size - _TRAILER.size
    if size != len(content):
        raise CommitError(f"{name} is not a whole commit")
    if _TRAILER.unpack_from(content, end)[0] != zlib.crc32(memoryview(content)[:end]):
        raise CommitError(f"{name} fails its checksum")
    rows = [[key, a.dtype.str, list(a.shape), a.nbytes] for key, a in like.items()]
    at = _HEADER.size + table_size
    arrays: dict[str, Array] = {}
    for key, array in like.items():
        at = -(-at // _ALIGN) * _ALIGN
        if at + array.nbytes <= end:
            flat = np.frombuffer(content, array.dtype, array.size, at)
            arrays[key] = flat.reshape(array.shape).copy()
        at += array.nbytes
    if content[_HEADER.size : _HEADER.size + table_size] != msgpack.packb(rows) or at != end:
        raise CommitError(f"{name} holds other arrays than this job; start the job anew")
    return step, count, arrays
