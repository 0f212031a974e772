"""Folders being listed, each to one station, a page at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import partial
from itertools import islice

from flight.components.file_store import stimuli as s
from flight.components.file_store.dictionary import Listed
from flight.components.file_store.outbox import Outbox
from flight.components.file_store.storage_answers import entries_of
from flight.framework.ports import Refused, StorageResult
from flight.framework.time_units import SECOND
from flight.storage import file_names

MOST_OPEN = 4
TIMEOUT_S = 30.0
"""Of the telecommand: nobody waits for a listing any longer."""


@dataclass(eq=False)
class Listing:
    """The entries still to be sent, and how far the folder has been read."""

    asker: int
    station: int
    folder: str
    until: int
    """On-board time after which nobody waits for it."""
    rows: deque[s.Entry] = field(default_factory=deque)
    read: int = 0
    left_out: int = 0
    sidecars: int = 0
    """What protects a file is no file of its own to ground."""
    is_reading: bool = False

    def take(self, page: list[tuple[str, bool, int]]) -> None:
        """Add a page of name, whether a folder, and size."""
        self.read += len(page)
        for name, is_folder, size in page:
            if name.endswith(file_names.SIDECAR) and not is_folder:
                self.sidecars += 1
                continue
            path = f"{self.folder}/{name}" if self.folder else name
            if len(path.encode(errors="replace")) > file_names.LONGEST:
                self.left_out += 1
            else:
                self.rows.append(s.Entry(path, 0 if is_folder else size, is_folder))


class Listings:
    """The folders being listed, by asker."""

    def __init__(self, outbox: Outbox) -> None:
        self.listings: dict[int, Listing] = {}
        self._outbox = outbox

    @property
    def is_held(self) -> bool:
        """Whether entries wait for room in the link."""
        return any(listing.rows for listing in self.listings.values())

    def stations(self) -> Collection[int]:
        """The stations that entries wait to be sent to."""
        return {listing.station for listing in self.listings.values() if listing.rows}

    def begin(self, asked: s.List) -> None:
        """List a folder; raises Refused."""
        file_names.folder_path(asked.folder)
        if len(self.listings) >= MOST_OPEN:
            raise Refused(f"{MOST_OPEN} folders are being listed; send it again")
        until = self._outbox.now + int(TIMEOUT_S * SECOND)
        self.listings[asked.asker] = Listing(asked.asker, asked.station, asked.folder, until)

    def serve(self, room: dict[int, int]) -> None:
        """Send what `room` (reports by station, which it is taken from) allows, and read on."""
        for listing in tuple(self.listings.values()):
            self._send(listing, room)
            self._read_on(listing)
            if self._outbox.now >= listing.until:
                self._end(listing)

    def _send(self, listing: Listing, room: dict[int, int]) -> None:
        count = min(len(listing.rows), room.get(listing.station, 0))
        if count > 0:
            room[listing.station] -= count
            entries = tuple(islice(listing.rows, count))
            self._outbox.out.append(s.SendEntries(listing.asker, listing.station, entries))

    def _end(self, listing: Listing) -> None:
        """Its telecommand was timed out: let go of it, with what storage may still answer."""
        del self.listings[listing.asker]
        if not listing.is_reading:
            self._outbox.out.append(s.Forget(listing.asker))

    def sent(self, sent: s.EntriesSent) -> None:
        """The link took the first entries of those it was given."""
        listing = self.listings.get(sent.asker)
        if listing is not None:
            for _ in range(min(sent.count, len(listing.rows))):
                listing.rows.popleft()
            self._read_on(listing)

    def _read_on(self, listing: Listing) -> None:
        """Read the next page once the last one was sent."""
        if listing.rows or listing.is_reading:
            return
        listing.is_reading = True
        path = file_names.folder_path(listing.folder)
        then = partial(self._was_read, listing)
        self._outbox.submit("list", then, path=path, offset=listing.read)

    def _was_read(self, listing: Listing, result: StorageResult) -> None:
        listing.is_reading = False
        page = entries_of(result)
        if page and listing.asker in self.listings:
            listing.take(page)
        elif page:
            self._outbox.out.append(s.Forget(listing.asker))
        else:
            self.listings.pop(listing.asker, None)
            self._answer(listing, result)

    def _answer(self, listing: Listing, last: StorageResult) -> None:
        """Answer the telecommand: the last page was empty, or storage failed."""
        if entries_of(last) is None:
            self._outbox.fail(listing.asker, last)
        else:
            entries = listing.read - listing.left_out - listing.sidecars
            self._outbox.answer(listing.asker, Listed(entries, listing.left_out))
