"""Golden copies: files whose content a region holds, read piece by piece and with suspicion.

A path is `state/…` or `run/…` as everywhere on board, or absolute below one of the two folders. A
container (`flight.edac.container`) gives its content, corrected; any other file gives itself.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

PIECE = 1 << 20
LARGEST = 1 << 40


class GoldenError(Exception):
    """A golden copy cannot be read; the message says why."""


class GoldenFiles:
    """Opens golden copies below the payload's folders, following no link."""

    def __init__(self, state_dir: Path, run_dir: Path) -> None:
        self._roots = {"state": state_dir.absolute(), "run": run_dir.absolute()}

    def open(self, path: str) -> Golden:
        """Raises GoldenError."""
        try:
            root, parts = self._split(path)
            file = _open_below(root, parts)
        except OSError as error:
            raise GoldenError(f"{path}: {error.strerror or error}") from None
        return Golden(file, path)

    def _split(self, path: str) -> tuple[Path, list[str]]:
        wanted = Path(path)
        first, *parts = wanted.parts or ("",)
        for name, root in self._roots.items():
            if wanted.is_absolute() and wanted.is_relative_to(root):
                return self._checked(path, root, list(wanted.relative_to(root).parts))
            if first == name:
                return self._checked(path, root, parts)
        raise GoldenError(f"{path!r} is not below state/ or run/")

    def _checked(self, path: str, root: Path, parts: list[str]) -> tuple[Path, list[str]]:
        if not parts or ".." in parts or "\0" in path:
            raise GoldenError(f"{path!r} names no file below state/ or run/")
        return root, parts


class Golden:
    """One open golden copy."""

    def __init__(self, file: BinaryIO, path: str) -> None:
        from flight.edac.container import Reader
        from flight.edac.header import NotAContainer

        self._file = file
        self._path = path
        try:
            self._reader: Reader | None = Reader(file)
            self.length = self._reader.header.length
        except NotAContainer:
            self._reader = None
            self.length = os.fstat(file.fileno()).st_size
        except ValueError as error:
            file.close()
            raise GoldenError(f"{path}: {error}") from None

    def pieces(self) -> Iterator[bytes]:
        """The whole content in order. Raises GoldenError."""
        left = self.length
        for piece in self._raw() if self._reader is None else self._contained():
            yield piece[:left]
            left -= len(piece[:left])
        if left:
            raise GoldenError(f"{self._path}: {left} octets are missing")

    def read(self, first: int, last: int, on_progress: Callable[[], None]) -> bytes:
        """The octets from `first` up to `last`. Raises GoldenError."""
        if self._reader is None:
            self._file.seek(first)
            found = self._file.read(last - first)
        else:
            found, at = b"", 0
            for piece in self.pieces():
                found += piece[max(0, first - at) : max(0, last - at)]
                at += len(piece)
                on_progress()
                if at >= last:
                    break
        if len(found) != last - first:
            raise GoldenError(f"{self._path}: it ends before octet {last}")
        return found

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _raw(self) -> Iterator[bytes]:
        self._file.seek(0)
        while piece := self._file.read(PIECE):
            yield piece

    def _contained(self) -> Iterator[bytes]:
        assert self._reader is not None
        for segment in self._reader.segments():
            yield segment.tobytes()
        if not self._reader.report.is_recoverable or self._reader.report.is_mixed:
            raise GoldenError(f"{self._path}: {self._reader.report.sentences()[0]}")


def _open_below(root: Path, parts: list[str]) -> BinaryIO:
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        for part in parts[:-1]:
            below = os.open(part, flags | os.O_DIRECTORY, dir_fd=fd)
            os.close(fd)
            fd = below
        file = os.fdopen(os.open(parts[-1], flags, dir_fd=fd), "rb")
    finally:
        os.close(fd)
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(0, "it is no regular file")
    return file
