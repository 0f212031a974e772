"""The state file of an emulated board with NVML, opened by its model, its tools and its library."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import mmap
import os
from collections.abc import Iterator
from ctypes import c_uint64
from functools import cached_property
from pathlib import Path
from typing import Any

from sim_hw.model import futex
from sim_hw.nvml_library import build
from sim_hw.nvml_library.layout import GPUS, MAGIC, SIZE, VERSION, State


class StateError(Exception):
    """The state file is missing or of another version; the text says what to do."""


class StateFile:
    """The mapped state file. Make one with `create` or `attach`."""

    def __init__(self, path: Path, descriptor: int, mapping: mmap.mmap) -> None:
        self._path = path
        self._descriptor = descriptor
        self._mapping = mapping
        self.state: State = State.from_buffer(mapping)

    @classmethod
    def create(cls, path: Path, gpu_count: int) -> StateFile:
        """Make the file, all zero but for its heading; replaces a file that is there."""
        if not 1 <= gpu_count <= GPUS:
            raise StateError(f"{gpu_count} GPUs; give 1 … {GPUS}")
        path.unlink(missing_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, SIZE)
            made = cls(path, descriptor, mmap.mmap(descriptor, SIZE))
        except BaseException:
            os.close(descriptor)
            path.unlink()
            raise
        made.state.version, made.state.size = VERSION, SIZE
        made.state.gpu_count = gpu_count
        made.state.driver_loaded = 1
        made.state.magic = MAGIC
        return made

    @classmethod
    def attach(cls, path: Path) -> StateFile:
        """Open the file of a running board. Raises StateError."""
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            raise StateError(
                f"no emulated board at {path} ({error.strerror}); start one with: "
                f"python -m sim_hw board --dir {path.parent}"
            ) from error
        try:
            if os.fstat(descriptor).st_size != SIZE:
                raise StateError(f"{path} is of another version; restart the board")
            opened = cls(path, descriptor, mmap.mmap(descriptor, SIZE))
        except BaseException:
            os.close(descriptor)
            raise
        if (opened.state.magic, opened.state.version) != (MAGIC, VERSION):
            opened.close()
            raise StateError(f"{path} is of another version; restart the board")
        return opened

    def retire(self) -> None:
        """Tell whoever has the file open that the board is gone, as when a driver is unloaded."""
        self.state.magic = 0
        self.set_hang(False)
        self.wake()

    def close(self) -> None:
        """Unmap and close; a second call does nothing."""
        if self._descriptor < 0:
            return
        self.state = State()
        with contextlib.suppress(BufferError):  # a part still in use unmaps when it is dropped
            self._mapping.close()
        os.close(self._descriptor)
        self._descriptor = -1

    @contextlib.contextmanager
    def locked(self) -> Iterator[State]:
        """Alone among the writers of events and counters."""
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        try:
            yield self.state
        finally:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def post(self, gpu: int, kind: int, data: int) -> None:
        """Append an event and wake whoever waits for one. Raises StateError."""
        append = self._appender
        with self.locked() as state:
            append(ctypes.byref(state), gpu, c_uint64(kind), c_uint64(data))
        self.wake()

    @cached_property
    def _appender(self) -> Any:
        """The library's own way to append an event: Python cannot order its stores for others."""
        beside = self._path.parent / "lib" / build.NAME
        try:
            library = ctypes.PyDLL(str(beside if beside.exists() else build.library()))
        except (OSError, build.BuildError) as error:
            raise StateError(f"cannot post an event: {error}") from error
        append = library.vanallenPostEvent
        append.restype = None
        return append

    def wake(self) -> None:
        """Let every waiter of an event set look again."""
        futex.wake(ctypes.addressof(self.state) + State.event_head.offset)

    def set_hang(self, hang: bool) -> None:
        """Block every call into the library, or let them go on."""
        self.state.hang = int(hang)
        futex.wake(ctypes.addressof(self.state) + State.hang.offset)
