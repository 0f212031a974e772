"""What is read from a GPU over NVML: names, units, plausible ranges, and the call of each."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hal.errors import Unsupported
from hal.nvml import processes
from hal.nvml.calls import ask, counted, field, told
from hal.sensor import Quantity

CORRECTED, UNCORRECTED = 0, 1
VOLATILE, AGGREGATE = 0, 1
RECOVERY_ACTION = 230


@dataclass(frozen=True)
class Sensor:
    """One call and the quantities it answers, in order."""

    quantities: tuple[Quantity, ...]
    measure: Callable[[Any], tuple[float | int | None, ...]]
    """None for one that the driver has no number for, though it has for the others."""


def _one(name: str, unit: str, measure: Callable[[Any], float | int], *limits: float) -> Sensor:
    return Sensor((Quantity(name, unit, *limits),), lambda handle: (measure(handle),))


def _call(
    call: str, *arguments: int, bits: int = 32, scale: float | None = None
) -> Callable[[Any], float | int]:
    """A call that answers an unsigned number of so many bits."""

    def measure(handle: Any) -> float | int:
        value = counted(call, int(ask(call, handle, *arguments)), bits)
        return value if scale is None else value * scale

    return measure


def _temperature_c(handle: Any) -> float:
    """GPU temperature; the old call, which libraries before r560 need, answers without a sign.

    Of the old call -1 °C cannot be told from all ones, which stands for not available.
    """
    try:
        return float(ask("nvmlDeviceGetTemperatureV", handle, 0))
    except Unsupported:
        call = "nvmlDeviceGetTemperature"
        return float(ctypes.c_int32(counted(call, int(ask(call, handle, 0)), 32)).value)


def _margin_k(handle: Any) -> float:
    return float(ask("nvmlDeviceGetMarginTemperature", handle))


def _utilization(handle: Any) -> tuple[int | None, ...]:
    rates = ask("nvmlDeviceGetUtilizationRates", handle)
    return told(int(rates.gpu), 32), told(int(rates.memory), 32)


def _memory(handle: Any) -> tuple[int | None, ...]:
    memory = ask("nvmlDeviceGetMemoryInfo", handle)
    return told(int(memory.used), 64), told(int(memory.total), 64)


def _remapped(handle: Any) -> tuple[int | None, ...]:
    return tuple(told(int(value), 32) for value in ask("nvmlDeviceGetRemappedRows", handle))


def _spare_rows(handle: Any) -> tuple[int | None, ...]:
    histogram = ask("nvmlDeviceGetRowRemapperHistogram", handle)
    counts = (getattr(histogram, name) for name in ("max", "high", "partial", "low", "none"))
    return tuple(told(int(value), 32) for value in counts)


def _field(number: int, scale: float | None = None) -> Callable[[Any], float | int]:
    def measure(handle: Any) -> float | int:
        value = field(handle, number)
        return value if scale is None else value * scale

    return measure


def _ecc_mode(handle: Any) -> int:
    current, _pending = ask("nvmlDeviceGetEccMode", handle)
    return int(current)


def _ecc(name: str, error: int, counter: int) -> Sensor:
    return _one(name, "errors", _call("nvmlDeviceGetTotalEccErrors", error, counter, bits=64))


_ONE_BIT = (0.0, 1.0)

SENSORS: tuple[Sensor, ...] = (
    _one("power_w", "W", _call("nvmlDeviceGetPowerUsage", scale=1e-3), 0.0, 2000.0),
    _one("power_average_w", "W", _field(185, 1e-3), 0.0, 2000.0),
    _one("power_instant_w", "W", _field(186, 1e-3), 0.0, 2000.0),
    _one("power_limit_w", "W", _call("nvmlDeviceGetEnforcedPowerLimit", scale=1e-3), 0.0, 2000.0),
    _one("energy_j", "J", _call("nvmlDeviceGetTotalEnergyConsumption", bits=64, scale=1e-3)),
    _one("temperature_c", "°C", _temperature_c, -60.0, 150.0),
    _one("temperature_margin_k", "K", _margin_k, -100.0, 200.0),
    _one("temperature_memory_c", "°C", _field(82), -60.0, 150.0),
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
    _one("throttle_reasons", "bits", _call("nvmlDeviceGetCurrentClocksEventReasons", bits=64)),
    _one("performance_state", "state", _call("nvmlDeviceGetPerformanceState"), 0.0, 15.0),
    _one("ecc_enabled", "flag", _ecc_mode, *_ONE_BIT),
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
    _one("remapped_rows_corrected_inactive", "rows", _field(301)),
    _one("remapped_rows_uncorrected_inactive", "rows", _field(302)),
    Sensor(
        tuple(
            Quantity(f"banks_spare_{share}", "banks")
            for share in ("max", "high", "partial", "low", "none")
        ),
        _spare_rows,
    ),
    _one("pcie_link_generation", "1", _call("nvmlDeviceGetCurrPcieLinkGeneration"), 1.0, 8.0),
    _one("pcie_link_width", "lanes", _call("nvmlDeviceGetCurrPcieLinkWidth"), 1.0, 32.0),
    _one("pcie_replays", "packets", _call("nvmlDeviceGetPcieReplayCounter")),
    _one("pcie_correctable", "errors", _field(173)),
    _one("pcie_non_fatal", "errors", _field(179)),
    _one("pcie_fatal", "errors", _field(180)),
    _one("recovery_action", "code", _field(RECOVERY_ACTION), 0.0, 255.0),
    _one(
        "processes",
        "processes",
        lambda handle: len(processes.running(handle)),
    ),
)
