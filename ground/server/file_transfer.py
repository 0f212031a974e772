"""Moves files to and from a payload's file store in numbered, checked, resumable segments."""

from __future__ import annotations

import asyncio
import json
import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from ground.errors import CommandRefused, LinkDown, TransferFailed
from ground.server.ranges import Ranges
from ground.server.verification import CommandRecord
from icd.dictionary import ComponentDictionary, Dictionary
from icd.files import beside, opened
from icd.written import json_value

if TYPE_CHECKING:
    from ground.server.payload import Payload

SEGMENT = 3072
WINDOW = 16
"""Segments under way at once, and ranges asked for again at once."""
SEGMENT_TIMEOUT_S = 2.0
STALL_S = 1.0
"""After so long without a new segment the missing ones are asked for again."""
NOTE_EVERY = 128 * 1024
"""Octets of a downlink between two notes of its progress."""
RETRY_S = 0.1
"""Between two tries at a link that takes nothing."""
GIVE_UP_S = 60.0
"""After so long without any progress a transfer fails; what arrived is kept."""

Progress = Callable[[int, int], None]


class _Stalled(Exception):
    """Something got lost: ask the payload where it is and go on from there."""


def component_of(dictionary: Dictionary | None) -> ComponentDictionary:
    """The component that keeps files; raises CommandRefused when there is none."""
    for component in dictionary.components if dictionary else ():
        if any(command.name == "put_begin" for command in component.commands):
            return component
    raise CommandRefused("this payload's dictionary has no file store")


class FileLink:
    """The file store's telecommands, awaited one by one."""

    def __init__(self, payload: Payload) -> None:
        self.payload = payload
        self.name = component_of(payload.dictionary).name
        self._boots: dict[int, int] = {}

    def send(self, command: str, timeout_s: float | None, **values: Any) -> CommandRecord:
        """Send one telecommand; raises LinkDown."""
        request = self.payload.request(f"{self.name}.{command}", values)
        record = self.payload.send(request, quiet=True, timeout_s=timeout_s)
        self._boots[record.id] = self.payload.boots_seen
        return record

    async def settled(self, record: CommandRecord) -> CommandRecord:
        """Wait for its end; a payload that restarted meanwhile will not answer it any more."""
        payload, boots = self.payload, self._boots.pop(record.id, self.payload.boots_seen)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + (record.deadline_ns - record.queued_ns) / 1e9 + STALL_S
        while not record.is_settled and payload.boots_seen == boots and loop.time() < deadline:
            await payload.changed.wait_for(
                lambda: record.is_settled or payload.boots_seen != boots, STALL_S
            )
        return record

    async def ask(self, command: str, **values: Any) -> CommandRecord:
        """Send one telecommand, wait for a link if need be, and for its end."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + GIVE_UP_S
        while True:
            await self.contact()
            try:
                return await self.settled(self.send(command, None, **values))
            except LinkDown:  # it answered a moment ago, and takes nothing just now
                if loop.time() > deadline:
                    raise
                await self.payload.changed.wait_for(lambda: False, RETRY_S)

    async def contact(self) -> None:
        """Wait until the payload answers; raises TransferFailed after a minute."""
        link = self.payload.link
        changed = self.payload.changed
        loop = asyncio.get_running_loop()
        deadline = loop.time() + GIVE_UP_S
        while not (link and link.is_alive and self.payload.dictionary):
            if loop.time() > deadline:
                raise TransferFailed(
                    f"payload '{self.payload.name}' has not answered for {GIVE_UP_S:g} s; "
                    "start the transfer again when it does: it goes on from where it was"
                )
            await changed.wait_for(lambda: bool(link and link.is_alive), 0.5)


class _Watch:
    """Notes progress, and fails a transfer that makes none."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._loop = asyncio.get_running_loop()
        self._since = self._loop.time()
        self._best = -1

    def see(self, done: int, reason: str = "") -> None:
        if done > self._best:
            self._best, self._since = done, self._loop.time()
        elif self._loop.time() - self._since > GIVE_UP_S:
            raise TransferFailed(
                f"{self._what}: no progress for {GIVE_UP_S:g} s at octet {done}. {reason}"
            )


