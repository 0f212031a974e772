"""The load of a Jetson's GPU whose kernel tells none: on Thor, NVML does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hal.errors import BoardError, Unsupported
from hal.nvml import calls


class NvmlLoad:
    """Asks NVML, which is loaded at the first question and no earlier."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._handle: Any = None

    def percent(self) -> float:
        """The share of the time in which the GPU was busy, in %. Raises BoardError."""
        if self._handle is None:
            self._handle = self._open()
        try:
            return float(calls.ask("nvmlDeviceGetUtilizationRates", self._handle).gpu)
        except BoardError:
            self._handle = None  # the driver may have been loaded anew
            raise

    def _open(self) -> Any:
        try:
            import pynvml  # noqa: F401
        except ImportError as error:
            text = "only NVML tells the load of this GPU; pip install nvidia-ml-py"
            raise Unsupported(text) from error
        calls.prepare(self._environment)
        calls.ask("nvmlInit")
        return calls.ask("nvmlDeviceGetHandleByIndex", 0)
