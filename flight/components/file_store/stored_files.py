"""What ground asks about files that are in their place, and what it has done to them."""

from __future__ import annotations

from functools import partial

from flight.components.file_store import stimuli as s
from flight.components.file_store.checkups import checkup_of
from flight.components.file_store.dictionary import Digest, FileStoreEvents, Free
from flight.components.file_store.outbox import Outbox
from flight.components.file_store.storage_answers import digest_of, is_count
from flight.framework.ports import StorageResult
from flight.storage import file_names


class StoredFiles:
    """Requests that storage answers at once; nothing is kept between them."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox

    def digest(self, asked: s.Digest) -> None:
        """Answer with size and CRC-32; raises Refused."""
        path = file_names.file_path(asked.path)
        self._outbox.submit("digest", partial(self._digested, asked.asker), path=path)

    def _digested(self, asker: int, result: StorageResult) -> None:
        if found := digest_of(result):
            self._outbox.answer(asker, Digest(*found))
        else:
            self._outbox.fail(asker, result)

    def free(self, asked: s.Free) -> None:
        """Answer with the octets that are free."""
        self._outbox.submit("free", partial(self._measured, asked.asker), path=file_names.ROOT)

    def _measured(self, asker: int, result: StorageResult) -> None:
        if result.ok and is_count(result.value):
            self._outbox.answer(asker, Free(result.value))
        else:
            self._outbox.fail(asker, result)

    def verify(self, asked: s.Verify) -> None:
        """Look at every octet, changing nothing; raises Refused."""
        path, then = file_names.file_path(asked.path), partial(self._looked, asked.asker)
        self._outbox.submit("mend", then, path=path, deep=True, dry=True)

    def repair(self, asked: s.Repair) -> None:
        """Look at every octet, and have the file written anew where that helps; raises Refused."""
        path, then = file_names.file_path(asked.path), partial(self._looked, asked.asker)
        self._outbox.submit("mend", then, path=path, deep=True)

    def _looked(self, asker: int, result: StorageResult) -> None:
        if found := checkup_of(result):
            self._outbox.answer(asker, found)
        else:
            self._outbox.fail(asker, result)

    def delete(self, asked: s.Delete) -> None:
        """Remove a file and its sidecar; raises Refused.

        The sidecar goes first: one without its file would be seen by nobody.
        """
        path = file_names.file_path(asked.path)
        then = partial(self._remove, "remove", asked.asker, asked.path)
        self._outbox.submit("remove", then, "ENOENT", path=file_names.sidecar(path))

    def delete_folder(self, asked: s.DeleteFolder) -> None:
        """Remove a folder and everything in it; raises Refused."""
        self._remove("remove_tree", asked.asker, asked.path)

    def _remove(
        self, operation: str, asker: int, path: str, _sidecar: StorageResult | None = None
    ) -> None:
        then = partial(self._removed, asker, path)
        self._outbox.submit(operation, then, path=file_names.file_path(path))

    def _removed(self, asker: int, path: str, result: StorageResult) -> None:
        if result.ok:
            self._outbox.answer(asker)
            self._outbox.tell(FileStoreEvents.deleted, path)
        else:
            self._outbox.fail(asker, result)
