"""Power of a Jetson: the rails that its INA3221 and INA238 monitors see, their sum, its energy."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from hal.errors import BoardError, Unsupported
from hal.linux.sysfs import Sysfs, slug
from hal.sensor import Quantity, Sensor

_MONITORS = "sys/bus/i2c/devices/*/name"
_SHUNT_SUM = 7
_INPUTS = ("VIN", "POM_5V_IN", "VDD_IN")
"""Rails that carry everything: where there is one, the others are inside it."""

_NESTED = frozenset({"VDDQ_VDD2_1V8AO"})
"""Rails fed by another measured rail (AGX Orin: by VIN_SYS_5V0): in no sum."""

_WORDS = re.compile(r"[A-Za-z0-9]+")
_LONGEST_GAP_NS = 10_000_000_000


@dataclass(frozen=True)
class Rail:
    """One measured rail: its label, files of its voltage (mV) and current (mA), and its alarms."""

    label: str
    volts: str
    amperes: str
    power: str | None = None
    """A file with its power, and how many watts one unit of it is."""

    power_scale: float = 1e-3
    alarms: tuple[tuple[str, str], ...] = ()
    """Files that turn 1, with `warning` or `critical`."""

    @property
    def name(self) -> str:
        return slug(self.label)

    def measure(self, files: Sysfs) -> tuple[float, ...]:
        """Power in W, voltage in V, current in A. Raises BoardError."""
        volts, amperes = files.number(self.volts) * 1e-3, files.number(self.amperes) * 1e-3
        if self.power is None:
            return volts * amperes, volts, amperes
        return files.number(self.power) * self.power_scale, volts, amperes


def rails(files: Sysfs) -> list[Rail]:
    """Every rail with a name, in the order of the buses; unconnected channels are left out."""
    found: dict[str, Rail] = {}
    for path in files.find(_MONITORS):
        kind = files.text_or("", path).lower()
        folder = path.rpartition("/")[0]
        if "ina3221" in kind:
            for rail in (*_hwmon(files, folder), *_iio(files, folder)):
                found.setdefault(rail.label, rail)
        elif "ina238" in kind:
            for rail in _ina238(files, folder):
                found.setdefault(rail.label, rail)
    return list(found.values())


def _hwmon(files: Sysfs, folder: str) -> Iterator[Rail]:
    """The driver of the mainline kernel: JetPack 5 and newer."""
    for path in files.find(f"{folder}/hwmon/hwmon*/in*_label"):
        place, _, file = path.rpartition("/")
        number = int(_digits(file))
        label = files.text_or("", path)
        if number == _SHUNT_SUM or not _is_connected(label):
            continue
        alarms = (
            (f"{place}/curr{number}_max_alarm", "warning"),
            (f"{place}/curr{number}_crit_alarm", "critical"),
        )
        there = tuple(alarm for alarm in alarms if files.has(alarm[0]))
        volts, amperes = f"{place}/in{number}_input", f"{place}/curr{number}_input"
        yield Rail(label, volts, amperes, alarms=there)


def _iio(files: Sysfs, folder: str) -> Iterator[Rail]:
    """The driver of JetPack 4, which multiplies voltage and current itself."""
    for path in files.find(f"{folder}/iio:device*/rail_name_*"):
        place, _, file = path.rpartition("/")
        number = _digits(file)
        label = files.text_or("", path)
        if not _is_connected(label):
            continue
        power = f"{place}/in_power{number}_input"
        yield Rail(
            label,
            f"{place}/in_voltage{number}_input",
            f"{place}/in_current{number}_input",
            power if files.has(power) else None,
        )


def _ina238(files: Sysfs, folder: str) -> Iterator[Rail]:
    """The monitor of the whole system's input that Thor's carrier board has; power in µW."""
    for path in files.find(f"{folder}/hwmon/hwmon*/in1_input"):
        place = path.rpartition("/")[0]
        power = f"{place}/power1_input"
        found = power if files.has(power) else None
        yield Rail("VIN", path, f"{place}/curr1_input", found, 1e-6)


def _digits(name: str) -> str:
    return "".join(character for character in name if character.isdigit()) or "0"


def _is_connected(label: str) -> bool:
    return bool(label) and "NC" not in _WORDS.findall(label)


def summed(found: list[Rail]) -> list[Rail]:
    """The rails whose powers add up to what the module draws."""
    by_label = {rail.label.upper(): rail for rail in found}
    for label in _INPUTS:
        if label in by_label:
            return [by_label[label]]
    return [rail for rail in found if rail.label.upper() not in _NESTED]


class PowerMeter:
    """Power of the whole module in W, and its integral in J since the driver was opened.

    `rails` are those whose powers add up. `clock` gives ns. Across a gap of more than 10 s nothing
    is counted: nobody knows.
    """

    def __init__(self, files: Sysfs, clock: Callable[[], int]) -> None:
        self._files = files
        self.rails: list[Rail] = []
        self._clock = clock
        self._energy_j = 0.0
        self._last: tuple[int, float] | None = None

    def measure(self) -> tuple[float, ...]:
        """Power and energy. Raises BoardError, Unsupported where no monitor is found."""
        if not self.rails:
            raise Unsupported("no INA3221 power monitor below /sys/bus/i2c/devices")
        power_w = sum(rail.measure(self._files)[0] for rail in self.rails)
        now = self._clock()
        if self._last is not None and 0 <= now - self._last[0] <= _LONGEST_GAP_NS:
            self._energy_j += (now - self._last[0]) * 1e-9 * (power_w + self._last[1]) / 2.0
        self._last = now, power_w
        return power_w, self._energy_j

    def sensor(self) -> Sensor:
        """The sensor of both, under the names they have on every board."""
        return Sensor(
            (Quantity("power_w", "W", 0.0, 500.0), Quantity("energy_j", "J")), self.measure
        )


def rail_sensor(files: Sysfs, rail: Rail) -> Sensor:
    """Power, voltage and current of one rail."""
    name = f"rail_{rail.name}"[:29]
    quantities = (
        Quantity(f"{name}_w", "W", 0.0, 500.0),
        Quantity(f"{name}_v", "V", 0.0, 60.0),
        Quantity(f"{name}_a", "A", 0.0, 100.0),
    )
    return Sensor(quantities, partial(rail.measure, files))


def is_raised(files: Sysfs, path: str) -> bool:
    """Whether an alarm file says 1; one that cannot be read says nothing."""
    try:
        return files.number(path) == 1
    except BoardError:
        return False
