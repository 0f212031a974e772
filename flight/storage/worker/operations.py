"""The storage worker's operations: what each request does to files."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import zlib
from collections.abc import Callable, Mapping
from typing import Any

from flight.storage.worker.disk import Disk
from flight.storage.worker.group_commit import Answer, Batch
from flight.storage.worker.paths import STAGING, Jail, Place
from flight.storage.worker.protection import Protection

MAX_READ = 32768
MAX_LISTING = 40_000
CHUNK = 1 << 20
MAX_OFFSET = 1 << 40
MAX_DEPTH = 32

Body = Mapping[str, Any]


class Operations:
    """Performs requests inside one batch; ``on_progress`` is called during long ones."""

    def __init__(self, jail: Jail, disk: Disk, on_progress: Callable[[], None]) -> None:
        self._jail = jail
        self._disk = disk
        self._on_progress = on_progress
        self._protection = Protection(jail, disk, on_progress)
        self._table: dict[str, Callable[[Batch, Answer, Body], Any]] = {
            "read": self._read,
            "write": self._write,
            "write_at": self._write_at,
            "append": self._append,
            "truncate": self._truncate,
            "sync": self._sync,
            "copy": self._copy,
            "digest": self._digest,
            "rename": self._rename,
            "remove": self._remove,
            "remove_tree": self._remove_tree,
            "list": self._list,
            "make_dir": self._make_dir,
            "free": self._free,
            "protect": self._protection.protect,
            "mend": self._protection.mend,
        }

    def close(self) -> None:
        """End what was started."""
        self._protection.close()

    def perform(self, batch: Batch, operation: str, body: Body, answer: Answer) -> None:
        """Do one request; what goes wrong goes into the answer."""
        act = self._table.get(operation)
        try:
            if act is None:
                known = ", ".join(self._table)
                raise OSError(errno.ENOSYS, f"no operation {operation!r}; there are {known}")
            if operation != "write":
                batch.publish()  # everything but another draft sees the drafts before it
            value = act(batch, answer, body)
        except OSError as error:
            answer.fail(error)
        else:
            answer.value = value if answer.value is None else answer.value

    def _read(self, _: Batch, __: Answer, body: Body) -> bytes:
        offset, length = _number(body, "offset", 0), _number(body, "length", MAX_READ)
        if length > MAX_READ:
            raise OSError(errno.EINVAL, f"read at most {MAX_READ} octets at once")
        with self._jail.place(body.get("path")) as place, self._open(place) as file:
            return os.pread(file.fd, length, offset)

    def _write(self, batch: Batch, answer: Answer, body: Body) -> None:
        data = _data(body)

        def fill(fd: int) -> None:
            self._disk.write(fd, data, 0)

        with self._jail.place(body.get("path")) as place:
            batch.draft(_leaf(place), answer, fill)

    def _write_at(self, batch: Batch, answer: Answer, body: Body) -> int:
        data, offset = _data(body), _number(body, "offset")
        with self._jail.place(body.get("path")) as place:
            return self._put(batch, answer, place, data, offset)

    def _append(self, batch: Batch, answer: Answer, body: Body) -> int:
        data = _data(body)
        with self._jail.place(body.get("path")) as place:
            return self._put(batch, answer, place, data, None)

    def _put(
        self, batch: Batch, answer: Answer, place: Place, data: bytes, offset: int | None
    ) -> int:
        """Write in place; the size is as before when it fails. Returns the new size."""
        with self._open_or_make(batch, answer, place) as file:
            start = file.size if offset is None else offset
            try:
                self._disk.write(file.fd, data, start)
            except OSError:
                self._disk.truncate(file.fd, file.size)
                raise
            batch.changed_file(place.root, file.fd, answer)
            return max(file.size, start + len(data))

    def _truncate(self, batch: Batch, answer: Answer, body: Body) -> None:
        size = _number(body, "size")
        with (
            self._jail.place(body.get("path")) as place,
            self._open_or_make(batch, answer, place) as file,
        ):
            self._disk.truncate(file.fd, size)
            batch.changed_file(place.root, file.fd, answer)

    def _sync(self, batch: Batch, answer: Answer, body: Body) -> None:
        with self._jail.place(body.get("path")) as place, self._open(place) as file:
            batch.changed_file(place.root, file.fd, answer)

    def _copy(self, batch: Batch, answer: Answer, body: Body) -> None:
        with (
            self._jail.place(body.get("source")) as source,
            self._jail.place(_destination(body)) as place,
            self._open(source) as file,
        ):

            def fill(fd: int) -> dict[str, int]:
                if body.get("form") == "commit":
                    return self._protection.copy_commit(file.fd, fd)
                size = crc = 0
                while chunk := os.pread(file.fd, CHUNK, size):
                    self._disk.write(fd, chunk, size)
                    size, crc = size + len(chunk), zlib.crc32(chunk, crc)
                    self._on_progress()
                return {"size": size, "crc32": crc}

            batch.draft(_leaf(place), answer, fill)

    def _digest(self, _: Batch, __: Answer, body: Body) -> dict[str, Any]:
        size = crc = 0
        sha256 = hashlib.sha256()
        with self._jail.place(body.get("path")) as place, self._open(place) as file:
            while chunk := os.pread(file.fd, CHUNK, size):
                size, crc = size + len(chunk), zlib.crc32(chunk, crc)
                sha256.update(chunk)
                self._on_progress()
        return {"size": size, "crc32": crc, "sha256": sha256.digest()}

    def _rename(self, batch: Batch, answer: Answer, body: Body) -> None:
        source_path = body.get("source", body.get("path"))
        with (
            self._jail.place(source_path) as source,
            self._jail.place(_destination(body)) as place,
        ):
            _leaf(source)
            self._disk.rename(source.name, source.parent, _leaf(place).name, place.parent)
            for changed in (source, place):
                batch.changed_directory(changed.root, changed.parent, answer)

    def _remove(self, batch: Batch, answer: Answer, body: Body) -> None:
        with self._jail.place(body.get("path")) as place:
            self._disk.unlink(_leaf(place).name, place.parent)
            batch.changed_directory(place.root, place.parent, answer)

    def _remove_tree(self, batch: Batch, answer: Answer, body: Body) -> None:
        with self._jail.place(body.get("path")) as place:
            self._clear(_leaf(place).name, place.parent, MAX_DEPTH)
            batch.changed_directory(place.root, place.parent, answer)

    def _clear(self, name: str, parent: int, depth: int) -> None:
        if depth == 0:
            raise OSError(errno.ELOOP, f"more than {MAX_DEPTH} folders deep")
        fd = self._disk.open_directory(name, parent)
        try:
            with os.scandir(fd) as entries:
                found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
            for below, is_directory in found:
                if is_directory:
                    self._clear(below, fd, depth - 1)
                else:
                    self._disk.unlink(below, fd)
                self._on_progress()
        finally:
            os.close(fd)
        self._disk.remove_directory(name, parent)

    def _list(self, _: Batch, __: Answer, body: Body) -> list[list[Any]]:
        """Names in order from ``offset`` on, as many as fit one message."""
        with self._jail.place(body.get("path")) as place:
            fd = self._disk.open_directory(place.name, place.parent)
            try:
                names = sorted(os.listdir(fd))  # noqa: PTH208 - an open directory, not a path
                if place.name == ".":
                    names.remove(STAGING)
                return _listing(fd, names[_number(body, "offset", 0) :])
            finally:
                os.close(fd)

    def _make_dir(self, batch: Batch, answer: Answer, body: Body) -> None:
        """Make a folder and those above it; fine when they are there."""
        path = body.get("path")
        parts = path.split("/") if isinstance(path, str) else []
        for count in range(2, len(parts) + 1):
            with self._jail.place("/".join(parts[:count])) as place:
                self._disk.make_directory(place.name, place.parent)
                batch.changed_directory(place.root, place.parent, answer)

    def _free(self, _: Batch, __: Answer, body: Body) -> int:
        with self._jail.place(body.get("path")) as place:
            status = os.fstatvfs(place.parent)
        return status.f_bavail * status.f_frsize

    def _open(self, place: Place) -> OpenFile:
        return OpenFile(self._disk.open_file(_leaf(place).name, os.O_RDONLY, place.parent))

    def _open_or_make(self, batch: Batch, answer: Answer, place: Place) -> OpenFile:
        name = _leaf(place).name
        try:
            return OpenFile(self._disk.open_file(name, os.O_RDWR, place.parent))
        except FileNotFoundError:
            fd = self._disk.open_file(name, os.O_RDWR | os.O_CREAT, place.parent)
            batch.changed_directory(place.root, place.parent, answer)
            return OpenFile(fd)


class OpenFile:
    """An open regular file and its size; closed by ``with``. Raises OSError for anything else."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        status = os.fstat(fd)
        self.size = status.st_size
        if not stat.S_ISREG(status.st_mode):
            os.close(fd)
            raise OSError(errno.EINVAL, "not a regular file")

    def __enter__(self) -> OpenFile:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.fd)


