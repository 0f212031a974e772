"""The machine that is examined; a test gives another root, user, environment or clock."""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import shutil
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flight.components.job_runner.worker.confinement import landlock_version
from flight.deployment.configuration import Configuration
from icd.written import json_value

PROBE_S = 20.0
"""A driver call that has not returned by then never will."""
_STA_UNSYNC = 0x40
_STATUS_AT = 40 if ctypes.sizeof(ctypes.c_long) == 8 else 20
"""Where `status` lies in the kernel's struct timex: after modes, offset, freq and two errors."""


def has_pidfd() -> bool:
    """Whether the kernel gives descriptors for processes (Linux 5.3)."""
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (OSError, AttributeError):
        return False
    return True


def is_synchronised() -> bool | None:
    """Whether the kernel's clock follows a time source; None when the kernel does not tell."""
    buffer = ctypes.create_string_buffer(512)
    if ctypes.CDLL(None, use_errno=True).adjtimex(buffer) < 0:
        return None
    status = int.from_bytes(buffer.raw[_STATUS_AT : _STATUS_AT + 4], sys.byteorder)
    return not status & _STA_UNSYNC


def clocks() -> tuple[float, float, float]:
    """Seconds of the date since 1970, of the monotonic clock, and since the computer started."""
    kinds = (time.CLOCK_REALTIME, time.CLOCK_MONOTONIC, time.CLOCK_BOOTTIME)
    date, monotonic, boot = (time.clock_gettime(kind) for kind in kinds)
    return date, monotonic, boot


def why_not_bound(host: str, port: int) -> str:
    """Why nothing can listen there; empty when something could."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except (OSError, OverflowError) as failure:
        return getattr(failure, "strerror", None) or str(failure)
    return ""


def ask_board(board: str, timeout_s: float = PROBE_S) -> dict[str, Any]:
    """Identity of a board, asked by a process that may hang; `{"error": text}` when it cannot tell.

    A driver call can block for ever, and a thread that does cannot be ended.
    """
    command = [sys.executable, "-m", "flight.doctor.board_probe", board]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as probe:
        try:
            output, _ = probe.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            probe.kill()
            return {"error": f"the driver did not answer within {timeout_s:g} s"}
    try:
        answer = json_value(output)
    except ValueError:
        return {"error": f"the process that asked the driver ended with {probe.returncode}"}
    return answer if isinstance(answer, dict) else {"error": "the driver gave no identity"}


@dataclass(frozen=True)
class Machine:
    """Where the checks look."""

    root: Path = Path("/")
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)
    uid: int = field(default_factory=os.geteuid)
    groups: frozenset[int] = field(
        default_factory=lambda: frozenset((os.getegid(), *os.getgroups()))
    )
    python: tuple[int, ...] = sys.version_info[:3]
    open_files: int = field(default_factory=lambda: resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    stopwatch: Callable[[], float] = time.perf_counter
    clocks: Callable[[], tuple[float, float, float]] = clocks
    is_synchronised: Callable[[], bool | None] = is_synchronised
    has_pidfd: Callable[[], bool] = has_pidfd
    landlock_version: Callable[[], int] = landlock_version
    why_not_bound: Callable[[str, int], str] = why_not_bound
    ask_board: Callable[[str], dict[str, Any]] = ask_board
    free_bytes: Callable[[Path], int] = lambda path: shutil.disk_usage(path).free

    def path(self, name: str) -> Path:
        """A path of the machine that is examined."""
        return self.root / name.lstrip("/")

    def text(self, name: str) -> str | None:
        """What a small file of the system says, stripped; None when it cannot be read."""
        try:
            return self.path(name).read_text(encoding="utf-8", errors="replace").strip()
        except OSError:
            return None

    def found(self, pattern: str) -> list[Path]:
        """Every path below the root that fits a pattern, sorted; empty where nothing is."""
        with suppress(OSError):
            return sorted(self.root.glob(pattern.lstrip("/")))
        return []

    def may_use(self, path: Path) -> bool:
        """Whether this user may read and write a device or file, by its mode alone."""
        try:
            about = path.stat()
        except OSError:
            return False
        if self.uid == 0:
            return True
        if about.st_uid == self.uid:
            needed = stat.S_IRUSR | stat.S_IWUSR
        elif about.st_gid in self.groups:
            needed = stat.S_IRGRP | stat.S_IWGRP
        else:
            needed = stat.S_IROTH | stat.S_IWOTH
        return about.st_mode & needed == needed

    def mount(self, path: Path) -> tuple[str, frozenset[str]]:
        """File system type and options of what holds a path; ("", none) when it is not known."""
        best, found = -1, ("", frozenset[str]())
        for line in (self.text("/proc/self/mounts") or "").splitlines():
            fields = line.split()
            if len(fields) < 4:
                continue
            point = fields[1].encode().decode("unicode_escape")
            if path.is_relative_to(point) and len(point) >= best:
                best, found = len(point), (fields[2], frozenset(fields[3].split(",")))
        return found


@dataclass(frozen=True)
class Subject:
    """What is to be flown, and where."""

    machine: Machine
    configuration: Configuration
    state: Path
    run: Path


def nearest_folder(path: Path) -> Path:
    """The folder itself, or the closest one above it that exists."""
    return next((folder for folder in (path, *path.parents) if folder.is_dir()), Path("/"))


def why_not_written(failure: OSError) -> str:
    """An errno in words that fit a sentence."""
    name = errno.errorcode.get(failure.errno or 0, "unknown error")
    return f"{failure.strerror or failure} ({name})"
