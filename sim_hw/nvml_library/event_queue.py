"""The board's end of the queue of events: whoever waits for one waits in the library."""

from __future__ import annotations

import ctypes
from ctypes import c_uint64
from functools import cached_property
from typing import Any

from sim_hw.nvml_library import build
from sim_hw.nvml_library.state import StateError, StateFile


class EventQueue:
    """Appends to the ring of a state file, one process at a time."""

    def __init__(self, file: StateFile) -> None:
        self._file = file

    def post(self, gpu: int, kind: int, data: int) -> None:
        """Append an event and wake whoever waits for one. Raises StateError."""
        append = self._appender
        with self._file.locked() as state:
            append(ctypes.byref(state), gpu, c_uint64(kind), c_uint64(data))
        self._file.wake()

    @cached_property
    def _appender(self) -> Any:
        """The library's own function: Python cannot order its stores for another processor."""
        beside = self._file.path.parent / "lib" / build.NAME
        try:
            library = ctypes.PyDLL(str(beside if beside.exists() else build.library()))
        except (OSError, build.BuildError) as error:
            raise StateError(f"cannot post an event: {error}") from error
        append = library.vanallenPostEvent
        append.restype = None
        return append
