"""Commits of a job's arrays: two files, written in turn, each of them under the code.

A file is three copies of its record (`commit_record.py`) and 64 zeros; a body, which is a table
(msgpack: name, type, shape and octets of each array) and the arrays, each at a whole cache line;
the redundancy of the body (`flight.edac.blocks`); three more copies of the record; and a CRC-32.
Octet order is the machine's; it stands in the type of each array. What upsets did to a commit is
set right when it is loaded; one that cannot be set right is passed over for the other.
"""

from __future__ import annotations

import hashlib
import mmap
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import msgpack
import numpy as np

from flight.commits import format_1
from flight.commits.format_1 import CommitError
from flight.commits.record import BODY_AT, TAIL_OCTETS, CommitRecord, find, seal_of
from flight.edac.blocks import Octets, Region, Verdict, aligned
from flight.edac.code import SYMBOL_OCTETS, Code
from flight.edac.header import END_OCTETS, damaged

__all__ = ["CommitError", "CommitSlots", "Loaded", "Published", "examine", "load", "newest"]

_CODE = Code()
_KINDS = "biufc?"

Array = np.ndarray[Any, np.dtype[Any]]


class Published(NamedTuple):
    """Where a commit went: the slot, how many octets the file has, and its seal."""

    slot: int
    size: int
    seal: int
    """CRC-32 of its record, whose root covers every octet of the body."""


@dataclass
class Examined:
    """What a commit looked like, and what was set right."""

    record: CommitRecord
    blocks: int
    records_damaged: int
    """Copies of the record, of six."""
    corrected: int = 0
    rechecked: int = 0
    bits: int = 0
    lost: list[int] = field(default_factory=list)

    @property
    def mended(self) -> int:
        """Blocks that are right again."""
        return self.corrected + self.rechecked


class Loaded(NamedTuple):
    """A commit that is right: its step, its number, its arrays, and what was set right."""

    step: int
    number: int
    arrays: dict[str, Array]
    path: Path
    examined: Examined | None = None
    """None for one of an earlier version, which has a checksum only."""


def path_of(folder: Path, slot: int) -> Path:
    """The file of slot 0 or 1 in a job's folder."""
    return folder / f"commit.{slot}"


class _Slot:
    """One file, mapped, with the code over its body."""

    def __init__(self, path: Path, size: int, body: int) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
        fd = os.open(path, flags, 0o600)
        try:
            os.posix_fallocate(fd, 0, size)
            self.octets: Octets = np.frombuffer(mmap.mmap(fd, size), np.uint8)
        finally:
            os.close(fd)
        self.region = _region(self.octets, body, _CODE.n)

    def write_ends(self, end: bytes) -> None:
        """Write the three copies of the record at either end."""
        octets = np.frombuffer(end, np.uint8)
        self.octets[-TAIL_OCTETS:-4] = octets
        self.octets[:END_OCTETS] = octets


class CommitSlots:
    """The two slots of a running job; room for each is taken before it is first written."""

    def __init__(self, folder: Path, arrays: Mapping[str, Array], *, next_slot: int = 0) -> None:
        """Raises CommitError for arrays that cannot be committed."""
        self._arrays = {name: _flat(name, array) for name, array in arrays.items()}
        self._table, self._offsets, body = _layout(arrays)
        self._record = CommitRecord(_CODE.n, len(self._table), 0, 0, body, bytes(16))
        self._folder = folder
        self._next = next_slot
        self._slots: list[_Slot | None] = [None, None]

    def commit(self, step: int) -> Published:
        """Copy the arrays into the older slot; the other one stays whole meanwhile.

        Raises OSError (ENOSPC) when there is no room.
        """
        place, self._next = self._next, 1 - self._next
        slot = self._slots[place]
        if slot is None:
            path, size = path_of(self._folder, place), self._record.size
            slot = self._slots[place] = _Slot(path, size, self._record.body)
        # Not valid until its records are back: a kill in between must not show half a commit, and
        # who copies it meanwhile sees that they are gone.
        slot.write_ends(bytes(END_OCTETS))
        body = slot.octets[BODY_AT:]
        body[: len(self._table)] = np.frombuffer(self._table, np.uint8)
        for name, octets in self._arrays.items():
            at = self._offsets[name]
            body[at : at + octets.size] = octets
        slot.region.encode()
        self._record = record = self._record._replace(
            step=step, number=self._record.number + 1, root=_root(slot.region)
        )
        slot.write_ends(record.pack() * 3)
        return Published(place, record.size, seal_of(record))

    def close(self) -> None:
        """Close the files."""
        self._slots = [None, None]


