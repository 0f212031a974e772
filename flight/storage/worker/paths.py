"""Paths of storage requests, jailed under the state and run directories.

A request names ``state/…`` or ``run/…``. Each part is opened below the one before it without
following links, so neither ``..`` nor a symbolic link that a job left behind leads outside.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from flight.storage.worker.disk import Disk

STAGING = ".staging"


class Root(NamedTuple):
    """An open root directory; what is under a volatile one is not made durable."""

    fd: int
    staging: int
    is_durable: bool


class Place(NamedTuple):
    """A file or directory named by a request: its open parent and its name there."""

    root: Root
    parent: int
    name: str


class Jail:
    """The roots that a request can reach."""

    def __init__(self, disk: Disk, state_dir: str, run_dir: str) -> None:
        self._disk = disk
        self._roots = {
            "state": self._open(state_dir, is_durable=True),
            "run": self._open(run_dir, is_durable=False),
        }

    def close(self) -> None:
        """Close the roots."""
        for root in self._roots.values():
            os.close(root.staging)
            os.close(root.fd)

    @contextmanager
    def place(self, path: object) -> Iterator[Place]:
        """Resolve a path up to its last part. Raises OSError: EPERM for one that leaves the jail.

        The root itself is its own place, with the name ".".
        """
        root, parts = self._split(path)
        fd = os.dup(root.fd)
        try:
            for part in parts[:-1]:
                below = self._disk.open_directory(part, fd)
                os.close(fd)
                fd = below
            yield Place(root, fd, parts[-1] if parts else ".")
        finally:
            os.close(fd)

    def _split(self, path: object) -> tuple[Root, list[str]]:
        if not isinstance(path, str) or "\0" in path:
            raise PermissionError(errno.EPERM, "a path is text such as state/files/orbit.dat")
        first, *parts = path.split("/")
        root = self._roots.get(first)
        if root is None or any(part in ("", ".", "..") for part in parts) or STAGING in parts[:1]:
            raise PermissionError(
                errno.EPERM, f"path {path!r} must be state/… or run/… without '.' or '..' parts"
            )
        return root, parts

    def _open(self, path: str, *, is_durable: bool) -> Root:
        fd = self._disk.open_root(path)
        self._disk.make_directory(STAGING, fd)
        staging = self._disk.open_directory(STAGING, fd)
        # What a predecessor left half written was never promised to anybody.
        for name in os.listdir(staging):  # noqa: PTH208 - an open directory, not a path
            self._disk.unlink(name, staging)
        return Root(fd, staging, is_durable)
