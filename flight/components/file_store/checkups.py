"""What storage found when it looked at a file, and who is told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from flight.components.file_store.dictionary import Checkup, FileStoreEvents
from flight.components.file_store.storage_answers import is_count
from flight.framework.lifecycle import Teller
from flight.framework.ports import Storage, StorageResult
from flight.storage.file_names import ROOT

Found = Callable[[str, StorageResult], object]


class WatchedStorage:
    """Storage that tells `found` of every file that was looked at, whoever asked for it."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self.found: Found = lambda _path, _result: None

    def submit(
        self, operation: str, done: Callable[[StorageResult], None], **arguments: Any
    ) -> bool:
        """Ask for one operation; see `flight.framework.ports.Storage`."""
        if operation != "mend":
            return self._storage.submit(operation, done, **arguments)

        def seen(result: StorageResult) -> None:
            self.found(str(arguments.get("path")), result)
            done(result)

        return self._storage.submit(operation, seen, **arguments)


def checkup_of(result: StorageResult) -> Checkup | None:
    """The value of a mend; None when it is none."""
    value = result.value
    if not result.ok or not isinstance(value, Mapping):
        return None
    names = ("blocks", "corrected", "rechecked", "bits", "lost", "first_lost")
    if not all(is_count(value.get(name)) for name in names):
        return None
    counts = {name: min(value[name], (1 << 32) - 1) for name in names}
    is_protected, is_repaired = value.get("is_protected") is True, value.get("is_repaired") is True
    return Checkup(protected=is_protected, repaired=is_repaired, **counts)


def lost_of(result: StorageResult) -> str:
    """What is lost of a file; empty: nothing."""
    value = result.value
    if not result.ok or not isinstance(value, Mapping) or value.get("is_recoverable") is not False:
        return ""
    text = value.get("text")
    lost, blocks = value.get("lost"), value.get("blocks")
    if is_count(lost) and lost:
        return f"{lost} of its {blocks} blocks cannot be corrected"
    return f"it cannot be corrected: {text}"


def tell_damage(tell: Teller, path: str, result: StorageResult) -> None:
    """Tell ground what was wrong with a file, by its storage path; a sound one is not told."""
    found = checkup_of(result)
    if found is None:
        return
    name = path.removeprefix(f"{ROOT}/")
    if lost := lost_of(result):
        tell(FileStoreEvents.file_damaged, name, found.lost, found.first_lost, lost)
    elif found.repaired:
        blocks = found.corrected + found.rechecked
        tell(FileStoreEvents.file_repaired, name, blocks, found.bits)