def examine(octets: Octets, name: str) -> Examined:
    """Set a commit right in memory, as far as that can be proven. Raises CommitError.

    `octets` is the whole file, writable; `lost` of the answer has the blocks that stay wrong.
    """
    head, tail = octets[:END_OCTETS].tobytes(), octets[-TAIL_OCTETS:].tobytes()
    record = find(head, tail)
    if record is None:
        raise CommitError(f"{name} is not a whole commit")
    if record.size != octets.size:
        raise CommitError(f"{name} has {octets.size} octets; its record says {record.size}")
    region = _region(octets, record.body, record.n)
    packed = record.pack()
    found = Examined(record, region.blocks, damaged(packed, head, tail[:-4]))
    for mended in region.scrub():
        found.corrected += mended.verdict is Verdict.CORRECTED
        found.rechecked += mended.verdict is Verdict.RECHECKED
        found.bits += mended.data_bits + mended.check_bits
        if mended.verdict is Verdict.LOST:
            found.lost.append(mended.block)
    if not found.lost and _root(region) != record.root:
        raise CommitError(f"{name} mixes two commits")
    return found


def load(path: Path, like: Mapping[str, Array]) -> Loaded:
    """Read a commit that must hold exactly arrays like these. Raises CommitError, OSError."""
    size = path.stat().st_size
    octets = aligned(size)
    with path.open("rb") as file:
        if file.readinto(octets.data) != size:
            raise CommitError(f"{path.name} is being written")
    if format_1.is_one(octets[:16].tobytes()):
        step, number, arrays = format_1.load(octets.tobytes(), path.name, like)
        return Loaded(step, number, arrays, path)
    examined = examine(octets, path.name)
    record, lost = examined.record, examined.lost
    if lost:
        few = ", ".join(map(str, lost[:4])) + (" …" if len(lost) > 4 else "")
        raise CommitError(f"{path.name}: {len(lost)} of {examined.blocks} blocks are lost ({few})")
    table, offsets, wanted = _layout(like)
    body = octets[BODY_AT : record.redundancy_at]
    if body[: record.table].tobytes() != table or wanted != record.body:
        raise CommitError(f"{path.name} holds other arrays than this job; start the job anew")
    arrays = {
        name: body[offsets[name] : offsets[name] + array.nbytes].view(array.dtype)
        for name, array in like.items()
    }
    shaped = {name: arrays[name].reshape(array.shape) for name, array in like.items()}
    return Loaded(record.step, record.number, shaped, path, examined)


def newest(paths: list[Path], like: Mapping[str, Array]) -> tuple[Loaded | None, list[str]]:
    """The commit with the highest step that is right, and why others were passed over."""
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


def _region(octets: Octets, body: int, n: int) -> Region:
    end = BODY_AT + body
    return Region(octets[BODY_AT:end], Code(n), octets[end : len(octets) - TAIL_OCTETS])


def _root(region: Region) -> bytes:
    return hashlib.blake2b(region.redundancy.hashes.data, digest_size=16).digest()


def _flat(name: str, array: Array) -> Octets:
    if array.dtype.kind not in _KINDS:
        raise CommitError(f"array '{name}' of {array.dtype} cannot be committed; use numbers")
    if not array.flags.c_contiguous:
        raise CommitError(f"array '{name}' is not C-contiguous; register a contiguous one")
    octets: Octets = array.reshape(-1).view(np.uint8)
    return octets


def _layout(arrays: Mapping[str, Array]) -> tuple[bytes, dict[str, int], int]:
    """The table, the offset of each array in the body, and the body's octets."""
    rows = [[name, a.dtype.str, list(a.shape), a.nbytes] for name, a in arrays.items()]
    table: bytes = msgpack.packb(rows)
    offsets: dict[str, int] = {}
    at = _whole_lines(len(table))
    for name, array in arrays.items():
        offsets[name] = at
        at = _whole_lines(at + array.nbytes)
    return table, offsets, at


def _whole_lines(octets: int) -> int:
    return -(-octets // SYMBOL_OCTETS) * SYMBOL_OCTETS
