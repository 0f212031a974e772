"""A compute device whose memory is struck: `hal.compute.device` with a campaign's trial behind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numpy.typing import DTypeLike

from flight.campaign.bench import Bench
from flight.campaign.fault_models import Site
from flight.campaign.patterns import Array
from hal.compute.device import ComputeDevice
from hal.kernels import Kernel


class StruckDevice:
    """See `hal.compute.device.ComputeDevice`. Arrays rest before each launch and each copy out.

    On a device that is not the host's processor, what rests is copied to the host, struck and
    checked there, and copied back.
    """

    def __init__(self, inner: ComputeDevice, bench: Bench) -> None:
        self._inner = inner
        self._bench = bench
        self._arrays: dict[str, Any] = {}

    @property
    def kind(self) -> str:
        """That of the device behind it."""
        return self._inner.kind

    def name(self, **arrays: Any) -> None:
        """Give arrays of this device the names that addresses call them by."""
        for name, array in arrays.items():
            self._arrays = {n: kept for n, kept in self._arrays.items() if kept is not array}
            self._arrays[name] = array

    def forget(self) -> None:
        """Forget all arrays: they are struck no more between calls."""
        self._arrays.clear()

    def allocate(self, shape: tuple[int, ...] | int, dtype: DTypeLike) -> Any:
        return self._keep(self._inner.allocate(shape, dtype))

    def copy_in(self, source: Array, target: Any = None) -> Any:
        copied = self._inner.copy_in(source, target)
        return copied if target is not None else self._keep(copied)

    def copy_out(self, source: Any, target: Array | None = None) -> Array:
        self._rest({n: array for n, array in self._arrays.items() if array is source})
        return self._inner.copy_out(source, target)

    def launch(self, function: Kernel | Callable[..., Any], *arguments: Any) -> Any:
        self._rest(self._arrays)
        return self._inner.launch(function, *arguments)

    def synchronise(self) -> None:
        self._inner.synchronise()

    def mark(self, job: int, step: int) -> None:
        self._inner.mark(job, step)

    def close(self) -> None:
        self._arrays.clear()
        self._inner.close()

    def _keep(self, array: Any) -> Any:
        self._arrays[f"array {len(self._arrays)}"] = array
        return array

    def _rest(self, arrays: dict[str, Any]) -> None:
        if self.kind == "host":
            self._bench.rest_at(Site.DEVICE, arrays)
            return
        copies = {name: self._inner.copy_out(array) for name, array in arrays.items()}
        self._bench.rest_at(Site.DEVICE, copies)
        for name, array in arrays.items():
            self._inner.copy_in(copies[name], array)
