"""Decides how files go down: which octets to read next, and which are ready to be sent."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any

from flight.components.file_store.checkups import lost_of
from flight.components.file_store.instructions import (
    Announce,
    Answer,
    Instructions,
    Refuse,
    Submit,
    digest_of,
    refuse,
)
from flight.components.file_store.ranges import Ranges
from flight.framework.ports import Refused, StorageResult
from flight.storage import file_names
from icd.failures import FailureCode
from icd.fields import U32, U64, Unit

MOST_OPEN = 16
MOST_RANGES = 64
SEGMENT = 3072
READ = 8 * SEGMENT

Key = tuple[int, int]
"""Station and transaction: two stations may use the same number."""


@dataclass(frozen=True)
class GetBegun:
    """What file is now being sent."""

    size: Annotated[U64, "octets in the file", Unit("B")]
    crc32: Annotated[U32, "CRC-32 of the whole file"]


@dataclass(eq=False)
class Get:
    """One file on its way down to one station."""

    station: int
    transaction: int
    path: str
    active_ns: int
    size: int | None = None
    """None until storage has looked at the file."""
    wanted: Ranges = field(default_factory=Ranges)
    reading: int = 0
    ready: deque[tuple[int, bytes]] = field(default_factory=deque)

    @property
    def ready_reads(self) -> int:
        """How many reads' worth of segments wait to be sent."""
        return -(-len(self.ready) * SEGMENT // READ)


class Gets:
    """The table of files being sent; every method is one stimulus."""

    def __init__(self) -> None:
        self.gets: dict[Key, Get] = {}

    def begin(
        self, asker: Any, station: int, now: int, transaction: int, path: str, offset: int
    ) -> Instructions:
        """Send a file from `offset` on, anew if it was being sent already; raises Refused."""
        source = file_names.file_path(path)
        known = self.gets.get((station, transaction))
        if known is None and len(self.gets) >= MOST_OPEN:
            raise Refused(f"{MOST_OPEN} files are being sent; get_end one first")
        get = Get(station, transaction, path, now)
        self.gets[station, transaction] = get
        operation = "digest" if source.endswith(file_names.SIDECAR) else "mend"
        return [Submit(operation, {"path": source}, partial(self._looked, get, asker, offset))]

    def _looked(self, get: Get, asker: Any, offset: int, result: StorageResult) -> Instructions:
        if not self._is_current(get):
            return [Refuse(asker, f"transfer {get.transaction} was begun again, or ended")]
        found = digest_of(result)
        if found is None:
            self.end(get.station, get.transaction)
            return [refuse(asker, result)]
        if lost := lost_of(result):
            self.end(get.station, get.transaction)
            sidecar = file_names.sidecar(get.path)
            reason = f"{lost}; put it again, or delete {sidecar} to have it as it is"
            return [Refuse(asker, reason, FailureCode.CHECKSUM_MISMATCH)]
        size, crc32 = found
        if offset > size:
            self.end(get.station, get.transaction)
            reason = f"the file has {size} octets; give an offset of at most that"
            return [Refuse(asker, reason, FailureCode.ARGUMENT_RANGE)]
        get.size = size
        get.wanted.add(offset, size)
        return [Answer(asker, GetBegun(size, crc32))]

    def more(self, station: int, now: int, transaction: int, offset: int, length: int) -> None:
        """Send a part again, or earlier; raises Refused."""
        get = self._open(station, transaction)
        if get.size is None:
            raise Refused(f"transfer {transaction} is being opened; wait for its answer")
        if length == 0 or offset + length > get.size:
            raise Refused(
                f"{length} octets at {offset} of a file of {get.size}; "
                "give at least one, and none beyond its end",
                FailureCode.ARGUMENT_RANGE,
            )
        get.active_ns = now
        end = offset + length
        if len(get.wanted) >= MOST_RANGES and not get.wanted.touches(offset, end):
            raise Refused(f"{MOST_RANGES} parts wait to be sent; ask again when some have come")
        get.wanted.add(offset, end)

    def end(self, station: int, transaction: int) -> None:
        """Stop sending a file; raises Refused when it is not being sent."""
        get = self._open(station, transaction)
        del self.gets[get.station, get.transaction]

    def expire(self, now: int, idle_ns: int) -> Instructions:
        """Forget the files that no station has taken or asked anything of for so long.

        One that was sent to its end only lacked its get_end, and goes without a word.
        """
        idle = [get for get in self.gets.values() if now - get.active_ns >= idle_ns]
        for get in idle:
            del self.gets[get.station, get.transaction]
        return [
            Announce("get_failed", (get.transaction, get.path, "no station takes it"))
            for get in idle
            if get.ready or get.wanted or get.reading
        ]

    def next_due(self, idle_ns: int) -> int | None:
        """On-board time at which `expire` may have something to do."""
        return (
            min((get.active_ns for get in self.gets.values()), default=-idle_ns) + idle_ns or None
        )

    def read_ahead(self, depth: int) -> Instructions:
        """The reads that keep `depth` of them under way or waiting for each file."""
        return [submit for get in self.gets.values() for submit in self._reads(get, depth)]

    def _reads(self, get: Get, depth: int) -> Iterator[Submit]:
        while get.reading + get.ready_reads < depth:
            span = get.wanted.take(READ)
            if span is None:
                return
            get.reading += 1
            start, end = span
            arguments = {
                "path": file_names.file_path(get.path),
                "offset": start,
                "length": end - start,
            }
            yield Submit("read", arguments, partial(self._read, get, start, end))

    def _read(self, get: Get, start: int, end: int, result: StorageResult) -> Instructions:
        get.reading -= 1
        if not self._is_current(get):
            return []
        if result.error in ("BUSY", "TIMEOUT", "RESTARTED"):
            get.wanted.add(start, end)
            return []
        data = result.value
        if not result.ok or not isinstance(data, bytes) or len(data) != end - start:
            del self.gets[get.station, get.transaction]
            reason = result.error or "it became shorter"
            return [Announce("get_failed", (get.transaction, get.path, reason))]
        get.ready.extend(
            (start + at, data[at : at + SEGMENT]) for at in range(0, len(data), SEGMENT)
        )
        return []

    def _is_current(self, get: Get) -> bool:
        return self.gets.get((get.station, get.transaction)) is get

    def _open(self, station: int, transaction: int) -> Get:
        try:
            return self.gets[station, transaction]
        except KeyError:
            raise Refused(
                f"transfer {transaction} is not being sent to you; "
                "send get_begin with the offset to go on from",
                FailureCode.NOT_FOUND,
            ) from None
