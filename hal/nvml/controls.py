"""What can be changed on a GPU over NVML; each answers what the board then says of itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hal.nvml.calls import ask
from hal.nvml.sensors import VOLATILE


def _limit_power(handle: Any, limit_w: float) -> float:
    ask("nvmlDeviceSetPowerManagementLimit", handle, round(limit_w * 1000))
    return float(ask("nvmlDeviceGetPowerManagementLimit", handle)) / 1000.0


def _lock_clock(handle: Any, clock_mhz: float) -> None:
    ask("nvmlDeviceSetGpuLockedClocks", handle, round(clock_mhz), round(clock_mhz))


def _reset_clock(handle: Any, _value: float) -> None:
    ask("nvmlDeviceResetGpuLockedClocks", handle)


def _clear_ecc(handle: Any, _value: float) -> float:
    ask("nvmlDeviceClearEccErrorCounts", handle, VOLATILE)
    return float(sum(ask("nvmlDeviceGetTotalEccErrors", handle, kind, VOLATILE) for kind in (0, 1)))


ACTIONS: dict[str, Callable[[Any, float], float | None]] = {
    "power_limit_w": _limit_power,
    "locked_clock_mhz": _lock_clock,
    "reset_clock": _reset_clock,
    "clear_ecc": _clear_ecc,
}
