"""The host driver of the compute device: this process computes, on a board's terms."""

from __future__ import annotations

import math
import os
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from hal.compute.upsets import Flips, Struck
from hal.errors import ComputeError, DeviceLost, OutOfMemory
from hal.kernels import Kernel
from icd.board_state import BoardState, BoardStateError, mark_idle, mark_running

_SLICE_S = 0.05
_LOWEST_SCALE = 0.01


class HostDevice:
    """See `hal.compute.device.ComputeDevice`; `clock` is CLOCK_MONOTONIC in ns, `sleep` takes s."""

    kind = "host"

    def __init__(
        self,
        board_state: Path | None = None,
        device: int = 0,
        clock: Callable[[], int] = time.monotonic_ns,
        sleep: Callable[[float], None] = time.sleep,
        flips: Flips | None = None,
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._bytes = 0
        self._debt_ns = 0
        self._board = None if board_state is None else _Seat(board_state, device)
        self._flips = self._board.flips if self._board is not None and flips is None else flips
        self._open = True

    def __enter__(self) -> HostDevice:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def allocate(self, shape: tuple[int, ...] | int, dtype: DTypeLike) -> NDArray[Any]:
        self._check()
        kind = np.dtype(dtype)
        size = math.prod(shape if isinstance(shape, tuple) else (shape,)) * kind.itemsize
        if self._board is not None:
            self._board.need(self._bytes + size)
        try:
            array: NDArray[Any] = np.zeros(shape, kind)
        except MemoryError as error:
            raise OutOfMemory(f"no room for {size} bytes: {error}") from error
        except ValueError as error:
            raise ComputeError(f"no array of shape {shape}: {error}") from error
        self._account(size)
        weakref.finalize(array, _give_back, weakref.ref(self), size).atexit = False
        if self._flips is not None:
            self._flips.allocated(array)
        return array

    def copy_in(self, source: NDArray[Any], target: Any = None) -> NDArray[Any]:
        if target is None:
            target = self.allocate(source.shape, source.dtype)
        return self._copy(source, target)

    def copy_out(self, source: Any, target: NDArray[Any] | None = None) -> NDArray[Any]:
        self.synchronise()
        if self._flips is not None:
            self._flips.before((source,))
        return self._copy(source, np.empty_like(source) if target is None else target)

    def launch(self, function: Kernel | Callable[..., Any], *arguments: Any) -> Any:
        self._check()
        body = function.host if isinstance(function, Kernel) else function
        if self._flips is not None:
            self._flips.before(arguments)
        start = self._clock()
        if self._board is not None:
            mark_running(self._board.row, start)
        try:
            result = body(*arguments)
        except MemoryError as error:
            raise OutOfMemory(f"the launch ran out of memory: {error}") from error
        finally:
            took = self._clock() - start
            self._debt_ns += took
            if self._board is not None:
                mark_idle(self._board.row, took, _moved_bytes(function, arguments))
        if self._flips is not None:
            self._flips.after(function, arguments, result)
        return result

    def synchronise(self) -> None:
        self._check()
        worked_ns, self._debt_ns = self._debt_ns, 0
        if self._board is None:
            return
        left_ns = worked_ns * (1.0 - self._board.scale())
        if left_ns >= 1.0:
            self._stretch(self._board, left_ns)

    def mark(self, job: int, step: int) -> None:
        if self._flips is not None:
            self._flips.mark(job, step)

    def close(self) -> None:
        if not self._open:
            return
        self._open = False
        if self._flips is not None:
            self._flips.close()
        if self._board is not None:
            self._board.leave()

    def _stretch(self, board: _Seat, left_ns: float) -> None:
        """Stay busy for the work that a device at the board's clock would not have done yet."""
        while left_ns >= 1.0:
            scale = board.scale()
            nap_s = min(_SLICE_S, left_ns / scale / 1e9)
            start = self._clock()
            mark_running(board.row, start)
            try:
                self._sleep(nap_s)
            finally:
                mark_idle(board.row, self._clock() - start)
            left_ns -= nap_s * 1e9 * scale
            board.check()

    def _copy(self, source: NDArray[Any], target: NDArray[Any]) -> NDArray[Any]:
        self._check()
        try:
            np.copyto(target, source, casting="no")
        except (TypeError, ValueError) as error:
            raise ComputeError(f"copy of unlike arrays: {error}") from error
        return target

    def _check(self) -> None:
        if not self._open:
            raise ComputeError("the compute device is closed; open it again")
        if self._board is not None:
            self._board.check()

    def _account(self, size: int) -> None:
        self._bytes += size
        if self._board is not None and self._open:
            self._board.row.memory_bytes = self._bytes


def _moved_bytes(function: Kernel | Callable[..., Any], arguments: tuple[Any, ...]) -> int:
    """Memory traffic of a launch; 0 where it is not known: a function may use other arrays too."""
    if isinstance(function, Kernel):
        return function.moved_bytes(arguments)
    if isinstance(function, np.ufunc):
        return sum(one.nbytes for one in arguments if isinstance(one, np.ndarray))
    return 0


def _give_back(device: weakref.ref[HostDevice], size: int) -> None:
    alive = device()
    if alive is not None:
        alive._account(-size)


class _Seat:
    """One device user's row in the board-state file."""

    def __init__(self, path: Path, device: int) -> None:
        try:
            self._state = BoardState.attach(path)
        except BoardStateError as error:
            raise ComputeError(str(error)) from error
        try:
            if not 0 <= device < len(self._state.devices):
                count = len(self._state.devices)
                raise ComputeError(f"no device {device}; this board has {count}")
            self._device = self._state.devices[device]
            if self._device.lost:
                raise DeviceLost("the GPU is lost; it must be reset first")
            if self._device.needs_reset:
                raise DeviceLost("the GPU refuses new contexts until it is reset")
            self.flips = Struck.beside(path)
            self.row = self._state.claim(device, os.getpid())
            if self.flips is not None:
                self.flips.listen(self.row, self._state.slot_of(self.row))
        except BoardStateError as error:
            self._state.close()
            raise ComputeError(str(error)) from error
        except ComputeError:
            self._state.close()
            raise

    def check(self) -> None:
        """Raise DeviceLost when the device went away, was reset, or ended our context."""
        if self._device.lost:
            raise DeviceLost("the GPU is lost; restart from a checkpoint after its reset")
        if code := self.row.killed_by:
            raise DeviceLost(f"XID {code} ended this context; restart from a checkpoint")
        if self._device.generation != self.row.generation:
            raise DeviceLost("the GPU was reset; open it again and restart from a checkpoint")

    def scale(self) -> float:
        """Clock over highest clock, 0 … 1; a value that cannot be is taken for full speed."""
        scale = float(self._device.clock_scale)
        return max(_LOWEST_SCALE, scale) if 0.0 <= scale <= 1.0 else 1.0

    def need(self, size: int) -> None:
        """Raise OutOfMemory when the device cannot hold `size` bytes of ours beside the others'."""
        mine = (self.row.device, self.row.generation)
        others = sum(
            row.memory_bytes
            for row in self._state.contexts
            if row.pid and row is not self.row and (row.device, row.generation) == mine
        )
        room = self._device.memory_bytes - self._device.reserved_bytes - others
        if self._device.memory_bytes and size > room:
            raise OutOfMemory(f"the device has {max(0, room)} bytes for us, {size} are asked for")

    def leave(self) -> None:
        self._state.release(self.row)
        self._state.close()
