"""Regions in files that say what they are: shared memory that another process can look after.

A file in the run directory holds a header, data, and the redundancy of the data. Who made it (its
owner) writes the data and seals it; from then on the data does not change, and anybody who opens
the file can verify it and set it right, the owner's mapping included, because all of them map the
same memory. Who works on it holds the file (`held`), so that no stripe is corrected while the owner
writes it anew.

    octets 0-4095    the header: four copies, at 0, 1024, 2048 and 3072, the rest zeros
    from data_at     data, `length` octets
    from redundancy_at   `blocks.Redundancy` of the data under the code of n symbols a block

Both begin at whole pages. The header's copies have a CRC-32 each; the sound copy with the highest
generation counts. Octet order is the machine's: a region lives in memory, and ends with it.
"""

from __future__ import annotations

import contextlib
import enum
import fcntl
import mmap
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flight.edac.code import LARGEST, SMALLEST, SYMBOL_OCTETS, Code
from icd.processes import process_start_time

if TYPE_CHECKING:
    from flight.edac.blocks import Region

FOLDER = "regions"
"""Name of the folder that holds them, in the run directory and in the folder of a running job."""
PAGE = 4096
COPIES_AT = (0, 1024, 2048, 3072)
NAME_OCTETS, GOLDEN_OCTETS = 64, 256
_MAGIC = b"VAREGION"
_VERSION = 1
_LAYOUT = struct.Struct(f"<8sHHIIQQQQQQ{NAME_OCTETS}s{GOLDEN_OCTETS}s")
_CRC = struct.Struct("<I")
_RECORD = _LAYOUT.size + _CRC.size


class RegionError(ValueError):
    """A file cannot be used as a region; the message says why."""


@enum.unique
class State(enum.IntEnum):
    """What may be done with the data."""

    OPEN = 1
    """The owner writes it; its redundancy means nothing."""
    SEALED = 2
    """It does not change; whoever finds a wrong bit may set it right."""


