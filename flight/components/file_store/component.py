"""The file store: files up in segments of any order, files down at the pace of the link."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Annotated, Any

from flight.components.file_store.checkups import Checkup, announcements, checkup_of
from flight.components.file_store.dictionary import (
    Digest,
    FileStoreEvents,
    FileStoreHousekeeping,
    FileStoreParameters,
    Free,
    Offset,
    Path,
    Transaction,
)
from flight.components.file_store.gets import GetBegun, Gets
from flight.components.file_store.instructions import (
    BUSY,
    Announce,
    Answer,
    Instruction,
    Instructions,
    Refuse,
    Submit,
    digest_of,
    is_count,
    refuse,
)
from flight.components.file_store.listing import Listed, Listing
from flight.components.file_store.puts import Puts, PutStatus
from flight.components.file_store.resume import Resume
from flight.framework.component import Component, Pending, Port, Refused, command
from flight.framework.ports import Storage, StorageResult
from flight.framework.time_units import SECOND
from flight.storage import file_names
from icd.fields import U32, U64, FileName, Segment, Text128, Unit

LIST_TIMEOUT_S = 30.0
MOST_LISTINGS = 4
MOST_PARKED = 64
POLL_NS = 10_000_000
SLOWEST_POLL_NS = 500_000_000


class FileStore(Component[FileStoreHousekeeping, FileStoreParameters], FileStoreEvents):
    """Keeps files, takes them from ground and sends them there, resumably and checked."""

    def __init__(self, port: Port, storage: Storage) -> None:
        super().__init__(port)
        self._storage = storage
        self._uplinks = Puts()
        self._downlinks = Gets()
        self._loader = Resume(self._uplinks)
        self._listings: deque[Listing] = deque()
        self._parked: deque[Callable[[], None]] = deque()
        self._poll_ns = POLL_NS

    # -- telecommands: up

    @command(1, timeout_s=30.0)
    def put_begin(
        self,
        transaction: Transaction,
        path: Path,
        size: Annotated[U64, "octets in the file", Unit("B")],
        crc32: Annotated[U32, "CRC-32 of the whole file"],
    ) -> Pending[None]:
        """Open a transfer for a file, or go on with it when the same one is open already."""
        return self._ask(
            lambda asker, now: self._uplinks.begin(asker, now, transaction, path, size, crc32)
        )

    @command(2)
    def put_segment(self, transaction: Transaction, offset: Offset, data: Segment) -> Pending[None]:
        """Take some octets of the file; completed once they are durable."""
        return self._ask(
            lambda asker, now: self._uplinks.segment(asker, now, transaction, offset, data)
        )

    @command(3, timeout_s=30.0)
    def put_status(self, transaction: Transaction) -> Pending[PutStatus]:
        """Tell how far a transfer is, and the first part that is missing."""
        return self._ask(lambda asker, now: self._uplinks.status(asker, now, transaction))

    @command(4, timeout_s=120.0)
    def put_end(self, transaction: Transaction) -> Pending[None]:
        """Check size and CRC-32 of the file, then put it in its place in one step."""
        return self._ask(lambda asker, now: self._uplinks.end(asker, now, transaction))

    @command(5)
    def put_abort(self, transaction: Transaction) -> Pending[None]:
        """Forget a transfer and what came of it."""
        return self._ask(lambda asker, _now: self._uplinks.abort(asker, transaction))

    # -- telecommands: down

    @command(6, timeout_s=120.0)
    def get_begin(self, transaction: Transaction, path: Path, offset: Offset) -> Pending[GetBegun]:
        """Send a file, from an offset on, to the station that asks: reports named segment."""

        def begin(asker: Pending[Any], now: int) -> Instructions:
            return self._downlinks.begin(asker, asker.source, now, transaction, path, offset)

        return self._ask(begin)

    @command(7)
    def get_more(
        self,
        transaction: Transaction,
        offset: Offset,
        length: Annotated[U64, "octets to send", Unit("B")],
    ) -> Pending[None]:
        """Send a part of the file again."""

        def more(asker: Pending[Any], now: int) -> Instructions:
            self._downlinks.more(asker.source, now, transaction, offset, length)
            return [Answer(asker)]

        return self._ask(more)

    @command(8)
    def get_end(self, transaction: Transaction) -> Pending[None]:
        """Stop sending a file: it has come, or is no longer wanted."""

        def end(asker: Pending[Any], _now: int) -> Instructions:
            self._downlinks.end(asker.source, transaction)
            return [Answer(asker)]

        return self._ask(end)

    # -- telecommands: the store

    @command(9, timeout_s=LIST_TIMEOUT_S)
    def list(
        self, path: Annotated[Text128, "folder; empty: the whole store", FileName()]
    ) -> Pending[Listed]:
        """Report every entry of a folder to the station that asks: reports named entry."""

        def begin(asker: Pending[Any], now: int) -> Instructions:
            file_names.folder_path(path)
            if len(self._listings) >= MOST_LISTINGS:
                raise Refused(f"{MOST_LISTINGS} folders are being listed; send it again")
            until = now + int(LIST_TIMEOUT_S * SECOND)
            self._listings.append(Listing(asker, asker.source, path, until))
            return []

        return self._ask(begin)

    @command(10, critical=True)
    def delete(self, path: Path) -> Pending[None]:
        """Delete one file for good."""
        return self._ask(partial(self._remove, "remove", path))

    @command(11, timeout_s=120.0)
    def digest(self, path: Path) -> Pending[Digest]:
        """Tell the size and the CRC-32 of a file."""

        def look(asker: Pending[Any], _now: int) -> Instructions:
            def answer(result: StorageResult) -> Instructions:
                found = digest_of(result)
                return [Answer(asker, Digest(*found)) if found else refuse(asker, result)]

            return [Submit("digest", {"path": file_names.file_path(path)}, answer)]

        return self._ask(look)

    @command(12)
    def free(self) -> Pending[Free]:
        """Tell how much room there is for files."""

        def look(asker: Pending[Any], _now: int) -> Instructions:
            def answer(result: StorageResult) -> Instructions:
                known = result.ok and is_count(result.value)
                return [Answer(asker, Free(result.value)) if known else refuse(asker, result)]

            return [Submit("free", {"path": file_names.ROOT}, answer)]

        return self._ask(look)

    @command(13, timeout_s=60.0, critical=True)
    def delete_folder(self, path: Path) -> Pending[None]:
        """Delete a folder and everything in it for good."""
        return self._ask(partial(self._remove, "remove_tree", path))

    @command(14, timeout_s=120.0)
    def verify(self, path: Path) -> Pending[Checkup]:
        """Look at every octet of a file and of its sidecar, changing nothing."""
        return self._ask(partial(self._check, path, {"deep": True, "dry": True}))

    @command(15, timeout_s=120.0)
    def repair(self, path: Path) -> Pending[Checkup]:
        """Look at every octet of a file, and write it anew if that makes it right."""
        return self._ask(partial(self._check, path, {"deep": True}))

    # -- stepping

    def start(self, now: int) -> None:
        """Look for the transfers that a restart interrupted."""
        self.parameters_changed()
        self._obey(self._loader.start(now))

    def parameters_changed(self) -> None:
        """Take over what the pure half needs to know."""
        self._uplinks.save_every = self.parameters.save_every

    def run(self, now: int) -> int | None:
        """Send what can be sent, let go of what is idle. On-board ns in, next due time out."""
        idle_ns = self.parameters.idle_s * SECOND
        if self._loader.retry_at is not None and now >= self._loader.retry_at:
            self._obey(self._loader.start(now))
        self._obey(self._uplinks.tick(now, idle_ns))
        self._obey(self._downlinks.expire(now, idle_ns))
        poll = self._send(now)
        dues = (
            poll,
            self._loader.retry_at,
            self._uplinks.next_due(idle_ns),
            self._downlinks.next_due(idle_ns),
        )
        return min((due for due in dues if due is not None), default=None)

    def _send(self, now: int) -> int | None:
        """Move files and listings on; when to try again, if the link or storage had no room."""
        if not self._downlinks.gets and not self._listings:
            return None
        before = self.hk.segments_sent
        is_held = self._send_listings(now)
        for get in self._downlinks.gets.values():
            while get.ready and self._has_room(get.station):
                offset, data = get.ready[0]
                if not self.segment(get.transaction, offset, data, station=get.station):  # type: ignore[call-arg]
                    break
                get.ready.popleft()
                get.active_ns = now
                self.hk.segments_sent += 1
                self.hk.octets_sent += len(data)
        self._obey(self._downlinks.read_ahead(self.parameters.read_ahead))
        for get in self._downlinks.gets.values():
            is_held |= bool(get.ready) or (bool(get.wanted) and not get.reading)
        is_moving = self.hk.segments_sent != before
        self._poll_ns = POLL_NS if is_moving else min(2 * self._poll_ns, SLOWEST_POLL_NS)
        return now + self._poll_ns if is_held else None

    def _send_listings(self, now: int) -> bool:
        for listing in tuple(self._listings):
            while listing.rows and self._has_room(listing.station):
                if not self.entry(*listing.rows[0], station=listing.station):  # type: ignore[call-arg]
                    break
                listing.rows.popleft()
            self._obey(listing.more())
            if listing.is_over or now >= listing.until:
                self._listings.remove(listing)
        return any(listing.rows for listing in self._listings)

    def _has_room(self, station: int) -> bool:
        return self.port.telemetry.bulk_room(station) > 0

    # -- between telecommands, the pure half and storage

    def _ask(self, stimulus: Callable[[Pending[Any], int], Instructions]) -> Pending[Any]:
        """Carry a telecommand out, once the table of transfers is known."""
        pending = self.defer()
        work = partial(self._carry_out, pending, stimulus)
        if self._loader.is_done:
            work()
        elif len(self._parked) < MOST_PARKED:
            self._parked.append(work)
        else:
            self.hk.refused += 1
            pending.fail("the table of transfers is still being read; send it again")
        return pending

    def _carry_out(
        self, pending: Pending[Any], stimulus: Callable[[Pending[Any], int], Instructions]
    ) -> None:
        try:
            instructions = stimulus(pending, self.port.clock())
        except Refused as refused:
            instructions = [Refuse(pending, refused.reason, refused.code)]
        self._obey(instructions)
        self.port.wake()

    def _obey(self, instructions: Iterable[Instruction]) -> None:
        todo = deque(instructions)
        while todo:
            match todo.popleft():
                case Submit() as submit:
                    if not self._submit(submit):
                        todo.extend(submit.then(BUSY))
                case Answer(asker, result):
                    asker.complete(result)
                case Refuse(asker, reason, code):
                    self.hk.refused += 1
                    asker.fail(reason, code)
                case Announce(name, arguments):
                    getattr(self, name)(*arguments)
        self._count()

    def _submit(self, submit: Submit) -> bool:
        def answered(result: StorageResult) -> None:
            if not result.ok and result.error != submit.tolerates:
                self.hk.storage_failures += 1
            self._obey(submit.then(result))
            while self._parked and self._loader.is_done:
                self._parked.popleft()()
            self._send(self.port.clock())
            self.port.wake()

        taken = self._storage.submit(submit.operation, answered, **submit.arguments)
        if not taken:
            self.hk.storage_failures += 1
        return taken

    def looked_at(self, path: str, result: StorageResult) -> None:
        """Storage looked at a file, for whomever: tell ground of damage."""
        self.port.post_answer(lambda: self._obey(announcements(path, result)))

    def _check(
        self, path: str, how: Mapping[str, Any], asker: Pending[Any], _now: int
    ) -> Instructions:
        def answer(result: StorageResult) -> Instructions:
            found = checkup_of(result)
            return [Answer(asker, found) if found else refuse(asker, result)]

        return [Submit("mend", {"path": file_names.file_path(path), **how}, answer)]

    def _remove(self, operation: str, path: str, asker: Pending[Any], _now: int) -> Instructions:
        target = file_names.file_path(path)

        def answer(result: StorageResult) -> Instructions:
            if not result.ok:
                return [refuse(asker, result)]
            return [Answer(asker), Announce("deleted", (path,))]

        def bare(_: StorageResult) -> Instructions:
            return [Submit(operation, {"path": target}, answer)]

        if operation != "remove":
            return bare(BUSY)
        # The sidecar first: one without its file would be seen by nobody.
        return [Submit("remove", {"path": file_names.sidecar(target)}, bare, "ENOENT")]

    def _count(self) -> None:
        hk, up = self.hk, self._uplinks
        hk.open_puts, hk.open_gets = len(up.puts), len(self._downlinks.gets)
        hk.files_received, hk.segments_received = up.files, up.segments
        hk.segments_repeated, hk.octets_received = up.repeated, up.octets
        hk.mismatches, hk.expired = up.mismatches, up.expired
