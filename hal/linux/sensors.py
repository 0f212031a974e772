"""The computer the payload runs on, as readings: processors, memory, disks, and our processes."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from hal.errors import DriverFault, NotPermitted, Unsupported
from hal.reading import Reading, tai_now
from hal.sensor import Quantity, Sensor, single

_PREFIX = "host."
_PERCENT = partial(Quantity, unit="%", low=0.0)
_OCTETS = partial(Quantity, unit="B")


class HostSensors:
    """Reads the computer; nothing in it raises, trouble is in the readings.

    `disks` are folders by name, `processes` our processes by name. Shares of processor time are
    those since the reading before.
    """

    def __init__(
        self,
        disks: Mapping[str, Path] | None = None,
        processes: Mapping[str, int] | None = None,
        clock: Callable[[], int] = tai_now,
    ) -> None:
        self._clock = clock
        self._disks = dict(disks or {})
        self._processes: dict[str, psutil.Process | int] = dict(processes or {})
        self._sensors = [*_computer(), *map(self._disk_sensor, self._disks)]

    def watch(self, processes: Mapping[str, int]) -> None:
        """Read these processes from now on; one whose pid did not change keeps its history."""
        kept = {name: self._processes.get(name) for name in processes}
        self._processes = {
            name: old if isinstance(old, psutil.Process) and old.pid == pid else pid
            for (name, pid), old in zip(processes.items(), kept.values(), strict=True)
        }

    def read(self) -> list[Reading]:
        """Every sensor once, the computer's first, then the processes in their order."""
        time_ns = self._clock()
        sensors = [*self._sensors, *map(self._process_sensor, list(self._processes))]
        return [reading for sensor in sensors for reading in sensor.read(_PREFIX, time_ns)]

    def _disk_sensor(self, name: str) -> Sensor:
        quantities = (_OCTETS(f"disk_{name}_free_bytes"), _OCTETS(f"disk_{name}_total_bytes"))
        return Sensor(quantities, lambda: _disk(self._disks[name]))

    def _process_sensor(self, name: str) -> Sensor:
        quantities = (
            _PERCENT(f"process_{name}_cpu_percent"),
            _OCTETS(f"process_{name}_resident_bytes"),
            Quantity(f"process_{name}_descriptors", "files"),
            Quantity(f"process_{name}_threads", "threads"),
        )
        return Sensor(quantities, lambda: self._process(name))

    def _process(self, name: str) -> tuple[float, ...]:
        found = self._processes[name]
        if isinstance(found, int):
            found = self._processes[name] = ask(psutil.Process, found)
        if not ask(found.is_running):
            raise DriverFault(f"process {found.pid} has ended")
        return (
            float(ask(found.cpu_percent)),
            float(ask(found.memory_info).rss),
            float(ask(found.num_fds)),
            float(ask(found.num_threads)),
        )


def ask(call: Callable[..., Any], *arguments: Any) -> Any:
    """Call psutil: every call is made here. Raises BoardError, and nothing of psutil's own."""
    name = getattr(call, "__name__", "psutil")
    try:
        found = call(*arguments)
    except psutil.NoSuchProcess as error:
        raise DriverFault(f"process {error.pid} has ended", name) from error
    except psutil.AccessDenied as error:
        raise NotPermitted(f"{name}: this user may not see process {error.pid}", name) from error
    except PermissionError as error:
        raise NotPermitted(f"{name}: {error.strerror}", name) from error
    except Exception as error:  # a broken /proc can upset its parsers in any way
        raise DriverFault(f"{name}: {type(error).__name__}: {error}", name) from error
    if found is None:
        raise Unsupported(f"{name}: this computer does not tell", name)
    return found


def _computer() -> list[Sensor]:
    load = (Quantity("load_1", "1"), Quantity("load_5", "1"), Quantity("load_15", "1"))
    memory = (_OCTETS("memory_used_bytes"), _OCTETS("memory_total_bytes"))
    swap = (_OCTETS("swap_used_bytes"), _OCTETS("swap_total_bytes"))
    return [
        single(_PERCENT("cpu_percent", high=100.0), lambda: float(ask(psutil.cpu_percent))),
        single(Quantity("cpus", "1"), lambda: float(ask(psutil.cpu_count))),
        single(Quantity("clock_cpu_mhz", "MHz"), lambda: float(ask(psutil.cpu_freq).current)),
        Sensor(load, lambda: tuple(map(float, ask(os.getloadavg)))),
        Sensor(memory, _memory),
        Sensor(swap, lambda: _of(ask(psutil.swap_memory), "used", "total")),
        single(Quantity("temperature_max_c", "°C", -60.0, 150.0), _hottest_c),
        single(Quantity("processes", "processes"), lambda: float(len(ask(psutil.pids)))),
        single(Quantity("boot_time_s", "s"), lambda: float(ask(psutil.boot_time))),
    ]


def _hottest_c() -> float:
    """The hottest sensor of the computer. Raises BoardError, Unsupported where there is none."""
    found = ask(psutil.sensors_temperatures)
    values = [float(row.current) for rows in found.values() for row in rows if row.current]
    if not values:
        raise Unsupported("the kernel shows no temperature of this computer")
    return max(values)


def _memory() -> tuple[float, ...]:
    found = ask(psutil.virtual_memory)
    return float(found.total - found.available), float(found.total)


def _disk(folder: Path) -> tuple[float, ...]:
    return _of(ask(psutil.disk_usage, str(folder)), "free", "total")


def _of(found: Any, *names: str) -> tuple[float, ...]:
    return tuple(float(getattr(found, name)) for name in names)
