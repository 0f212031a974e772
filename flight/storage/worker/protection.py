"""The storage worker's operations that keep files right: protect, mend, and copies of commits.

A file that is as it was is known by its SHA-256 (files with a sidecar) or its CRC-32 (commits),
which the standard library tells. Only what was hit, and what is to be protected, is given to the
protector, open and in a process of its own.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from flight.commits import record as commit_record
from flight.commits.record import TAIL_OCTETS
from flight.edac import sidecar
from flight.edac.header import END_OCTETS, ContainerError
from flight.storage.worker.disk import Disk
from flight.storage.worker.group_commit import Answer, Batch
from flight.storage.worker.paths import Jail, Place
from flight.storage.worker.protector_client import Protector

CHUNK = 1 << 20
Body = Mapping[str, Any]
_FOUND = {
    "is_sound": True, "is_repaired": False, "is_recoverable": True, "blocks": 0, "corrected": 0,
    "rechecked": 0, "bits": 0, "lost": 0, "first_lost": 0, "text": "",
}  # fmt: skip
"""What `mend` says of a file that it had no reason to look at block by block."""


class Protection:
    """Operations over files and what protects them; ``on_progress`` is called during long ones."""

    def __init__(self, jail: Jail, disk: Disk, on_progress: Callable[[], None]) -> None:
        self._jail = jail
        self._disk = disk
        self._on_progress = on_progress
        self._protector = Protector(on_progress)

    def close(self) -> None:
        """End what was started."""
        self._protector.close()

    def protect(self, batch: Batch, answer: Answer, body: Body) -> None:
        """Write the sidecar of a file; the value is size, CRC-32 and SHA-256 of the file."""
        with self._jail.place(body.get("path")) as place, self._open(place) as file:

            def fill(fd: int) -> dict[str, Any]:
                digest = self._protector.ask("protect", file, fd)
                _insist_on_same(place, file)
                return digest

            batch.draft(_beside(place), answer, fill)

    def mend(self, batch: Batch, _: Answer, body: Body) -> dict[str, Any]:
        """Look at a file and set it right where it is wrong.

        `form` is "commit" for a commit of a job. With `deep` every block is looked at, also where
        the checksum is right; with `dry` nothing is written. The value says whether there is
        anything to check it by (`is_protected`), what was found (`_FOUND`), and what the file is
        now: `size`, `crc32`, and `sha256` or the `seal` of a commit. What is lost is said so, and
        is no failure.
        """
        is_deep, is_dry = body.get("deep") is True, body.get("dry") is True
        look = self._look_at_commit if body.get("form") == "commit" else self._look_at_file
        with self._jail.place(body.get("path")) as place, self._open(place) as file:
            return _FOUND | look(batch, place, file, is_deep, is_dry)

    def copy_commit(self, source: int, target: int) -> dict[str, int]:
        """Copy a commit out of its slot; its `seal` is 0 when it changed meanwhile."""
        head = os.pread(source, END_OCTETS, 0)
        size = crc32 = 0
        while chunk := os.pread(source, CHUNK, size):
            self._disk.write(target, chunk, size)
            crc32, size = zlib.crc32(chunk, crc32), size + len(chunk)
            self._on_progress()
        tail = os.pread(source, TAIL_OCTETS, max(0, size - TAIL_OCTETS))
        record = commit_record.find(head, tail)
        # The job blanks the records before it writes anew: who still sees them saw one commit.
        is_steady = os.pread(source, END_OCTETS, 0) == head
        if record is None or record.size != size:
            return {"size": size, "seal": crc32 if is_steady else 0}
        self._disk.write(target, commit_record.trailer(self._crc32(target, size - 4)), size - 4)
        return {"size": size, "seal": commit_record.seal_of(record) if is_steady else 0}

    def _look_at_file(
        self, batch: Batch, place: Place, file: int, is_deep: bool, is_dry: bool
    ) -> dict[str, Any]:
        digest = self._digest(file)
        beside = _beside(place)
        try:
            opened = self._disk.open_file(beside.name, os.O_RDONLY, beside.parent)
        except FileNotFoundError:
            return digest | {"is_protected": False, "text": "it has no sidecar"}
        with _closing(opened) as side:
            try:
                record = sidecar.find(*_ends(side, END_OCTETS))
            except ContainerError as error:
                return digest | {"is_protected": False, "text": f"its sidecar is {error}"}
            if record.is_of(digest["size"], digest["sha256"]) and not is_deep:
                return digest | {"is_protected": True}
            told = digest | self._protector.ask("examine", file, side) | {"is_protected": True}
            if told["is_sound"] or not told["is_recoverable"] or is_dry:
                return told
            return told | self._mend_file(batch, place, file, side)

    def _mend_file(self, batch: Batch, place: Place, file: int, side: int) -> dict[str, Any]:
        done = Answer(0, 0)

        def fill(out: int) -> dict[str, Any]:
            def fill_beside(new_side: int) -> dict[str, Any]:
                told = self._protector.ask("mend", file, side, out, new_side)
                _insist_on_same(place, file)
                return told

            batch.draft(_beside(place), done, fill_beside)
            return dict(done.value)

        batch.draft(place, done, fill)
        return _publish(batch, done)

    def _look_at_commit(
        self, batch: Batch, place: Place, file: int, is_deep: bool, is_dry: bool
    ) -> dict[str, Any]:
        size = os.fstat(file).st_size
        record = commit_record.find(*_ends(file, TAIL_OCTETS))
        crc32 = self._crc32(file, size)
        if record is None:  # one of an earlier version has a checksum, which its job compares
            return {"is_protected": False, "size": size, "crc32": crc32, "seal": crc32}
        seal = commit_record.seal_of(record)
        told = {"is_protected": True, "size": size, "crc32": crc32, "seal": seal}
        is_right = os.pread(file, 4, size - 4) == commit_record.trailer(self._crc32(file, size - 4))
        if is_right and not is_deep:
            return told
        try:
            told |= self._protector.ask("examine_commit", file)
        except OSError as error:
            if error.errno != errno.EBADMSG:
                raise
            return told | {"is_sound": False, "is_recoverable": False, "text": error.strerror}
        if (told["is_sound"] and is_right) or not told["is_recoverable"] or is_dry:
            return told
        done = Answer(0, 0)

        def fill(out: int) -> dict[str, Any]:
            mended = self._protector.ask("mend_commit", file, out)
            _insist_on_same(place, file)
            return mended

        batch.draft(place, done, fill)
        return told | _publish(batch, done)

    def _digest(self, file: int) -> dict[str, Any]:
        size, crc32, sha256 = 0, 0, hashlib.sha256()
        while chunk := os.pread(file, CHUNK, size):
            size, crc32 = size + len(chunk), zlib.crc32(chunk, crc32)
            sha256.update(chunk)
            self._on_progress()
        return {"size": size, "crc32": crc32, "sha256": sha256.digest()}

    def _crc32(self, file: int, end: int) -> int:
        crc32 = at = 0
        while at < end and (chunk := os.pread(file, min(CHUNK, end - at), at)):
            crc32, at = zlib.crc32(chunk, crc32), at + len(chunk)
            self._on_progress()
        return crc32

    @contextmanager
    def _open(self, place: Place) -> Iterator[int]:
        if place.name == "." or place.name.endswith(sidecar.SUFFIX):
            raise PermissionError(errno.EPERM, "name a protected file, not a sidecar or a folder")
        with _closing(self._disk.open_file(place.name, os.O_RDONLY, place.parent)) as file:
            if not stat.S_ISREG(os.fstat(file).st_mode):
                raise OSError(errno.EINVAL, "not a regular file")
            yield file


@contextmanager
def _closing(fd: int) -> Iterator[int]:
    try:
        yield fd
    finally:
        os.close(fd)


def _beside(place: Place) -> Place:
    return place._replace(name=place.name + sidecar.SUFFIX)


def _ends(fd: int, tail: int) -> tuple[bytes, bytes]:
    size = os.fstat(fd).st_size
    return os.pread(fd, END_OCTETS, 0), os.pread(fd, tail, max(0, size - tail))


def _insist_on_same(place: Place, file: int) -> None:
    """The name still means the open file: short requests are served amid long ones."""
    now, then = os.stat(place.name, dir_fd=place.parent, follow_symlinks=False), os.fstat(file)
    if (now.st_dev, now.st_ino) != (then.st_dev, then.st_ino):
        raise OSError(errno.ESTALE, "the file was replaced meanwhile; ask again")


def _publish(batch: Batch, done: Answer) -> dict[str, Any]:
    """Put what was drafted in its place. Raises OSError when it could not be."""
    batch.publish()
    if done.error:
        raise OSError(getattr(errno, done.error, errno.EIO), done.text)
    return dict(done.value) | {"is_repaired": True}
