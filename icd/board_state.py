"""The board-state file: what a compute device and the board it stands on tell each other.

Whoever computes on a device keeps one context row (process, bytes, busy time); whoever plays the
board writes one device row (lost, reset generation, clock scale). They share nothing else.

What belongs together in a context row is written and copied under a lock of that row, because
stores of one processor may reach another in any order (ARM). Nobody waits for that lock for long:
who holds it may have been stopped.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import mmap
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from icd import flips
from icd.processes import process_start_time

ENVIRONMENT = "VANALLEN_BOARD_STATE"
"""The environment variable that holds the path of the board-state file."""

MAGIC = 0x56414253
VERSION = 4
DEVICES = 8
CONTEXTS = 64
_TRIES = 200
"""For the lock of a row, before its holder is taken for stopped: a millisecond at most."""
_LIBC = ctypes.PyDLL(None)
"""Called without letting go of the interpreter's lock: none of these calls waits."""
_trylock, _unlock = _LIBC.pthread_mutex_trylock, _LIBC.pthread_mutex_unlock
_SHARED = _ROBUST = 1
"""PTHREAD_PROCESS_SHARED, PTHREAD_MUTEX_ROBUST."""


class BoardStateError(Exception):
    """The file is not a usable board-state file; the text says what to do."""


class DeviceRow(ctypes.Structure):
    """One device, written by the board."""

    _fields_ = [
        ("lost", ctypes.c_uint32),
        ("generation", ctypes.c_uint32),  # counts resets: memory of an older generation is gone
        ("clock_scale", ctypes.c_double),  # clock under load / highest clock, 0 … 1
        ("memory_bytes", ctypes.c_uint64),
        ("reserved_bytes", ctypes.c_uint64),
        ("needs_reset", ctypes.c_uint32),  # there, but it computes nothing before a reset
        ("padding", ctypes.c_uint32),
    ]


class ContextRow(ctypes.Structure):
    """One compute context, written by the process that owns it; free where pid is 0.

    Only `killed_by` (the XID that ended the context, 0 while it lives) and `flips_sent` are the
    board's to write.
    """

    guard: _RowGuard

    _fields_ = [
        ("sequence", ctypes.c_uint32),  # odd while the busy fields are being written, or are owed
        ("pid", ctypes.c_uint32),
        ("start_time", ctypes.c_uint64),  # of the process, in kernel ticks: tells a reused pid
        ("device", ctypes.c_uint32),
        ("generation", ctypes.c_uint32),
        ("memory_bytes", ctypes.c_uint64),
        ("busy_ns", ctypes.c_uint64),  # in launches that ended
        ("running_since_ns", ctypes.c_uint64),  # CLOCK_MONOTONIC; 0 while nothing runs
        ("killed_by", ctypes.c_uint32),
        ("flips_sent", ctypes.c_uint32),  # draws of `icd.flips` that the board sent to it
        ("moved_bytes", ctypes.c_uint64),  # by launches whose memory traffic is known …
        ("moved_ns", ctypes.c_uint64),  # … and how long those were busy
    ]


class _Mutex(ctypes.Structure):
    """A `pthread_mutex_t`, which takes at most 48 octets."""

    _fields_ = [("octets", ctypes.c_uint64 * 8)]


class _RowGuard:
    """The lock of one context row: a mutex that processes share.

    Nobody has it for long, so it is tried for and never waited for. Where its holder died, the next
    one gets it, and the row's sequence tells whether the dead one was inside a write.
    """

    def __init__(self, mutex: _Mutex) -> None:
        self._mutex = mutex
        self.place = ctypes.c_void_p(ctypes.addressof(mutex))
        self.owed: list[tuple[int, int]] = []
        """Launches that the owner could not write yet: ns, octets moved."""

    def make(self) -> None:
        """Make the mutex in memory that holds none. Raises OSError."""
        attributes = ctypes.create_string_buffer(64)
        for result in (
            _LIBC.pthread_mutexattr_init(attributes),
            _LIBC.pthread_mutexattr_setpshared(attributes, _SHARED),
            _LIBC.pthread_mutexattr_setrobust(attributes, _ROBUST),
            _LIBC.pthread_mutex_init(self.place, attributes),
        ):
            if result:
                raise OSError(result, os.strerror(result))

    def take(self) -> bool:
        """Lock the row; False when another process kept it locked meanwhile."""
        for _ in range(_TRIES):
            result = _trylock(self.place)
            if result == 0:
                return True
            if result == errno.EOWNERDEAD:
                _LIBC.pthread_mutex_consistent(self.place)
                return True
            os.sched_yield()
        return False

    def give(self) -> None:
        """Let the lock go."""
        _unlock(self.place)


