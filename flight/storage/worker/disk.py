"""The operating system calls that storage makes, in one place so that a test can make them fail."""

from __future__ import annotations

import os

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Disk:
    """Real system calls, relative to an open directory; nothing here follows a symbolic link."""

    def open_root(self, path: str) -> int:
        """Open a root directory, the one place where a link may be followed."""
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def open_directory(self, name: str, parent: int) -> int:
        """Open a directory below ``parent``."""
        return os.open(name, _DIRECTORY, dir_fd=parent)

    def open_file(self, name: str, flags: int, parent: int) -> int:
        """Open a file below ``parent``; never blocks on a FIFO."""
        flags |= os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        return os.open(name, flags, 0o600, dir_fd=parent)

    def write(self, fd: int, data: bytes | memoryview, offset: int) -> None:
        """Write all of ``data`` at ``offset``; raises OSError (ENOSPC) with part of it written."""
        view = memoryview(data)
        while view:
            written = os.pwrite(fd, view, offset)
            view, offset = view[written:], offset + written

    def truncate(self, fd: int, size: int) -> None:
        """Set the size of a file."""
        os.ftruncate(fd, size)

    def fsync(self, fd: int) -> None:
        """Make a file or directory durable."""
        os.fsync(fd)

    def rename(self, source: str, source_parent: int, name: str, parent: int) -> None:
        """Replace ``name`` by ``source`` atomically."""
        os.replace(source, name, src_dir_fd=source_parent, dst_dir_fd=parent)

    def unlink(self, name: str, parent: int) -> None:
        """Remove a file."""
        os.unlink(name, dir_fd=parent)

    def make_directory(self, name: str, parent: int) -> None:
        """Make a directory; fine when it is there."""
        try:
            os.mkdir(name, 0o700, dir_fd=parent)
        except FileExistsError:
            os.close(self.open_directory(name, parent))

    def remove_directory(self, name: str, parent: int) -> None:
        """Remove an empty directory."""
        os.rmdir(name, dir_fd=parent)
