"""What goes wrong on a Jetson: over-current, heat and memory errors, each told once as it comes."""

from __future__ import annotations

import enum
from collections.abc import Iterator

from hal.device import Fault, FaultKind
from hal.errors import BoardError
from hal.jetson.gpu import Gpu
from hal.jetson.power import Rail, is_raised
from hal.jetson.thermal import Cooler, Zone, gpu_zone
from hal.linux.edac import Edac, ErrorCount, counts_or_none, risen
from hal.linux.sysfs import Sysfs

_OVER_CURRENT_COUNTS = "sys/class/hwmon/hwmon*/oc*_event_cnt"
_HOT = ("hot", "critical")


@enum.unique
class JetsonFault(enum.IntEnum):
    """The codes of faults that a Jetson reports; part of the interface to ground."""

    OVER_CURRENT_WARNING = 1
    OVER_CURRENT_CRITICAL = 2
    OVER_CURRENT_THROTTLE = 3
    THERMAL_THROTTLE = 4
    THERMAL_HOT = 5
    THERMAL_CRITICAL = 6
    MEMORY_CORRECTED = 7
    MEMORY_UNCORRECTED = 8


@enum.unique
class Throttle(enum.IntFlag):
    """Why the clock is held down, with NVML's bits, so that every board tells it alike."""

    NONE = 0x0
    IDLE = 0x1
    CHOSEN_CLOCKS = 0x2
    HARDWARE_SLOWDOWN = 0x8
    SOFTWARE_THERMAL = 0x20
    HARDWARE_THERMAL = 0x40
    POWER_BRAKE = 0x80


class Alarms:
    """The alarms of one Jetson: their state for a reading, their changes as faults."""

    def __init__(
        self,
        files: Sysfs,
        rails: list[Rail],
        zones: list[Zone],
        coolers: list[Cooler],
        edac: Edac,
        earlier: Alarms | None = None,
    ) -> None:
        """`earlier` are those of the same module as it lay before; what they told is told."""
        self._files = files
        self._rails = rails
        self._zones = zones
        self._coolers = coolers
        self._edac = edac
        self._counters = files.find(_OVER_CURRENT_COUNTS)
        self._raised: set[str] = set() if earlier is None else earlier._raised
        known: dict[str, int | None] = {} if earlier is None else earlier._events
        self._events: dict[str, int | None] = {
            p: known[p] if p in known else self._count(p) for p in self._counters
        }
        self._errors: list[ErrorCount] | None = (
            counts_or_none(edac) if earlier is None else earlier._errors
        )

    def changes(self, time_ns: int) -> list[Fault]:
        """What was raised or counted since the last call; what stays raised is told once."""
        return [
            *self._over_currents(time_ns),
            *self._heat(time_ns),
            *self._throttling(time_ns),
            *self._memory(time_ns),
        ]

    def throttle(self, gpu: Gpu) -> float:
        """Why the GPU is slower than it could be, as bits of `Throttle`. Raises BoardError."""
        reasons = Throttle.NONE
        if gpu.load is not None and self._files.number(gpu.load) == 0:
            reasons |= Throttle.IDLE
        highest = gpu.highest_mhz(self._files)
        if highest is not None and gpu.clock_mhz(self._files, "max") < highest - 0.5:
            reasons |= Throttle.CHOSEN_CLOCKS
        if any(_slows_gpu(cooler) and cooler.is_active(self._files) for cooler in self._coolers):
            reasons |= Throttle.SOFTWARE_THERMAL
        zone = gpu_zone(self._zones)
        if zone is not None and self._is_above(zone, "hot"):
            reasons |= Throttle.HARDWARE_SLOWDOWN | Throttle.HARDWARE_THERMAL
        if any(is_raised(self._files, path) for rail in self._rails for path, _ in rail.alarms):
            reasons |= Throttle.POWER_BRAKE
        return float(reasons)

    def _over_currents(self, time_ns: int) -> Iterator[Fault]:
        for rail in self._rails:
            for path, level in rail.alarms:
                if self._is_new(f"{rail.label} {level}", is_raised(self._files, path)):
                    code = JetsonFault.OVER_CURRENT_WARNING
                    if level == "critical":
                        code = JetsonFault.OVER_CURRENT_CRITICAL
                    yield _fault(time_ns, code, f"over-current on rail {rail.label}: {level}")
        for path in self._counters:
            before, after = self._events[path], self._count(path)
            self._events[path] = after if after is not None else before
            if before is not None and after is not None and after > before:
                name = path.rpartition("/")[2].partition("_")[0].upper()
                text = f"over-current throttling {name}: {after - before} event(s)"
                yield _fault(time_ns, JetsonFault.OVER_CURRENT_THROTTLE, text)

    def _heat(self, time_ns: int) -> Iterator[Fault]:
        for zone in self._zones:
            for kind in _HOT:
                if self._is_new(f"{zone.name} {kind}", self._is_above(zone, kind)):
                    code = JetsonFault.THERMAL_HOT
                    if kind == "critical":
                        code = JetsonFault.THERMAL_CRITICAL
                    limit = zone.limit_c(kind)
                    yield _fault(time_ns, code, f"{zone.name} is above its {kind} trip, {limit} °C")

    def _throttling(self, time_ns: int) -> Iterator[Fault]:
        for cooler in self._coolers:
            if self._is_new(cooler.path, cooler.is_active(self._files)):
                text = f"heat slows it down: {cooler.label}"
                yield _fault(time_ns, JetsonFault.THERMAL_THROTTLE, text)

    def _memory(self, time_ns: int) -> Iterator[Fault]:
        counts = counts_or_none(self._edac)
        if counts is None:
            return
        before, self._errors = self._errors, counts
        for count in risen(before or (), counts) if before is not None else ():
            if count.corrected:
                text = f"{count.corrected} corrected memory error(s) in {count.place}"
                code = JetsonFault.MEMORY_CORRECTED
                yield Fault(time_ns, 0, FaultKind.ECC_CORRECTED, code, text)
            if count.uncorrected:
                text = f"{count.uncorrected} uncorrected memory error(s) in {count.place}"
                code = JetsonFault.MEMORY_UNCORRECTED
                yield Fault(time_ns, 0, FaultKind.ECC_UNCORRECTED, code, text)

    def _is_above(self, zone: Zone, kind: str) -> bool:
        limit_c = zone.limit_c(kind)
        if limit_c is None:
            return False
        try:
            return zone.measure(self._files) >= limit_c
        except BoardError:
            return False

    def _is_new(self, name: str, raised: bool) -> bool:
        """Whether an alarm was raised just now; remembers it until it is lowered."""
        if not raised:
            self._raised.discard(name)
            return False
        if name in self._raised:
            return False
        self._raised.add(name)
        return True

    def _count(self, path: str) -> int | None:
        try:
            return self._files.number(path)
        except BoardError:
            return None


def _slows_gpu(cooler: Cooler) -> bool:
    label = cooler.label.lower()
    return "cpu" not in label and "cv" not in label and "soc" not in label


def _fault(time_ns: int, code: JetsonFault, text: str) -> Fault:
    return Fault(time_ns, 0, FaultKind.OTHER, int(code), text)
