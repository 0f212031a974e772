"""Decides how files go down: which octets to read next, and which to send."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import partial
from itertools import islice

from flight.components.file_store import stimuli as s
from flight.components.file_store.checkups import lost_of
from flight.components.file_store.dictionary import FileStoreEvents, GetBegun
from flight.components.file_store.outbox import Outbox
from flight.components.file_store.ranges import Ranges
from flight.components.file_store.storage_answers import digest_of
from flight.framework.ports import Refused, StorageResult
from flight.storage import file_names
from icd.failures import FailureCode

MOST_OPEN = 16
MOST_RANGES = 64
SEGMENT = 3072
READ = 8 * SEGMENT

Key = tuple[int, int]
"""Station and transaction: two stations may use the same number."""


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
    ready: deque[s.Segment] = field(default_factory=deque)

    @property
    def ready_reads(self) -> int:
        """How many reads' worth of segments wait to be sent."""
        return -(-len(self.ready) * SEGMENT // READ)

    @property
    def is_held(self) -> bool:
        """Whether it waits for room in the link, or in the queue of storage."""
        return bool(self.ready) or (bool(self.wanted) and not self.reading)


class Gets:
    """The files being sent, by station and transaction."""

    def __init__(self, outbox: Outbox) -> None:
        self.gets: dict[Key, Get] = {}
        self.segments = 0
        """Taken by the link since the start, as are the octets."""
        self.octets = 0
        self._outbox = outbox

    @property
    def is_held(self) -> bool:
        """Whether a file waits for room in the link, or in the queue of storage."""
        return any(get.is_held for get in self.gets.values())

    def stations(self) -> Collection[int]:
        """The stations that segments wait to be sent to."""
        return {get.station for get in self.gets.values() if get.ready}

    def next_due(self, idle: int) -> int | None:
        """On-board time at which `expire` may have something to do; `idle` in ns."""
        times = [get.active_ns for get in self.gets.values()]
        return min(times) + idle if times else None

    # ------------------------------------------------------------ telecommands

    def begin(self, asked: s.GetBegin) -> None:
        """Send a file from an offset on, anew if it was being sent already; raises Refused."""
        source = file_names.file_path(asked.path)
        key = asked.station, asked.transaction
        if key not in self.gets and len(self.gets) >= MOST_OPEN:
            raise Refused(f"{MOST_OPEN} files are being sent; get_end one first")
        get = self.gets[key] = Get(*key, asked.path, self._outbox.now)
        operation = "digest" if source.endswith(file_names.SIDECAR) else "mend"
        then = partial(self._looked, get, asked.asker, asked.offset)
        self._outbox.submit(operation, then, path=source)

    def more(self, asked: s.GetMore) -> None:
        """Send a part again, or earlier; raises Refused."""
        get = self._open(asked)
        if get.size is None:
            raise Refused(f"transfer {get.transaction} is being opened; wait for its answer")
        start, end = asked.offset, asked.offset + asked.length
        if asked.length == 0 or end > get.size:
            raise Refused(
                f"{asked.length} octets at {start} of a file of {get.size}; "
                "give at least one, and none beyond its end",
                FailureCode.ARGUMENT_RANGE,
            )
        get.active_ns = self._outbox.now
        if len(get.wanted) >= MOST_RANGES and not get.wanted.touches(start, end):
            raise Refused(f"{MOST_RANGES} parts wait to be sent; ask again when some have come")
        get.wanted.add(start, end)
        self._outbox.answer(asked.asker)

    def end(self, asked: s.GetEnd) -> None:
        """Stop sending a file; raises Refused when it is not being sent."""
        self._drop(self._open(asked))
        self._outbox.answer(asked.asker)

    # ------------------------------------------------------------ time, and room in the link

    def expire(self, idle: int) -> None:
        """Forget the files that no station has taken or asked anything of for `idle` ns.

        One that was sent to its end only lacked its get_end, and goes without a word.
        """
        for get in tuple(self.gets.values()):
            if self._outbox.now - get.active_ns >= idle:
                self._drop(get)
                if get.ready or get.wanted or get.reading:
                    self._tell_failed(get, "no station takes it")

    def serve(self, room: dict[int, int], depth: int) -> None:
        """Send what `room` (reports by station, which it is taken from) allows, and read ahead.

        `depth` reads are under way, or wait to be sent, for each file.
        """
        for get in self.gets.values():
            count = min(len(get.ready), room.get(get.station, 0))
            if count > 0:
                room[get.station] -= count
                segments = tuple(islice(get.ready, count))
                self._outbox.out.append(s.SendSegments(get.station, get.transaction, segments))
        for get in self.gets.values():
            self._read_ahead(get, depth)

    def sent(self, sent: s.SegmentsSent, depth: int) -> None:
        """The link took the first segments of those it was given."""
        get = self.gets.get((sent.station, sent.transaction))
        if get is None:
            return
        taken = [get.ready.popleft() for _ in range(min(sent.count, len(get.ready)))]
        if taken:
            get.active_ns = self._outbox.now
            self.segments += len(taken)
            self.octets += sum(len(data) for _, data in taken)
        self._read_ahead(get, depth)

    # ------------------------------------------------------------ storage

    def _looked(self, get: Get, asker: int, offset: int, result: StorageResult) -> None:
        if not self._is_current(get):
            self._outbox.refuse(asker, f"transfer {get.transaction} was begun again, or ended")
            return
        found, lost = digest_of(result), lost_of(result)
        if found is None:
            self._drop(get)
            self._outbox.fail(asker, result)
            return
        size, crc32 = found
        if lost:
            self._drop(get)
            sidecar = file_names.sidecar(get.path)
            reason = f"{lost}; put it again, or delete {sidecar} to have it as it is"
            self._outbox.refuse(asker, reason, FailureCode.CHECKSUM_MISMATCH)
        elif offset > size:
            self._drop(get)
            reason = f"the file has {size} octets; give an offset of at most that"
            self._outbox.refuse(asker, reason, FailureCode.ARGUMENT_RANGE)
        else:
            get.size = size
            get.wanted.add(offset, size)
            self._outbox.answer(asker, GetBegun(size, crc32))

    def _read_ahead(self, get: Get, depth: int) -> None:
        while get.reading + get.ready_reads < depth:
            span = get.wanted.take(READ)
            if span is None:
                return
            get.reading += 1
            start, end = span
            path = file_names.file_path(get.path)
            then = partial(self._was_read, get, start, end)
            self._outbox.submit("read", then, path=path, offset=start, length=end - start)

    def _was_read(self, get: Get, start: int, end: int, result: StorageResult) -> None:
        get.reading -= 1
        if not self._is_current(get):
            return
        if result.error in ("BUSY", "TIMEOUT", "RESTARTED"):
            get.wanted.add(start, end)
            return
        data = result.value
        if not result.ok or not isinstance(data, bytes) or len(data) != end - start:
            self._drop(get)
            self._tell_failed(get, result.error or "it became shorter")
            return
        get.ready.extend(
            (start + at, data[at : at + SEGMENT]) for at in range(0, len(data), SEGMENT)
        )

    def _tell_failed(self, get: Get, reason: str) -> None:
        self._outbox.tell(FileStoreEvents.get_failed, get.transaction, get.path, reason)

    def _drop(self, get: Get) -> None:
        del self.gets[get.station, get.transaction]

    def _is_current(self, get: Get) -> bool:
        return self.gets.get((get.station, get.transaction)) is get

    def _open(self, asked: s.GetMore | s.GetEnd) -> Get:
        try:
            return self.gets[asked.station, asked.transaction]
        except KeyError:
            raise Refused(
                f"transfer {asked.transaction} is not being sent to you; "
                "send get_begin with the offset to go on from",
                FailureCode.NOT_FOUND,
            ) from None