def _listing(fd: int, names: list[str]) -> list[list[Any]]:
    rows: list[list[Any]] = []
    room = MAX_LISTING
    for name in names:
        try:
            status = os.stat(name, dir_fd=fd, follow_symlinks=False)
        except FileNotFoundError:
            continue
        room -= len(os.fsencode(name)) + 16
        if room < 0:
            break
        shown = os.fsencode(name).decode(errors="replace")  # a name need not be text
        rows.append([shown, stat.S_ISDIR(status.st_mode), status.st_size])
    return rows


def _leaf(place: Place) -> Place:
    if place.name == ".":
        raise PermissionError(errno.EPERM, "name a file below state/ or run/, not the root itself")
    return place


def _destination(body: Body) -> object:
    """The destination may be called ``path``, as the place of every other request is."""
    return body.get("destination", body.get("path"))


def _number(body: Body, key: str, default: int | None = None) -> int:
    value = body.get(key, default)
    if type(value) is not int or not 0 <= value <= MAX_OFFSET:
        raise OSError(errno.EINVAL, f"{key} must be a number from 0 to {MAX_OFFSET}, not {value!r}")
    return value


def _data(body: Body) -> bytes:
    value = body.get("data")
    if not isinstance(value, bytes):
        raise OSError(errno.EINVAL, "data must be octets")
    return value