async def put(payload: Payload, local: Path, remote: str, progress: Progress) -> dict[str, Any]:
    """Send a local file up; resumes a put of the same content that broke off.

    Raises TransferFailed, or CommandRefused for a path the dictionary does not admit.
    """
    size, crc32 = await asyncio.to_thread(_digest, local)
    link = FileLink(payload)
    transaction = zlib.crc32(f"{payload.station}:{remote}:{size}:{crc32}".encode()) or 1
    watch = _Watch(f"put {remote}")
    with opened(local) as file:
        while True:
            start = await _put_start(link, transaction, remote, size, crc32)
            try:
                await _put_segments(link, transaction, file, start, size, progress, watch)
                end = await link.ask("put_end", transaction=transaction)
            except (_Stalled, LinkDown) as error:
                watch.see(start, str(error))
                continue
            if end.state == "completed":
                return {"remote": remote, "size": size, "crc32": crc32}
            if not _is_refused(end):
                watch.see(start, end.reason)
                continue
            raise TransferFailed(f"put {remote}: {end.reason}")


def _is_refused(record: CommandRecord) -> bool:
    """The payload said no; anything else than that and a completion is worth another try."""
    return record.state in ("failed", "rejected")


async def _put_start(link: FileLink, transaction: int, remote: str, size: int, crc32: int) -> int:
    """Where to go on: what the payload already has of this transaction, or a new beginning."""
    status = await link.ask("put_status", transaction=transaction)
    if status.state == "completed" and status.result:
        return int(status.result["received"])
    begun = await link.ask(
        "put_begin", transaction=transaction, path=remote, size=size, crc32=crc32
    )
    if _is_refused(begun):
        raise TransferFailed(f"put {remote}: {begun.reason}")
    return 0


async def _put_segments(
    link: FileLink,
    transaction: int,
    file: BinaryIO,
    start: int,
    size: int,
    progress: Progress,
    watch: _Watch,
) -> None:
    """Send [start, size) with a window of segments; raises _Stalled when one does not arrive."""
    offset = start
    under_way: list[tuple[int, CommandRecord]] = []
    progress(start, size)
    while offset < size or under_way:
        while offset < size and len(under_way) < WINDOW:
            file.seek(offset)
            data = file.read(SEGMENT)
            record = link.send(
                "put_segment", SEGMENT_TIMEOUT_S, transaction=transaction, offset=offset, data=data
            )
            offset += len(data)
            under_way.append((offset, record))
        end, record = under_way.pop(0)
        await link.settled(record)
        if record.state != "completed":
            for _, other in under_way:
                await link.settled(other)
            raise _Stalled(record.reason)
        watch.see(end)
        progress(end, size)


async def get(payload: Payload, remote: str, local: Path, progress: Progress) -> dict[str, Any]:
    """Fetch a file into `local`, by way of a temporary file beside it; resumes one broken off.

    A truncated or altered file is never given the name `local`. Raises TransferFailed.
    """
    download = _Download(FileLink(payload), remote, local, progress)
    return await download.run()


