"""The CUDA driver of the compute device, over numba.cuda; imported only where it is asked for."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from hal.errors import ComputeError, DeviceLost, OutOfMemory
from hal.kernels import Kernel
from icd import extras

_OUT_OF_MEMORY = 2
_CONTEXT_IS_GONE = frozenset(
    {
        46,  # device unavailable
        101,  # invalid device: it left the bus
        214,  # uncorrectable ECC error
        700,  # illegal address
        702,  # launch timeout
        714,  # hardware stack error
        715,  # illegal instruction
        716,  # misaligned address
        717,  # invalid address space
        718,  # invalid program counter
        719,  # launch failed
        721,  # contained memory error
    }
)
"""CUresults after which the context answers nothing else: the process must start again."""


class CudaDevice:
    """See `hal.compute.device.ComputeDevice`."""

    kind = "cuda"

    def __init__(self, device: int = 0) -> None:
        try:
            cuda = importlib.import_module("numba.cuda")
        except ImportError as error:
            said = extras.missing("numba_cuda", "computing on a GPU")
            raise ComputeError(f"{said} ({error})") from error
        self._cuda = cuda
        self._open = True
        with _our_errors():
            if not cuda.is_available():
                raise ComputeError("no CUDA device here; check the driver with: nvidia-smi")
            count = len(cuda.gpus)
            if not 0 <= device < count:
                raise ComputeError(f"no CUDA device {device}; this machine has {count}")
            cuda.select_device(device)

    def __enter__(self) -> CudaDevice:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def allocate(self, shape: tuple[int, ...] | int, dtype: DTypeLike) -> Any:
        try:
            with _our_errors():
                zeros = np.zeros(shape, dtype)
        except ValueError as error:
            raise ComputeError(f"no array of shape {shape}: {error}") from error
        return self.copy_in(zeros)

    def copy_in(self, source: NDArray[Any], target: Any = None) -> Any:
        self._check()
        with _our_errors():
            if target is None:
                return self._cuda.to_device(source)
            _same(source, target)
            target.copy_to_device(source)
            return target

    def copy_out(self, source: Any, target: NDArray[Any] | None = None) -> NDArray[Any]:
        self._check()
        with _our_errors():
            if target is not None:
                _same(source, target)
            else:
                target = np.empty(source.shape, source.dtype)
            source.copy_to_host(target)
            return target

    def launch(self, function: Kernel | Callable[..., Any], *arguments: Any) -> Any:
        self._check()
        with _our_errors():
            if not isinstance(function, Kernel):
                return function(*arguments)
            launcher = function.cuda()
            if launcher is None:
                raise ComputeError(f"kernel {function.name} has no CUDA form; use the host device")
            return launcher(*arguments)

    def synchronise(self) -> None:
        self._check()
        with _our_errors():
            self._cuda.synchronize()

    def mark(self, job: int, step: int) -> None:
        """Does nothing: flips are logged by the host driver only."""

    def close(self) -> None:
        if self._open:
            self._open = False
            with contextlib.suppress(ComputeError), _our_errors():
                self._cuda.close()

    def _check(self) -> None:
        if not self._open:
            raise ComputeError("the compute device is closed; open it again")


def _same(source: Any, target: Any) -> None:
    if source.shape != target.shape or source.dtype != target.dtype:
        raise ComputeError(
            f"copy of unlike arrays: {source.dtype}{source.shape} to {target.dtype}{target.shape}"
        )


@contextlib.contextmanager
def _our_errors() -> Iterator[None]:
    """The one place where CUDA's errors become ours."""
    try:
        yield
    except MemoryError as error:
        raise OutOfMemory(str(error)) from error
    except Exception as error:
        translated = translate(error)
        if translated is None:
            raise
        raise translated from error


def translate(error: Exception) -> ComputeError | None:
    """Our error for one of numba.cuda's; None for what is not CUDA's doing."""
    code = getattr(error, "code", None)
    name = type(error).__name__
    if name == "CudaAPIError" and isinstance(code, int):
        if code == _OUT_OF_MEMORY:
            return OutOfMemory(str(error))
        return (DeviceLost if code in _CONTEXT_IS_GONE else ComputeError)(str(error))
    if name == "NvvmSupportError":  # Numba's own CUDA target is there, and no compiler for it
        return ComputeError(extras.missing("numba_cuda", "computing on a GPU"))
    if name in ("CudaSupportError", "CudaDriverError", "NvvmError"):
        return ComputeError(str(error))
    return None
