"""Storage in memory: the operations of the storage worker, faults and delays on request."""

from __future__ import annotations

import hashlib
import zlib
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from flight.framework.ports import StorageResult

MAX_READ = 32768
SIDECAR = ".edac"
PAGE = 256
Done = Callable[[StorageResult], None]


class _Failure(Exception):
    """An operation failed with that errno name."""


class _Request(NamedTuple):
    due: int
    operation: str
    arguments: dict[str, Any]
    done: Done


class SimulatedStorage:
    """Takes requests as the storage worker does, and answers them when stepped, in order.

    Set `capacity` (octets) for a disk that fills up, `delay_ns` for one that is slow,
    `is_hung` for one that does not answer, and put errno names into `faults` (by operation) for
    one that fails.
    """

    def __init__(self, capacity: int = 1 << 40, depth: int = 256) -> None:
        self.capacity = capacity
        self.depth = depth
        self.delay_ns = 0
        self.is_hung = False
        self.faults: dict[str, str] = {}
        self.requests: list[str] = []
        """Every operation ever taken, for tests to look at."""
        self.files: dict[str, bytearray] = {}
        self.links: set[str] = set()
        """Which of the files are symbolic links, which nothing here follows."""
        self.folders: set[str] = {"state", "run"}
        self.now = 0
        self._queue: deque[_Request] = deque()
        self._wake: Callable[[], None] = lambda: None

    def on_work(self, wake: Callable[[], None]) -> None:
        """Call `wake` whenever a request is taken, so that whoever steps this knows."""
        self._wake = wake

    def submit(self, operation: str, done: Done, **arguments: Any) -> bool:
        """Take a request; False when the queue is full, and `done` is not called."""
        if len(self._queue) >= self.depth:
            return False
        self.requests.append(operation)
        self._queue.append(_Request(self.now + self.delay_ns, operation, arguments, done))
        self._wake()
        return True

    def run(self, now: int) -> int | None:
        """Carry out and answer what is due. On-board ns in, next due time out."""
        self.now = now
        while self._queue and not self.is_hung and self._queue[0].due <= now:
            request = self._queue.popleft()
            request.done(self.perform(request.operation, **request.arguments))
        return self._queue[0].due if self._queue and not self.is_hung else None

    def settle(self) -> None:
        """Answer everything, also what the answers lead to, at the present time."""
        while self._queue and not self.is_hung:
            self.run(max(self.now, self._queue[0].due))

    def lose(self) -> None:
        """The worker is replaced: what waits is answered as never carried out."""
        lost, self._queue = self._queue, deque()
        for request in lost:
            request.done(StorageResult(False, error="TIMEOUT", text="no answer in time"))

    def perform(self, operation: str, **arguments: Any) -> StorageResult:
        """Carry out one operation now."""
        act = getattr(self, f"_do_{operation}", None)
        try:
            if act is None:
                raise _Failure("ENOSYS")
            if operation in self.faults:
                raise _Failure(self.faults[operation])
            return StorageResult(True, act(**arguments))
        except _Failure as failure:
            return StorageResult(False, error=str(failure), text=operation)

    @property
    def used(self) -> int:
        """Octets in files."""
        return sum(map(len, self.files.values()))

    def _do_read(self, path: str, offset: int = 0, length: int = MAX_READ) -> bytes:
        if length > MAX_READ:
            raise _Failure("EINVAL")
        return bytes(self._file(path)[offset : offset + length])

    def _do_write(self, path: str, data: bytes) -> None:
        self._in_folder(path)
        self._need(len(data))  # the new file lies beside the old one until it is renamed
        self.files[path] = bytearray(data)

    def _do_write_at(self, path: str, offset: int, data: bytes) -> int:
        self._in_folder(path)
        old = self.files.get(path, b"")
        self._need(max(0, offset + len(data) - len(old)))
        file = self.files.setdefault(path, bytearray())
        file.extend(bytes(max(0, offset - len(file))))
        file[offset : offset + len(data)] = data
        return len(file)

    def _do_append(self, path: str, data: bytes) -> int:
        return self._do_write_at(path, len(self.files.get(path, b"")), data)

    def _do_truncate(self, path: str, size: int) -> None:
        self._in_folder(path)
        file = self.files.setdefault(path, bytearray())
        self._need(max(0, size - len(file)))
        file.extend(bytes(max(0, size - len(file))))
        del file[size:]

    def _do_sync(self, path: str) -> None:
        self._file(path)

    def _do_copy(self, source: str, path: str, form: str = "") -> dict[str, int]:
        data = bytes(self._file(source))
        self._do_write(path, data)
        return {"size": len(data), "seal" if form == "commit" else "crc32": zlib.crc32(data)}

    def _do_protect(self, path: str) -> dict[str, Any]:
        digest = self._do_digest(path)
        self._do_write(path + SIDECAR, b"SIDE" + bytes(self._file(path)))
        return digest

    def _do_mend(
        self,
        path: str,
        form: str = "",
        deep: bool = False,  # noqa: ARG002 - all of it is compared anyway
        dry: bool = False,
    ) -> dict[str, Any]:
        """A sidecar here is a copy that mends anything; one that is damaged mends nothing."""
        if path.endswith(SIDECAR):
            raise _Failure("EPERM")
        told: dict[str, Any] = dict.fromkeys(
            ("blocks", "corrected", "rechecked", "bits", "lost", "first_lost"), 0
        )
        told |= {"is_sound": True, "is_repaired": False, "is_recoverable": True, "text": ""}
        data, beside = self._file(path), self.files.get(path + SIDECAR)
        told["is_protected"] = beside is not None
        if beside is not None and data != beside[4:]:
            is_lost = beside[:4] != b"SIDE"
            told |= {"is_sound": False, "is_recoverable": not is_lost, "blocks": 1}
            told |= {"lost": 1} if is_lost else {"corrected": 1, "bits": 1}
            if not is_lost and not dry:
                self.files[path] = bytearray(beside[4:])
                told["is_repaired"] = True
        digest = self._do_digest(path)
        return told | digest | ({"seal": digest["crc32"]} if form == "commit" else {})

    def _do_digest(self, path: str) -> dict[str, Any]:
        data = bytes(self._file(path))
        return {
            "size": len(data),
            "crc32": zlib.crc32(data),
            "sha256": hashlib.sha256(data).digest(),
        }

    def _do_rename(self, source: str, destination: str) -> None:
        data = self._file(source)
        self._in_folder(destination)
        self.files[destination] = data
        del self.files[source]

    def _do_remove(self, path: str) -> None:
        if path in self.folders:
            raise _Failure("EISDIR")
        self._file(path)
        del self.files[path]

    def _do_remove_tree(self, path: str) -> None:
        if path not in self.folders:
            raise _Failure("ENOTDIR" if path in self.files else "ENOENT")
        below = f"{path}/"
        self.files = {n: d for n, d in self.files.items() if not n.startswith(below)}
        self.folders = {n for n in self.folders if n != path and not n.startswith(below)}

    def _do_list(self, path: str, offset: int = 0) -> list[list[Any]]:
        if path not in self.folders:
            raise _Failure("ENOTDIR" if path in self.files else "ENOENT")
        below = f"{path}/"
        rows: list[list[Any]] = [
            [name.removeprefix(below), False, len(data)]
            for name, data in self.files.items()
            if name.rpartition("/")[0] == path
        ]
        rows += [
            [name.removeprefix(below), True, 0]
            for name in self.folders
            if name.rpartition("/")[0] == path
        ]
        return sorted(rows)[offset : offset + PAGE]

    def _do_make_dir(self, path: str) -> None:
        parts = path.split("/")
        for count in range(1, len(parts) + 1):
            folder = "/".join(parts[:count])
            if folder in self.files:
                raise _Failure("ENOTDIR")
            self.folders.add(folder)

    def _do_free(self, path: str) -> int:  # noqa: ARG002 - one disk
        return max(0, self.capacity - self.used)

    def _file(self, path: str) -> bytearray:
        if path in self.folders:
            raise _Failure("EINVAL")
        if path in self.links:
            raise _Failure("ELOOP")
        try:
            return self.files[path]
        except KeyError:
            raise _Failure("ENOENT") from None

    def _in_folder(self, path: str) -> None:
        folder = path.rpartition("/")[0]
        if path in self.folders:
            raise _Failure("EISDIR")
        if folder not in self.folders:
            raise _Failure("ENOTDIR" if folder in self.files else "ENOENT")

    def _need(self, octets: int) -> None:
        if self.used + octets > self.capacity:
            raise _Failure("ENOSPC")