class _Layout(ctypes.Structure):
    _fields_ = [
        ("magic", ctypes.c_uint32),
        ("version", ctypes.c_uint32),
        ("size", ctypes.c_uint32),
        ("device_count", ctypes.c_uint32),
        ("devices", DeviceRow * DEVICES),
        ("contexts", ContextRow * CONTEXTS),
        ("locks", _Mutex * CONTEXTS),
    ]


SIZE = ctypes.sizeof(_Layout)


@dataclass(frozen=True)
class Context:
    """A consistent copy of a context row."""

    slot: int
    pid: int
    start_time: int
    device: int
    generation: int
    memory_bytes: int
    busy_ns: int
    """Time spent in launches so far, the running one included."""
    is_running: bool = False
    killed_by: int = 0
    moved_bytes: int = 0
    moved_ns: int = 0


def files_of(board_state: Path) -> list[Path]:
    """The files that whoever computes on a board writes: its state, and the flips it may have."""
    return [board_state, *(board_state.with_name(name) for name in (flips.DRAWS, flips.LOG))]


class BoardState:
    """An open, shared board-state file. Make one with `create` or `attach`."""

    def __init__(self, descriptor: int, layout: _Layout, mapping: mmap.mmap) -> None:
        self._descriptor = descriptor
        self._mapping = mapping
        self._layout: _Layout | None = layout
        self.devices: list[DeviceRow] = list(layout.devices[: layout.device_count])
        self.contexts: list[ContextRow] = list(layout.contexts)
        for row, mutex in zip(self.contexts, layout.locks, strict=True):
            row.guard = _RowGuard(mutex)

    @classmethod
    def create(cls, path: Path, device_count: int) -> BoardState:
        """Make the file, every device present with clock scale 1; replaces a file that is there."""
        if not 1 <= device_count <= DEVICES:
            raise BoardStateError(f"{device_count} devices; give 1 … {DEVICES}")
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, SIZE)
            mapping = mmap.mmap(descriptor, SIZE)
            layout = _Layout.from_buffer(mapping)
            layout.version, layout.size, layout.device_count = VERSION, SIZE, device_count
            for row in layout.devices:
                row.clock_scale = 1.0
            for mutex in layout.locks:
                _RowGuard(mutex).make()
            layout.magic = MAGIC
            temporary.rename(path)
        except BaseException:
            os.close(descriptor)
            temporary.unlink(missing_ok=True)
            raise
        return cls(descriptor, layout, mapping)

    @classmethod
    def attach(cls, path: Path) -> BoardState:
        """Open an existing file. Raises BoardStateError when it is missing or of another kind."""
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            raise BoardStateError(
                f"no board state at {path} ({error.strerror}); start the board first"
            ) from error
        try:
            if os.fstat(descriptor).st_size < SIZE:
                raise BoardStateError(f"{path} is too short for a board-state file")
            mapping = mmap.mmap(descriptor, SIZE)
            layout = _Layout.from_buffer(mapping)
            if (layout.magic, layout.version, layout.size) != (MAGIC, VERSION, SIZE):
                raise BoardStateError(
                    f"{path} is not a board-state file of version {VERSION}; restart the board"
                )
        except BaseException:
            os.close(descriptor)
            raise
        return cls(descriptor, layout, mapping)

    def close(self) -> None:
        """Unmap and close; a second call does nothing."""
        if self._layout is None:
            return
        self._layout = None
        self.devices.clear()
        self.contexts.clear()
        with contextlib.suppress(BufferError):  # a row still in use unmaps when it is dropped
            self._mapping.close()
        os.close(self._descriptor)

    def claim(self, device: int, pid: int) -> ContextRow:
        """Take a free context row for `pid`; rows of dead processes count as free.

        Raises BoardStateError when all rows are taken.
        """
        start_time = process_start_time(pid)
        if start_time is None:
            raise BoardStateError(f"there is no process {pid}")
        with self._locked():
            for row in self.contexts:
                if (row.pid == 0 or _is_left(row)) and row.guard.take():
                    try:
                        ctypes.memset(ctypes.byref(row), 0, ctypes.sizeof(row))
                        row.start_time = start_time
                        row.device = device
                        row.generation = self.devices[device].generation
                        row.pid = pid
                    finally:
                        row.guard.give()
                    return row
        raise BoardStateError(f"all {CONTEXTS} compute contexts are taken; end a job first")

    def slot_of(self, row: ContextRow) -> int:
        """The number of a context row that `claim` gave."""
        return next(slot for slot, one in enumerate(self.contexts) if one is row)

    def release(self, row: ContextRow) -> None:
        """Give a context row back."""
        with self._locked():
            row.pid = 0

    def sweep(self) -> int:
        """Free the rows of processes that died without releasing them; returns how many."""
        if not any(row.pid and _is_left(row) for row in self.contexts):
            return 0
        with self._locked():  # looked at again: a row may be another process's by now
            left = [row for row in self.contexts if row.pid and _is_left(row)]
            for row in left:
                row.pid = 0
        return len(left)

    def snapshot(self, now_ns: int) -> list[Context]:
        """Copies of the taken rows; running launches count up to `now_ns` (CLOCK_MONOTONIC)."""
        return [
            context
            for slot, row in enumerate(self.contexts)
            if row.pid and (context := _copy(slot, row, now_ns)) is not None
        ]

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)


