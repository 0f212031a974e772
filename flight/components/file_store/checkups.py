"""What storage found when it looked at a file, and who is told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from flight.components.file_store.instructions import Announce, Instructions, is_count
from flight.framework.ports import Storage, StorageResult
from flight.storage.file_names import ROOT
from icd.fields import U32, U64, Flag

Found = Callable[[str, StorageResult], object]


@dataclass(frozen=True)
class Checkup:
    """What a look at every octet of a file found."""

    protected: Annotated[Flag, "there is a sidecar to check it by"]
    blocks: Annotated[U32, "blocks looked at"]
    corrected: Annotated[U32, "blocks with wrong content that can be, or was, corrected"]
    rechecked: Annotated[U32, "blocks of which only check symbols or hashes were wrong"]
    bits: Annotated[U64, "wrong bits in these blocks"]
    lost: Annotated[U32, "blocks that cannot be corrected"]
    first_lost: Annotated[U32, "number of the first of them"]
    repaired: Annotated[Flag, "the file was written anew, all of it right"]


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


def announcements(path: str, result: StorageResult) -> Instructions:
    """The events for what was found in a file, by its storage path."""
    found = checkup_of(result)
    if found is None:
        return []
    name = path.removeprefix(f"{ROOT}/")
    if lost := lost_of(result):
        return [Announce("file_damaged", (name, found.lost, found.first_lost, lost))]
    if found.repaired:
        blocks = found.corrected + found.rechecked
        return [Announce("file_repaired", (name, blocks, found.bits))]
    return []
