"""The compute device: allocate, copy, launch and synchronise on whatever device the board has."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from numpy.typing import DTypeLike, NDArray

from hal.errors import ComputeError, DeviceLost, OutOfMemory
from hal.kernels import Kernel

if TYPE_CHECKING:
    from hal.compute.upsets import Flips

__all__ = ["ComputeDevice", "ComputeError", "DeviceLost", "Kernel", "OutOfMemory", "open_device"]


class ComputeDevice(Protocol):
    """A device to compute on. Every method raises ComputeError or one of its kinds, nothing else.

    Arrays on the device are the driver's own; NumPy is the host's side of every copy.
    """

    @property
    def kind(self) -> str:
        """`host` or `cuda`."""

    def allocate(self, shape: tuple[int, ...] | int, dtype: DTypeLike) -> Any:
        """A zeroed array on the device. Raises OutOfMemory."""

    def copy_in(self, source: NDArray[Any], target: Any = None) -> Any:
        """Copy to the device, into `target` or into a new array; returns it."""

    def copy_out(self, source: Any, target: NDArray[Any] | None = None) -> NDArray[Any]:
        """Wait for launches, copy into `target` or a new array on the host, and return it."""

    def launch(self, function: Kernel | Callable[..., Any], *arguments: Any) -> Any:
        """Run a kernel, or a plain function, on device arrays; what that raises itself passes."""

    def synchronise(self) -> None:
        """Return when every launch has ended, as fast as the device's clock allows."""

    def mark(self, job: int, step: int) -> None:
        """Say that `step` steps of a job are done: what happens to the device is told by it."""

    def close(self) -> None:
        """Free everything; a second call does nothing."""


def open_device(
    kind: str = "host",
    board_state: Path | str | None = None,
    device: int = 0,
    flips: Flips | None = None,
) -> ComputeDevice:
    """Open a compute device.

    `host` computes in this process; with `board_state` (see `icd.board_state`) it is a device
    of that board: seen by its sensors, slowed by its throttling, lost with it, and struck by what
    flips bits in its scenario; `flips` strikes it instead, for a replay
    (`hal.compute.upsets.Replayed`).
    `cuda` is an NVIDIA GPU.
    Raises ComputeError when there is no such device, ValueError for another kind.
    """
    if kind == "host":
        from hal.compute.host import HostDevice

        return HostDevice(Path(board_state) if board_state else None, device, flips=flips)
    if kind == "cuda":
        from hal.compute.cuda import CudaDevice

        return CudaDevice(device)
    raise ValueError(f"no compute device of kind {kind!r}; give 'host' or 'cuda'")
