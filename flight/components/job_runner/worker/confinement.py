"""Confines a job to its folder with Landlock, where the kernel has it.

System calls and constants: the kernel's userspace-api/landlock. The confined process, and all it
starts, can read the Python installation, the system and its inputs; write its folder; open no TCP
connection; and signal no process outside. UDP and, before kernel 6.12, abstract sockets remain.
"""

from __future__ import annotations

import ctypes
import os
import resource
import stat
import struct
import sys
import sysconfig
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION_FLAG = 1
_RULE_PATH_BENEATH = 1
_PR_SET_NO_NEW_PRIVS = 38

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 2, 4, 8
_TRUNCATE, _REFER, _IOCTL_DEVICE = 1 << 14, 1 << 13, 1 << 15
_READ = _EXECUTE | _READ_FILE | _READ_DIR
_FILE_RIGHTS = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEVICE
_TCP = 3  # bind and connect
_SCOPES = 3  # abstract sockets and signals

SYSTEM = ("/usr", "/lib", "/lib64", "/bin", "/etc", "/opt", "/proc", "/sys", "/run/opengl-driver")
DEVICES = ("null", "zero", "random", "urandom", "full")
ACCELERATORS = ("nvidia", "nvhost", "nvmap", "nvgpu", "nvsciipc", "dri")


def handled_rights(version: int) -> int:
    """Every file system right that this version of Landlock can take away."""
    rights = (1 << 13) - 1
    for since, right in ((2, _REFER), (3, _TRUNCATE), (5, _IOCTL_DEVICE)):
        if version >= since:
            rights |= right
    return rights


def landlock_version() -> int:
    """The kernel's Landlock version; 0 when it has none, or it is switched off."""
    return max(0, int(_syscall(_CREATE_RULESET, None, 0, _VERSION_FLAG)))


def confine(read: Iterable[Path], write: Iterable[Path]) -> bool:
    """Confine this process for good; False when the kernel cannot: the job is *unconfined*.

    No core file is written either way: it would hold whatever memory held.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    version = landlock_version()
    if version == 0:
        return False
    rights = handled_rights(version)
    attributes = struct.pack(
        "=QQQ", rights, _TCP if version >= 4 else 0, _SCOPES if version >= 6 else 0
    )
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    ruleset = _syscall(_CREATE_RULESET, attributes[:size], size, 0)
    if ruleset < 0:
        return False
    try:
        for path in (*_readable(), *read):
            _allow(ruleset, path, _READ)
        for path in (*_devices(), *write):
            _allow(ruleset, path, rights)
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
            return False
        return _syscall(_RESTRICT_SELF, ruleset, 0) == 0
    finally:
        os.close(ruleset)


def _readable() -> list[Path]:
    """The Python installation, what it has imported from, and the system."""
    found = {sys.prefix, sys.base_prefix, sys.exec_prefix, *sysconfig.get_paths().values()}
    return [Path(name) for name in (*found, *filter(None, sys.path), *SYSTEM)]


def _devices() -> list[Path]:
    names = [Path("/dev") / name for name in DEVICES]
    with suppress(OSError):
        names += [path for path in Path("/dev").iterdir() if path.name.startswith(ACCELERATORS)]
    return names


def _allow(ruleset: int, path: Path, rights: int) -> None:
    """Allow rights beneath a path; one that is not there needs no rule."""
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not stat.S_ISDIR(os.fstat(fd).st_mode):
            rights &= _FILE_RIGHTS
        _syscall(_ADD_RULE, ruleset, _RULE_PATH_BENEATH, struct.pack("=Qi", rights, fd), 0)
    finally:
        os.close(fd)


def _syscall(number: int, *arguments: int | bytes | None) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    converted = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    return int(libc.syscall(ctypes.c_long(number), *converted))
