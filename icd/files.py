"""Files that a person names: opened only if they are files, and written under names that fit."""

from __future__ import annotations

import errno
import os
import stat
import zlib
from pathlib import Path
from typing import BinaryIO

LONGEST_NAME = 255
"""Octets of a name, on every file system that Linux keeps files on."""


def opened(path: Path) -> BinaryIO:
    """A regular file, open for reading. Raises OSError, at once also for a pipe or a device:
    opening those may wait for ever."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    raise OSError(errno.EINVAL, "is no regular file, but a folder, pipe or device", str(path))


def beside(path: Path, suffix: str) -> Path:
    """The place of a file that belongs to `path`: its name with a suffix, or where that would be
    too long a short one that is always the same."""
    name = path.name + suffix
    if len(os.fsencode(name)) > LONGEST_NAME:
        name = f".{zlib.crc32(os.fsencode(path.name)):08x}{suffix}"
    return path.with_name(name)
