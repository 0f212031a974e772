"""What is read from a GPU over NVML: names, units, plausible ranges, and the call of each."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hal.errors import Unsupported
from hal.nvml_door import ask, field

CORRECTED, UNCORRECTED = 0, 1
VOLATILE, AGGREGATE = 0, 1


@dataclass(frozen=True)
class Quantity:
    """One number that a call answers; outside low … high it is not believed."""

    name: str
    unit: str
    low: float = 0.0
    high: float = 2.0**64


@dataclass(frozen=True)
class Sensor:
    """One call and the quantities it answers, in order."""

    quantities: tuple[Quantity, ...]
    measure: Callable[[Any], tuple[float, ...]]


def _one(name: str, unit: str, measure: Callable[[Any], float], *limits: float) -> Sensor:
    return Sensor((Quantity(name, unit, *limits),), lambda handle: (measure(handle),))


def _call(call: str, *arguments: int, scale: float = 1.0) -> Callable[[Any], float]:
    return lambda handle: ask(call, handle, *arguments) * scale


def _temperature_c(handle: Any) -> float:
    """GPU temperature; the old call, which libraries before r560 need, answers without a sign."""
    try:
        return float(ask("nvmlDeviceGetTemperatureV", handle, 0))
    except Unsupported:
        return float(ctypes.c_int32(ask("nvmlDeviceGetTemperature", handle, 0)).value)


def _utilization(handle: Any) -> tuple[float, ...]:
    rates = ask("nvmlDeviceGetUtilizationRates", handle)
    return float(rates.gpu), float(rates.memory)


def _memory(handle: Any) -> tuple[float, ...]:
    memory = ask("nvmlDeviceGetMemoryInfo", handle)
    return float(memory.used), float(memory.total)


def _remapped(handle: Any) -> tuple[float, ...]:
    rows: tuple[float, ...] = ask("nvmlDeviceGetRemappedRows", handle)
    return rows


def _ecc(name: str, error: int, counter: int) -> Sensor:
    return _one(name, "errors", _call("nvmlDeviceGetTotalEccErrors", error, counter))


_ONE_BIT = (0.0, 1.0)

SENSORS: tuple[Sensor, ...] = (
    _one("power_w", "W", _call("nvmlDeviceGetPowerUsage", scale=1e-3), 0.0, 2000.0),
    _one("power_instant_w", "W", lambda handle: field(handle, 186) * 1e-3, 0.0, 2000.0),
    _one("power_limit_w", "W", _call("nvmlDeviceGetEnforcedPowerLimit", scale=1e-3), 0.0, 2000.0),
    _one("energy_j", "J", _call("nvmlDeviceGetTotalEnergyConsumption", scale=1e-3)),
    _one("temperature_c", "°C", _temperature_c, -60.0, 150.0),
    _one("temperature_memory_c", "°C", lambda handle: field(handle, 82), -60.0, 150.0),
    _one("clock_sm_mhz", "MHz", _call("nvmlDeviceGetClockInfo", 1), 0.0, 10_000.0),
    _one("clock_memory_mhz", "MHz", _call("nvmlDeviceGetClockInfo", 2), 0.0, 20_000.0),
    Sensor(
        (
            Quantity("utilization_percent", "%", 0.0, 100.0),
            Quantity("memory_utilization_percent", "%", 0.0, 100.0),
        ),
        _utilization,
    ),
    Sensor((Quantity("memory_used_bytes", "B"), Quantity("memory_total_bytes", "B")), _memory),
    _one("throttle_reasons", "bits", _call("nvmlDeviceGetCurrentClocksEventReasons")),
    _ecc("ecc_corrected_volatile", CORRECTED, VOLATILE),
    _ecc("ecc_corrected_aggregate", CORRECTED, AGGREGATE),
    _ecc("ecc_uncorrected_volatile", UNCORRECTED, VOLATILE),
    _ecc("ecc_uncorrected_aggregate", UNCORRECTED, AGGREGATE),
    Sensor(
        (
            Quantity("remapped_rows_corrected", "rows"),
            Quantity("remapped_rows_uncorrected", "rows"),
            Quantity("remap_pending", "flag", *_ONE_BIT),
            Quantity("remap_failed", "flag", *_ONE_BIT),
        ),
        _remapped,
    ),
    _one("pcie_replays", "packets", _call("nvmlDeviceGetPcieReplayCounter")),
    _one("recovery_action", "code", lambda handle: field(handle, 230), 0.0, 255.0),
    _one(
        "processes",
        "processes",
        lambda handle: float(len(ask("nvmlDeviceGetComputeRunningProcesses", handle))),
    ),
)
