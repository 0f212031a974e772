"""Kernel files below a root: read, write, find; only our errors are raised."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

from hal.errors import BoardError, DriverFault, NotPermitted, TimedOut, Unsupported, WrongRequest

PAGE = 4096
"""What one read of a sysfs file can hold."""

_LARGE = 1 << 18
_DIGITS = re.compile(r"(\d+)")
_WHOLE = re.compile(r"[+-]?[0-9]{1,20}")


class Vanished(DriverFault):
    """The file is not there; where it was found before, the kernel took it away."""


_KINDS: dict[int, type[BoardError]] = {
    errno.ENOENT: Vanished,
    errno.ENOTDIR: Vanished,
    errno.EACCES: NotPermitted,
    errno.EPERM: NotPermitted,
    errno.EROFS: NotPermitted,
    errno.EAGAIN: Unsupported,  # a thermal zone whose block is switched off
    errno.ENODATA: Unsupported,  # a channel that is disabled
    errno.ENXIO: Unsupported,
    errno.ENODEV: Unsupported,
    errno.EOPNOTSUPP: Unsupported,
    errno.EINVAL: WrongRequest,
    errno.ERANGE: WrongRequest,
    errno.EBUSY: WrongRequest,
    errno.ETIMEDOUT: TimedOut,
}


class Sysfs:
    """Kernel files below `root`, which is `/` on a board; paths are relative to it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._base = f"{root}".rstrip("/")

    def place(self, path: str) -> str:
        """Where a file really is."""
        return f"{self._base}/{path}"

    def octets(self, path: str, most: int = PAGE) -> bytes:
        """Up to `most` octets from the start of a file. Raises BoardError."""
        try:
            descriptor = os.open(self.place(path), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            try:
                return os.read(descriptor, most)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise translated(path, error) from error

    def text(self, path: str, most: int = PAGE) -> str:
        """What a file says, without white space and zero octets around it. Raises BoardError."""
        return self.octets(path, most).decode("utf-8", "replace").strip("\0 \t\r\n")

    def lines(self, path: str) -> list[str]:
        """The lines of a file that may be longer than a page. Raises BoardError."""
        return self.text(path, _LARGE).splitlines()

    def number(self, path: str) -> int:
        """The whole number that a file holds. Raises BoardError."""
        return whole(self.text(path), path)

    def numbers(self, path: str) -> list[int]:
        """The whole numbers that a file lists. Raises BoardError."""
        return [whole(word, path) for word in self.text(path).split()]

    def write(self, path: str, text: str) -> None:
        """Write to a file that is there. Raises BoardError."""
        try:
            descriptor = os.open(self.place(path), os.O_WRONLY | os.O_CLOEXEC | os.O_TRUNC)
            try:
                os.write(descriptor, text.encode() + b"\n")
            finally:
                os.close(descriptor)
        except OSError as error:
            raise translated(path, error) from error

    def has(self, path: str) -> bool:
        """Whether there is such a file or folder."""
        return os.access(self.place(path), os.F_OK)

    def find(self, pattern: str) -> list[str]:
        """What matches a glob pattern, numbers in their order; folders without leave are empty."""
        try:
            found = [str(path.relative_to(self.root)) for path in self.root.glob(pattern)]
        except OSError:
            return []
        return sorted(found, key=_natural)

    def first(self, *paths: str) -> str | None:
        """The first of some paths that is there."""
        return next((path for path in paths if self.has(path)), None)

    def text_or(self, default: str, path: str) -> str:
        """What a file says, or `default` where it cannot be read."""
        try:
            return self.text(path)
        except BoardError:
            return default


def translated(path: str, error: OSError) -> BoardError:
    """Our error for an OSError of a file."""
    kind = _KINDS.get(error.errno or 0, DriverFault)
    if kind is Vanished:
        return Vanished(f"/{path} is not there", path)
    if kind is NotPermitted:
        return NotPermitted(f"/{path} is closed to this user ({error.strerror})", path)
    return kind(f"/{path}: {error.strerror}", path)


def whole(text: str, path: str) -> int:
    """The number in a text of a file; one too long to be measured is none. Raises DriverFault."""
    if not _WHOLE.fullmatch(text):
        held = repr(text[:24]) if text else "nothing"
        raise DriverFault(f"/{path} holds {held}, not a number", path)
    return int(text)


def slug(name: str) -> str:
    """A name as it is written in a reading: small letters, digits and underscores."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def _natural(path: str) -> list[tuple[int, str]]:
    parts = _DIGITS.split(path)
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]
