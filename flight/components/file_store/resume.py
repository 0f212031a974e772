"""Finds the transfers that a restart interrupted, and sweeps away what belongs to none."""

from __future__ import annotations

from functools import partial

from flight.components.file_store.dictionary import FileStoreEvents
from flight.components.file_store.outbox import Outbox
from flight.components.file_store.put import Put
from flight.components.file_store.puts import MOST_OPEN, Puts
from flight.components.file_store.storage_answers import entries_of, failure_of
from flight.framework.ports import StorageResult
from flight.framework.time_units import SECOND
from flight.storage import file_names

RETRY = SECOND
LARGEST_RECORD = 32768
MOST_TRIES = 30
"""A record that storage cannot give by then is left where it is, for the next start."""


class Resume:
    """Reads the records under the incoming folder into `puts`, again and again until it can."""

    def __init__(self, outbox: Outbox, puts: Puts) -> None:
        self.is_done = False
        self.retry_at: int | None = None
        self._outbox = outbox
        self._puts = puts
        self._unread = 0
        self._now = 0
        self._is_told = False
        self._tries = 0
        self._refused: StorageResult | None = None
        """What storage said last of a record that it could not give."""

    def start(self) -> None:
        """Make the folders and look at what is there."""
        self._now, self.retry_at = self._outbox.now, None
        self._outbox.submit("make_dir", _ignore, path=file_names.ROOT)
        self._outbox.submit("make_dir", _ignore, path=file_names.INCOMING)
        self._outbox.submit("list", self._listed, path=file_names.INCOMING)

    def tick(self) -> None:
        """Look again, if it is time to."""
        if self.retry_at is not None and self._outbox.now >= self.retry_at:
            self.start()

    def _listed(self, result: StorageResult) -> None:
        entries = entries_of(result)
        if entries is None:
            self._try_again(result)
            return
        sizes = {name: size for name, _, size in entries}
        records = [name for name in sizes if name.endswith(".json")][:MOST_OPEN]
        parts = {f"{name[:-5]}.part": name for name in records}
        for orphan in sorted(sizes.keys() - parts.keys() - set(records)):
            self._remove(orphan)
        self._unread = len(records)
        self._refused = None
        for part, name in parts.items():
            self._read(name, sizes.get(part))
        self._end_if_read()

    def _try_again(self, result: StorageResult) -> None:
        self.retry_at = self._now + RETRY
        if not self._is_told:
            self._is_told = True
            self._outbox.tell(FileStoreEvents.storage_unusable, failure_of(result)[0])

    def _read(self, name: str, part_size: int | None) -> None:
        then = partial(self._was_read, name, part_size)
        path = f"{file_names.INCOMING}/{name}"
        self._outbox.submit("read", then, path=path, offset=0, length=LARGEST_RECORD)

    def _was_read(self, name: str, part_size: int | None, result: StorageResult) -> None:
        self._unread -= 1
        if result.ok or result.error == "ENOENT":
            self._judge(name, part_size, result)
        elif self._tries < MOST_TRIES:  # a storage worker that is busy or restarted says nothing
            self._refused = result  # of the record
        else:
            self._outbox.tell(FileStoreEvents.record_damaged, name)
        self._end_if_read()

    def _judge(self, name: str, part_size: int | None, result: StorageResult) -> None:
        data = result.value if result.ok and isinstance(result.value, bytes) else b""
        try:
            put = Put.from_record(data, part_size)
            if f"{put.transaction}.json" != name:
                raise ValueError("it describes another transfer")
        except ValueError:
            self._outbox.tell(FileStoreEvents.record_damaged, name)
            self._remove(name)
        else:
            self._puts.resume(put, self._now)

    def _end_if_read(self) -> None:
        if self._unread:
            return
        if self._refused is not None:
            self._tries += 1
            self._try_again(self._refused)
            return
        self.is_done = True
        if count := len(self._puts.puts):
            self._outbox.tell(FileStoreEvents.transfers_resumed, count)

    def _remove(self, name: str) -> None:
        self._outbox.submit("remove", _ignore, path=f"{file_names.INCOMING}/{name}")


def _ignore(_result: StorageResult) -> None:
    """Nothing follows."""