class Description(NamedTuple):
    """What a region's header says."""

    state: State
    n: int
    """Data symbols a block."""
    pid: int
    start_time: int
    """Of the owner, in clock ticks since boot: tells it from a later process with its pid."""
    generation: int
    """Counts changes of the header."""
    length: int
    """Octets of data."""
    data_at: int
    redundancy_at: int
    redundancy_octets: int
    name: str
    golden: str
    """File whose content is the data, to reload a lost block from; empty where there is none."""

    def changed_to(self, newer: Description) -> Description:
        return self._replace(state=newer.state, generation=newer.generation)

    @property
    def is_sealed(self) -> bool:
        """Whether the data may be verified and set right now."""
        return self.state is State.SEALED

    @property
    def blocks(self) -> int:
        """Blocks of data, the last one perhaps not full."""
        return -(-self.length // Code(self.n).block_octets)


class RegionFile:
    """An open region: its data, and its redundancy, mapped from the file."""

    def __init__(self, fd: int, description: Description) -> None:
        """Takes over the descriptor. See `create` and `open_region`."""
        self._fd = fd
        self._described = description
        size = _size(description)
        self._map = mmap.mmap(fd, size, mmap.MAP_SHARED)
        octets: NDArray[np.uint8] = np.frombuffer(self._map, np.uint8)
        start, length = description.data_at, description.length
        self.data = octets[start : start + length]
        """The data, writable; changes of a sealed region are found and undone."""
        start, length = description.redundancy_at, description.redundancy_octets
        self._redundancy = octets[start : start + length]

    @property
    def description(self) -> Description:
        """The header as it is now. Raises RegionError when no copy of it is sound."""
        self._described = self._read()
        return self._described

    @property
    def is_whole(self) -> bool:
        """Whether the file still holds all that is mapped: a reader of what was cut off ends."""
        return os.fstat(self._fd).st_size >= _size(self._described)

    @property
    def inode(self) -> int:
        """The file's number in its file system: another one has another number."""
        return os.fstat(self._fd).st_ino

    def region(self) -> Region:
        """The data under its code, to verify and to correct. Raises RegionError."""
        from flight.edac.blocks import Region

        try:
            return Region(self.data, Code(self._described.n), self._redundancy)
        except ValueError as error:
            raise RegionError(str(error)) from None

    def seal(self) -> None:
        """Encode the data and let others look after it; only the owner calls it."""
        with self.held():
            self.region().encode()
            self._set(State.SEALED)

    def unseal(self) -> None:
        """Wait until nobody works on it, and keep others off: the owner is about to write."""
        with self.held():
            self._set(State.OPEN)

    @contextlib.contextmanager
    def held(self, *, wait: bool = True) -> Iterator[bool]:
        """Keep others off meanwhile; True when it is held.

        With `wait` false it is not held where another process holds it now. The kernel lets go for
        a process that ends. A region opened twice is held by one of the two.
        """
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
            return
        try:
            yield True
        finally:
            fcntl.flock(self._fd, fcntl.LOCK_UN)

    def mend_header(self) -> int:
        """Write damaged copies of the header anew, while held; how many there were."""
        record = _pack(self.description)
        damaged = [at for at in COPIES_AT if self._map[at : at + _RECORD] != record]
        for at in damaged:
            self._map[at : at + _RECORD] = record
        return len(damaged)

    def close(self) -> None:
        """Close the file; the mapping is freed with the last array over it."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        self.data = self._redundancy = np.zeros(0, np.uint8)
        with contextlib.suppress(BufferError):  # somebody still has an array over it
            self._map.close()

    def _set(self, state: State) -> None:
        now = self._read()
        self._described = now._replace(state=state, generation=now.generation + 1)
        record = _pack(self._described)
        for at in COPIES_AT:
            self._map[at : at + _RECORD] = record

    def _read(self) -> Description:
        """The header, but for what the mapping was made with: that does not change any more."""
        return self._described.changed_to(_newest(self._map[:PAGE]))


def create(
    path: Path, name: str, length: int, code: Code | None = None, golden: str = ""
) -> RegionFile:
    """Make a region of that many octets, open and zeroed; this process is its owner.

    The file appears whole, in place of an older one; the folder is made. Room is taken at once.
    Raises OSError (ENOSPC), RegionError for a name or a length that cannot be.
    """
    from flight.edac.blocks import Redundancy

    _insist_on_text(name, golden)
    if length < 1:
        raise RegionError(f"a region of {length} octets; give at least one")
    code = code or Code()
    redundancy_at = PAGE + -(-length // PAGE) * PAGE
    redundancy = Redundancy.octets(code, -(-length // code.block_octets))
    pid = os.getpid()
    description = Description(
        State.OPEN, code.n, pid, start_time_of(pid), 1, length, PAGE, redundancy_at, redundancy,
        name, golden,
    )  # fmt: skip
    path.parent.mkdir(mode=0o700, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{pid}.new")
    flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    fd = os.open(unfinished, flags, 0o600)
    try:
        os.posix_fallocate(fd, 0, _size(description))
        for at in COPIES_AT:
            os.pwrite(fd, _pack(description), at)
        made = RegionFile(fd, description)
        unfinished.replace(path)
    except BaseException:
        os.close(fd)
        unfinished.unlink(missing_ok=True)
        raise
    return made


def open_region(path: Path) -> RegionFile:
    """Open a region that another process made. Raises RegionError, OSError."""
    fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return RegionFile(fd, _describe(fd, path.name))
    except BaseException:
        os.close(fd)
        raise


def describe(path: Path) -> Description:
    """What a region's header says, without mapping it. Raises RegionError, OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return _describe(fd, path.name)
    finally:
        os.close(fd)


def discover(folder: Path) -> list[Path]:
    """The files in a folder of regions, in order of their names; none where there is no folder."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def start_time_of(pid: int) -> int:
    """When a process began, in clock ticks since boot; 0 where there is none with that pid."""
    return process_start_time(pid, zombie=True) or 0


def _describe(fd: int, name: str) -> Description:
    try:
        description = _newest(os.pread(fd, PAGE, 0))
    except RegionError as error:
        raise RegionError(f"{name}: {error}") from None
    held = os.fstat(fd).st_size
    if held < _size(description):
        raise RegionError(f"{name}: {held} octets; its header says {_size(description)}")
    return description


def _newest(page: bytes) -> Description:
    found = [copy for copy in (_parse(page[at : at + _RECORD]) for at in COPIES_AT) if copy]
    if not found:
        raise RegionError("not a region, or all copies of its header are damaged")
    return max(found, key=lambda copy: copy.generation)


def _parse(record: bytes) -> Description | None:
    if len(record) != _RECORD or _CRC.unpack_from(record, _LAYOUT.size)[0] != zlib.crc32(
        record[: _LAYOUT.size]
    ):
        return None
    magic, version, state, n, *numbers, name, golden = _LAYOUT.unpack_from(record)
    if magic != _MAGIC or version != _VERSION or state not in (1, 2):
        return None
    if not SMALLEST <= n <= LARGEST or n & (n - 1):
        return None
    said = Description._make((State(state), n, *numbers, _text(name), _text(golden)))
    return said if _is_possible(said) else None


def _is_possible(said: Description) -> bool:
    """A header comes from another process: it is believed no further than this."""
    lies_apart = PAGE <= said.data_at <= said.data_at + said.length <= said.redundancy_at
    return bool(
        0 < said.length < 1 << 48
        and lies_apart
        and not (said.data_at | said.redundancy_at) % SYMBOL_OCTETS
        and said.redundancy_octets < 1 << 48
    )


def _pack(description: Description) -> bytes:
    *numbers, name, golden = description
    body = _LAYOUT.pack(_MAGIC, _VERSION, *numbers, name.encode(), golden.encode())
    return body + _CRC.pack(zlib.crc32(body))


def _size(description: Description) -> int:
    return description.redundancy_at + description.redundancy_octets


def _text(octets: bytes) -> str:
    return octets.rstrip(b"\0").decode(errors="replace")


def _insist_on_text(name: str, golden: str) -> None:
    for text, room in ((name, NAME_OCTETS), (golden, GOLDEN_OCTETS)):
        if len(text.encode()) > room or "\0" in text:
            raise RegionError(f"{text!r} does not fit; give up to {room} octets")
