"""One folder being listed to one station, a page at a time."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Annotated, Any, NamedTuple

from flight.components.file_store.instructions import (
    Answer,
    Instructions,
    Submit,
    entries_of,
    refuse,
)
from flight.framework.ports import StorageResult
from flight.storage import file_names
from icd.fields import U32


@dataclass(frozen=True)
class Listed:
    """How much a folder holds."""

    entries: Annotated[U32, "entries sent"]
    left_out: Annotated[U32, "entries whose path is too long to be named"]


class Entry(NamedTuple):
    """One file or folder, by its path in the file store."""

    path: str
    size: int
    is_folder: bool


@dataclass(eq=False)
class Listing:
    """The entries still to be sent, and how far the folder has been read."""

    asker: Any
    station: int
    folder: str
    until: int
    """On-board time after which nobody waits for it."""
    rows: deque[Entry] = field(default_factory=deque)
    read: int = 0
    left_out: int = 0
    sidecars: int = 0
    """What protects a file is no file of its own to ground."""
    is_reading: bool = False
    is_over: bool = False

    def more(self) -> Instructions:
        """Read the next page once the last one was sent."""
        if self.rows or self.is_reading or self.is_over:
            return []
        self.is_reading = True
        arguments = {"path": file_names.folder_path(self.folder), "offset": self.read}
        return [Submit("list", arguments, self._listed)]

    def _listed(self, result: StorageResult) -> Instructions:
        self.is_reading = False
        page = entries_of(result)
        if page is None:
            self.is_over = True
            return [refuse(self.asker, result)]
        if not page:
            self.is_over = True
            return [
                Answer(self.asker, Listed(self.read - self.left_out - self.sidecars, self.left_out))
            ]
        self.read += len(page)
        for name, is_folder, size in page:
            if name.endswith(file_names.SIDECAR) and not is_folder:
                self.sidecars += 1
                continue
            path = f"{self.folder}/{name}" if self.folder else name
            if len(path.encode(errors="replace")) > file_names.LONGEST:
                self.left_out += 1
            else:
                self.rows.append(Entry(path, 0 if is_folder else size, is_folder))
        return []
