"""Heat in a Jetson: thermal zones with their trip points, and what cools by slowing down."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from hal.errors import BoardError, Unsupported
from hal.linux.sysfs import Sysfs, slug
from hal.sensor import Quantity, Sensor, single

_ZONES = "sys/devices/virtual/thermal/thermal_zone*"
_COOLING = "sys/class/thermal/cooling_device*"
_SUFFIX = re.compile(r"[-_]therm(al)?$", re.IGNORECASE)
_OFF_MILLI_C = -256_000
_SLOWING = ("throttle-alert", "hot-surface-alert", "cpufreq", "devfreq", "17000000", "gpufreq")
"""Parts of the names of cooling devices that cool by slowing something down."""


@dataclass(frozen=True)
class Zone:
    """One thermal zone; `trips` are (kind, °C), the kinds those of Linux."""

    name: str
    folder: str
    trips: tuple[tuple[str, float], ...]

    def measure(self, files: Sysfs) -> float:
        """Its temperature in °C. Raises BoardError, Unsupported while its block is off."""
        milli_c = files.number(f"{self.folder}/temp")
        if milli_c <= _OFF_MILLI_C:
            raise Unsupported(f"the {self.name} block is switched off (-256 °C)")
        return milli_c * 1e-3

    def limit_c(self, kind: str) -> float | None:
        """The lowest trip point of a kind."""
        return min((at for which, at in self.trips if which == kind), default=None)


def zones(files: Sysfs) -> list[Zone]:
    """Every thermal zone; the PMIC's, which is a constant on the modules that have one, is not."""
    found: dict[str, Zone] = {}
    for folder in files.find(_ZONES):
        label = files.text_or("", f"{folder}/type")
        name = slug(_SUFFIX.sub("", label))
        if not name or name.startswith("pmic"):
            continue
        if name in found:
            name = f"{name}_{len(found)}"
        found[name] = Zone(name, folder, tuple(_trips(files, folder)))
    return list(found.values())


def _trips(files: Sysfs, folder: str) -> Iterator[tuple[str, float]]:
    for path in files.find(f"{folder}/trip_point_*_temp"):
        kind = files.text_or("", path.removesuffix("temp") + "type")
        try:
            yield kind, files.number(path) * 1e-3
        except BoardError:
            continue


def gpu_zone(found: list[Zone]) -> Zone | None:
    """The GPU's zone, or the hottest spot's where there is none."""
    by_name = {zone.name: zone for zone in found}
    return by_name.get("gpu") or by_name.get("tj")


def sensors(files: Sysfs, found: list[Zone]) -> list[Sensor]:
    """The GPU's temperature under the name it has on every board, then every other zone's."""
    gpu = gpu_zone(found)
    result = [single(_quantity("temperature_c"), partial(_measure, files, gpu))]
    for zone in found:
        if zone is not gpu:
            name = f"temperature_{zone.name}"[:29] + "_c"
            result.append(single(_quantity(name), partial(zone.measure, files)))
    return result


def _measure(files: Sysfs, zone: Zone | None) -> float:
    if zone is None:
        raise Unsupported("no thermal zone of the GPU below /sys/devices/virtual/thermal")
    return zone.measure(files)


def _quantity(name: str) -> Quantity:
    return Quantity(name, "°C", -60.0, 150.0)


@dataclass(frozen=True)
class Cooler:
    """A cooling device that slows something down when its state is above 0."""

    label: str
    path: str

    def is_active(self, files: Sysfs) -> bool:
        """Whether it slows down now; one that cannot be read does not."""
        try:
            return files.number(self.path) > 0
        except BoardError:
            return False


def coolers(files: Sysfs) -> list[Cooler]:
    """Every cooling device that slows down; fans are none."""
    found = []
    for path in files.find(f"{_COOLING}/type"):
        label = files.text_or("", path)
        if any(part in label.lower() for part in _SLOWING):
            found.append(Cooler(label, path.removesuffix("type") + "cur_state"))
    return found
