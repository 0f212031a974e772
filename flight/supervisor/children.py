"""Executes, signals and reaps processes, and keeps their logs bounded."""

from __future__ import annotations

import ctypes
import os
import signal
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36
LOG_LIMIT = 4 * 1024 * 1024
LOG_KEPT = 64 * 1024
DEFAULT_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGHUP, signal.SIGPIPE)


def become_subreaper() -> None:
    """Make orphans below this process its children, so that it can reap them. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def execute(
    argv: Sequence[str], env: Mapping[str, str], log: Path, inherited: Sequence[int]
) -> int:
    """Start a process in its own group with only ``inherited`` open; its output goes to ``log``."""
    bound_log(log)
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(log), flags, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    for fd in inherited:
        os.set_inheritable(fd, True)
    try:
        return os.posix_spawnp(
            argv[0],
            list(argv),
            dict(env),
            file_actions=actions,
            setpgroup=0,
            setsigdef=DEFAULT_SIGNALS,
            setsigmask=(),
        )
    finally:
        for fd in inherited:
            os.set_inheritable(fd, False)


def signal_group(pid: int, number: int) -> None:
    """Signal the process group that an unreaped child leads."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def reap() -> Iterator[tuple[int, int]]:
    """Yield (pid, status) of every ended child, orphans included.

    What is left of an ended child's process group is killed before it is reaped: until then its
    pid, and with it the group, cannot be somebody else's.
    """
    while True:
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if ended is None:
            return
        signal_group(ended.si_pid, signal.SIGKILL)
        _, status = os.waitpid(ended.si_pid, 0)
        yield ended.si_pid, os.waitstatus_to_exitcode(status)


def living_children() -> list[int]:
    """The pids of this process's children, adopted orphans included."""
    own = os.getpid()
    entries = (path.name for path in Path("/proc").iterdir())
    return [int(entry) for entry in entries if entry.isdigit() and _parent(entry) == own]


def _parent(entry: str) -> int:
    try:
        with open(f"/proc/{entry}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return 0
    return 0 if fields[0] in (b"Z", b"X") else int(fields[1])


def bound_log(log: Path) -> None:
    """Keep a log's last part in ``<log>.1`` and start it again when it is over its limit.

    No link is followed, because a job owns the folder of its log, and nothing is raised, because a
    full disk must stop nobody: then the tail is lost, and its room is free again.
    """
    with suppress(OSError):
        fd = os.open(log, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            status = os.fstat(fd)
            if stat.S_ISREG(status.st_mode) and status.st_size > LOG_LIMIT:
                with suppress(OSError):
                    _keep_tail(fd, status.st_size, log.with_name(log.name + ".1"))
                # The writers append, so they go on at the start of the emptied file.
                os.ftruncate(fd, 0)
        finally:
            os.close(fd)


def _keep_tail(fd: int, size: int, path: Path) -> None:
    path.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    with open(os.open(path, flags, 0o600), "wb") as file:
        file.write(os.pread(fd, LOG_KEPT, size - LOG_KEPT))