class _Download:
    """One downlink: what has arrived, and what is asked for again."""

    def __init__(self, link: FileLink, remote: str, local: Path, progress: Progress) -> None:
        self._link, self._remote, self._local, self._progress = link, remote, local, progress
        self._part = beside(local, ".part")
        self._note = beside(local, ".part.json")
        self._ranges = Ranges()
        self._size = self._crc32 = 0
        self._watch = _Watch(f"get {remote}")
        self._transaction = (link.payload.numbers.cursor & 0x7FFFFFFF) or 1
        self._cursor = 0
        self._noted = 0

    async def run(self) -> dict[str, Any]:
        """From the first request to the renamed file."""
        start = self._resumable()
        await self._begin(start)
        with self._part.open("r+b" if self._ranges.contiguous else "w+b") as file:
            while self._ranges.holes(self._size):
                if await self._receive(file):
                    continue
                await self._ask_again()
            file.truncate(self._size)
            file.flush()
            os.fsync(file.fileno())
        await self._link.ask("get_end", transaction=self._transaction)
        await asyncio.to_thread(self._finish)
        return {"local": str(self._local), "size": self._size, "crc32": self._crc32}

    def _resumable(self) -> int:
        """How many octets of an earlier attempt are here; what they must belong to is noted."""
        try:
            note = json_value(self._note.read_bytes())
            if note["remote"] != self._remote or not self._part.exists():
                return 0
            self._size, self._crc32 = int(note["size"]), int(note["crc32"])
            self._ranges.add(0, min(int(note["contiguous"]), self._part.stat().st_size))
        except (OSError, ValueError, KeyError, TypeError):
            return 0
        return self._ranges.contiguous

    async def _begin(self, offset: int) -> None:
        """Open the transaction at `offset`; starts over when the file is another one by now."""
        self._cursor = self._link.payload.numbers.cursor - 1
        begun = await self._link.ask(
            "get_begin", transaction=self._transaction, path=self._remote, offset=offset
        )
        while not (begun.is_settled and (begun.result or _is_refused(begun))):
            self._watch.see(self._ranges.total, begun.reason)
            begun = await self._link.ask(
                "get_begin", transaction=self._transaction, path=self._remote, offset=offset
            )
        if begun.state != "completed" or not begun.result:
            raise TransferFailed(f"get {self._remote}: {begun.reason or 'no answer'}")
        size, crc32 = int(begun.result["size"]), int(begun.result["crc32"])
        is_other = bool(self._ranges.total) and (size, crc32) != (self._size, self._crc32)
        self._size, self._crc32 = size, crc32
        if is_other:
            self._ranges = Ranges()
            if offset:
                await self._begin(0)
        self._progress(self._ranges.total, self._size)

    async def _receive(self, file: BinaryIO) -> bool:
        """Take segments that came; False when none came for a while."""
        payload, name = self._link.payload, f"{self._link.name}.segment"
        await payload.changed.wait_for(
            lambda: payload.has_report_after(name, self._cursor), STALL_S
        )
        new = 0
        for cursor, row in payload.reports_after(name, self._cursor):
            self._cursor = cursor
            if row["transaction"] != self._transaction:
                continue
            offset, data = int(row["offset"]), row["data"]
            if offset + len(data) > self._size:
                continue
            file.seek(offset)
            file.write(data)
            new += self._ranges.add(offset, offset + len(data))
        if new:
            self._watch.see(self._ranges.total)
            if self._ranges.contiguous - self._noted >= NOTE_EVERY:
                self._keep_note(file)
            self._progress(self._ranges.total, self._size)
        return bool(new)

    def _keep_note(self, file: BinaryIO) -> None:
        """Say how much of the temporary file can be trusted, for a later attempt."""
        file.flush()
        self._noted = self._ranges.contiguous
        note = {
            "remote": self._remote,
            "size": self._size,
            "crc32": self._crc32,
            "contiguous": self._noted,
        }
        self._note.write_text(json.dumps(note))

    async def _ask_again(self) -> None:
        """Ask for what is missing; a payload that forgot the transaction is asked to begin it."""
        self._watch.see(self._ranges.total, "the payload sends no segment")
        for first, end in self._ranges.holes(self._size)[:WINDOW]:
            record = await self._link.ask(
                "get_more", transaction=self._transaction, offset=first, length=end - first
            )
            if _is_refused(record):
                await self._begin(self._ranges.contiguous)
                return

    def _finish(self) -> None:
        with self._part.open("rb") as file:
            found = 0
            while chunk := file.read(1 << 20):
                found = zlib.crc32(chunk, found)
        self._note.unlink(missing_ok=True)
        if found != self._crc32:
            self._part.unlink()
            raise TransferFailed(
                f"get {self._remote}: what arrived has CRC {found:08x}, the payload says "
                f"{self._crc32:08x}; it was thrown away, get it again"
            )
        self._part.replace(self._local)


async def listing(payload: Payload, path: str) -> list[dict[str, Any]]:
    """The entries of a folder of the file store."""
    link = FileLink(payload)
    name = f"{link.name}.entry"
    cursor = payload.numbers.cursor - 1
    record = await link.ask("list", path=path)
    if record.state != "completed":
        raise TransferFailed(f"list {path or '/'}: {record.reason}")
    counted = next(iter(record.result.values())) if record.result else None
    wanted = 1 if counted is None else int(counted)

    def is_complete() -> bool:
        return len(payload.reports_after(name, cursor)) >= wanted

    await payload.changed.wait_for(is_complete, 0.5 if counted is None else STALL_S)
    return [row for _, row in payload.reports_after(name, cursor)]


def _digest(path: Path) -> tuple[int, int]:
    size = crc32 = 0
    with opened(path) as file:
        while chunk := file.read(1 << 20):
            size += len(chunk)
            crc32 = zlib.crc32(chunk, crc32)
    return size, crc32