def mark_running(row: ContextRow, now_ns: int) -> None:
    """Note that a launch begins at `now_ns` (CLOCK_MONOTONIC); for the owner of the row."""
    _write(row, now_ns, 0, 0)


def mark_idle(row: ContextRow, busy_ns: int, moved_bytes: int = 0) -> None:
    """Note that a launch ended after `busy_ns`; `moved_bytes` if its memory traffic is known."""
    _write(row, 0, busy_ns, moved_bytes)


def _write(row: ContextRow, since_ns: int, busy_ns: int, moved_bytes: int) -> None:
    """Write what a launch adds. A row that a stopped reader keeps locked is unknown until the next
    time: that is said by one store, and nothing else of it changes under the reader."""
    guard = row.guard
    if _trylock(guard.place) and not guard.take():
        row.sequence |= 1
        guard.owed.append((busy_ns, moved_bytes))
        return
    try:
        sequence = row.sequence | 1
        row.sequence = sequence
        row.running_since_ns = since_ns
        if guard.owed:
            _add(row, [*guard.owed, (busy_ns, moved_bytes)])
            guard.owed.clear()
        elif busy_ns:
            _add(row, ((busy_ns, moved_bytes),))
        row.sequence = sequence + 1
    finally:
        _unlock(guard.place)


def _add(row: ContextRow, launches: Iterable[tuple[int, int]]) -> None:
    for busy_ns, moved_bytes in launches:
        row.busy_ns += busy_ns
        if moved_bytes:
            row.moved_bytes += moved_bytes
            row.moved_ns += busy_ns


def _is_left(row: ContextRow) -> bool:
    """Whether the process that a row was given to is gone."""
    return process_start_time(row.pid) != int(row.start_time)


def _copy(slot: int, row: ContextRow, now_ns: int) -> Context | None:
    """What a row says; None for a free one, and where its owner died or was stopped inside a write:
    then its time is unknown, and it is left out."""
    if not row.guard.take():
        return None
    try:
        seen = ContextRow.from_buffer_copy(row)
    finally:
        row.guard.give()
    if not seen.pid or seen.sequence % 2:
        return None
    since = seen.running_since_ns
    return Context(
        slot,
        seen.pid,
        seen.start_time,
        seen.device,
        seen.generation,
        seen.memory_bytes,
        seen.busy_ns + (max(0, now_ns - since) if since else 0),
        is_running=since > 0,
        killed_by=seen.killed_by,
        moved_bytes=seen.moved_bytes,
        moved_ns=seen.moved_ns,
    )
