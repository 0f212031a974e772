"""Group commit: one batch of file changes, each distinct file and directory made durable once.

Whole-file writes are drafted in the staging folder, made durable, then renamed into place, so a
reader and a power-off see the old content or the new. Of several drafts for one place only the
last one reaches the disk. Answers are final when ``finish`` returns.
"""

from __future__ import annotations

import errno
import itertools
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from flight.storage.worker.disk import Disk
from flight.storage.worker.paths import Place, Root

FileId = tuple[int, int]
_NUMBERS = itertools.count(1)
"""Of drafts: a batch may be served amid another one."""


@dataclass
class Answer:
    """What a request gets back; ``error`` is an errno name such as ENOSPC."""

    request_id: int
    epoch: int
    value: Any = None
    error: str = ""
    text: str = ""

    def fail(self, error: OSError) -> None:
        """Turn the answer into a failure; the first failure stands."""
        if not self.error:
            self.error = errno.errorcode.get(error.errno or errno.EIO, "EIO")
            self.text = error.strerror or str(error)
            self.value = None

    def body(self) -> dict[str, Any]:
        """The body of the ``done`` message."""
        return {
            "id": self.request_id,
            "ok": not self.error,
            "error": self.error,
            "text": self.text[:400],
            "value": self.value,
        }


@dataclass
class Draft:
    """A new file in the staging folder, and where it goes."""

    fd: int
    name: str
    place: Place
    answers: list[Answer]


@dataclass
class _Dirty:
    fd: int
    answers: list[Answer] = field(default_factory=list)


class Batch:
    """The changes of one group commit."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._drafts: dict[tuple[FileId, str], Draft] = {}
        self._files: dict[FileId, _Dirty] = {}
        self._directories: dict[FileId, _Dirty] = {}

    def draft(self, place: Place, answer: Answer, fill: Callable[[int], Any]) -> None:
        """Let ``fill`` write a new file that will replace ``place``. Raises OSError, nothing kept.

        ``fill`` gets the descriptor of the empty file; what it returns is the answer's value.
        """
        name = f"{next(_NUMBERS)}.new"
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL
        fd = self._disk.open_file(name, flags, place.root.staging)
        draft = Draft(fd, name, _kept(place), [answer])
        try:
            answer.value = fill(fd)
        except BaseException:
            self._drop(draft)
            raise
        key = (_file_id(place.parent), place.name)
        superseded = self._drafts.pop(key, None)
        if superseded is not None:
            draft.answers = superseded.answers + draft.answers
            self._drop(superseded)
        self._drafts[key] = draft

    def publish(self) -> None:
        """Make every draft durable and rename it into place, in the order they were asked for."""
        drafts, self._drafts = self._drafts, {}
        for draft in drafts.values():
            try:
                if draft.place.root.is_durable:
                    self._disk.fsync(draft.fd)
                place = draft.place
                self._disk.rename(draft.name, place.root.staging, place.name, place.parent)
            except OSError as error:
                for answer in draft.answers:
                    answer.fail(error)
                self._drop(draft)
                continue
            for answer in draft.answers:
                self.changed_directory(place.root, place.parent, answer)
            self._close(draft)

    def changed_file(self, root: Root, fd: int, answer: Answer) -> None:
        """Note that an open file was changed in place; the descriptor is copied."""
        self._note(self._files, root, fd, answer)

    def changed_directory(self, root: Root, fd: int, answer: Answer) -> None:
        """Note that names in an open directory were changed; the descriptor is copied."""
        self._note(self._directories, root, fd, answer)

    def finish(self) -> None:
        """Publish the drafts and make everything noted durable; failures go to the answers."""
        self.publish()
        for table in (self._files, self._directories):
            for dirty in table.values():
                try:
                    self._disk.fsync(dirty.fd)
                except OSError as error:
                    for answer in dirty.answers:
                        answer.fail(error)
                os.close(dirty.fd)
            table.clear()

    def _note(self, table: dict[FileId, _Dirty], root: Root, fd: int, answer: Answer) -> None:
        if not root.is_durable:
            return
        identity = _file_id(fd)
        if identity not in table:
            table[identity] = _Dirty(os.dup(fd))
        table[identity].answers.append(answer)

    def _drop(self, draft: Draft) -> None:
        self._close(draft)
        with suppress(OSError):  # what stays is cleared when storage starts again
            self._disk.unlink(draft.name, draft.place.root.staging)

    def _close(self, draft: Draft) -> None:
        os.close(draft.fd)
        os.close(draft.place.parent)


def _kept(place: Place) -> Place:
    return place._replace(parent=os.dup(place.parent))


def _file_id(fd: int) -> FileId:
    status = os.fstat(fd)
    return status.st_dev, status.st_ino
