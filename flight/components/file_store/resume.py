"""Finds the transfers that a restart interrupted, and sweeps away what belongs to none."""

from __future__ import annotations

from functools import partial

from flight.components.file_store.instructions import (
    Announce,
    Instructions,
    Submit,
    entries_of,
    failure_of,
)
from flight.components.file_store.put import Put
from flight.components.file_store.puts import MOST_OPEN, Puts
from flight.framework.ports import StorageResult
from flight.storage import file_names

RETRY_NS = 1_000_000_000
LARGEST_RECORD = 32768


class Resume:
    """Reads the records under the incoming folder into `uplinks`, again and again until it can."""

    def __init__(self, uplinks: Puts) -> None:
        self.is_done = False
        self.retry_at: int | None = None
        self._uplinks = uplinks
        self._unread = 0
        self._now = 0
        self._is_told = False

    def start(self, now: int) -> Instructions:
        """Make the folders and look at what is there."""
        self._now, self.retry_at = now, None
        return [
            Submit("make_dir", {"path": file_names.ROOT}, _ignore),
            Submit("make_dir", {"path": file_names.INCOMING}, _ignore),
            Submit("list", {"path": file_names.INCOMING}, self._listed),
        ]

    def _listed(self, result: StorageResult) -> Instructions:
        entries = entries_of(result)
        if entries is None:
            self.retry_at = self._now + RETRY_NS
            if self._is_told:
                return []
            self._is_told = True
            return [Announce("storage_unusable", (failure_of(result)[0],))]
        sizes = {name: size for name, _, size in entries}
        records = [name for name in sizes if name.endswith(".json")][:MOST_OPEN]
        parts = {f"{name[:-5]}.part": name for name in records}
        orphans = sizes.keys() - parts.keys() - set(records)
        self._unread = len(records)
        reads: Instructions = [
            Submit(
                "read",
                {"path": f"{file_names.INCOMING}/{name}", "offset": 0, "length": LARGEST_RECORD},
                partial(self._read, name, sizes.get(part)),
            )
            for part, name in parts.items()
        ]
        return [_remove(name) for name in sorted(orphans)] + reads + self._end_if_read()

    def _read(self, name: str, part_size: int | None, result: StorageResult) -> Instructions:
        self._unread -= 1
        instructions: Instructions = []
        data = result.value if result.ok and isinstance(result.value, bytes) else b""
        try:
            put = Put.from_record(data, part_size)
            if f"{put.transaction}.json" != name:
                raise ValueError("it describes another transfer")
        except ValueError:
            instructions = [Announce("record_damaged", (name,)), _remove(name)]
        else:
            self._uplinks.resume(put, self._now)
        return instructions + self._end_if_read()

    def _end_if_read(self) -> Instructions:
        if self._unread:
            return []
        self.is_done = True
        count = len(self._uplinks.puts)
        return [Announce("transfers_resumed", (count,))] if count else []


def _remove(name: str) -> Submit:
    return Submit("remove", {"path": f"{file_names.INCOMING}/{name}"}, _ignore)


def _ignore(_result: StorageResult) -> Instructions:
    return []
