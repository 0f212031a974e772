"""The integrated GPU of a Jetson, its memory bus, its memory, its fan, and who computes on it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from hal.errors import BoardError, DriverFault, NotPermitted, Unsupported, WrongRequest
from hal.linux.sysfs import Sysfs, Vanished
from hal.sensor import Quantity, Sensor, single

_DEVFREQ = "sys/class/devfreq"
_CHIPS = ("ga10b", "gv11b", "gp10b", "gb10b", "gpu")
_OLD_LOADS = ("sys/devices/gpu.0/load", "sys/devices/platform/gpu.0/load")
_DEBUG = "sys/kernel/debug"
_EMC_RATES = (
    f"{_DEBUG}/bpmp/debug/clk/emc/rate",
    f"{_DEVFREQ}/bwmgr/cur_freq",
    f"{_DEBUG}/clk/override.emc/clk_rate",
    f"{_DEBUG}/clk/emc/clk_rate",
)
_EMC_LOADS = (
    f"{_DEBUG}/cactmon/mc_all",
    f"{_DEBUG}/bpmp/debug/actmon/mc_all_avg_activity",
    "sys/kernel/actmon_avg_activity/mc_all",
)
_CLIENTS = f"{_DEBUG}/nvmap/iovmm/maps"
_CLIENT = re.compile(r"^\w+\s+\S+\s+(\d+)\s+(\d+)([KMG]?)$")
_SIZES = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
_MEMORY = re.compile(r"^(\w+):\s+(\d+)\s+kB$")


@dataclass(frozen=True)
class Gpu:
    """Where the GPU is: its devfreq folder (None on old kernels) and the file of its load."""

    folder: str | None
    load: str | None
    told: Callable[[], float] | None = None
    """What tells the load in % where no file does; raises BoardError."""

    @property
    def name(self) -> str:
        return "" if self.folder is None else self.folder.rpartition("/")[2]

    def need(self) -> str:
        """The devfreq folder. Raises Unsupported where there is none."""
        if self.folder is None:
            raise Unsupported(f"no GPU below /{_DEVFREQ}")
        return self.folder

    def clock_mhz(self, files: Sysfs, which: str = "cur") -> float:
        """Its clock, or the bounds of it (`min`, `max`), in MHz. Raises BoardError."""
        return files.number(f"{self.need()}/{which}_freq") * 1e-6

    def load_percent(self, files: Sysfs) -> float:
        """The share of the time it was busy, in %. Raises BoardError."""
        if self.load is None and self.told is not None:
            return self.told()
        if self.load is None:
            raise Unsupported("the kernel tells no load of this GPU; on Thor, NVML does")
        return files.number(self.load) / 10.0

    def frequencies_hz(self, files: Sysfs) -> list[int]:
        """Every frequency it can run at, from the lowest. Raises BoardError."""
        folder = self.need()
        try:
            found = set(files.numbers(f"{folder}/available_frequencies"))
        except Vanished:
            found = {files.number(f"{folder}/{which}_freq") for which in ("min", "max")}
        if not found:
            raise DriverFault(f"/{folder}/available_frequencies names none")
        return sorted(found)

    def highest_mhz(self, files: Sysfs) -> float | None:
        """Its highest frequency, None where nothing tells it."""
        try:
            return max(self.frequencies_hz(files)) * 1e-6
        except BoardError:
            return None

    def lock(self, files: Sysfs, clock_mhz: float) -> float:
        """Hold one frequency; the one it then has as upper bound, in MHz. Raises BoardError."""
        frequencies = self.frequencies_hz(files)
        wanted = min(frequencies, key=lambda each: abs(each - clock_mhz * 1e6))
        if not abs(wanted - clock_mhz * 1e6) <= 1e6:  # nor may it be no number at all
            known = ", ".join(f"{each / 1e6:g}" for each in frequencies)
            raise WrongRequest(f"the GPU has no {clock_mhz:g} MHz; give {known}")
        return self._bound(files, wanted, wanted, min(frequencies))

    def unlock(self, files: Sysfs) -> float:
        """Let it run between its lowest and its highest frequency. Raises BoardError."""
        frequencies = self.frequencies_hz(files)
        return self._bound(files, min(frequencies), max(frequencies), min(frequencies))

    def _bound(self, files: Sysfs, low_hz: int, high_hz: int, lowest_hz: int) -> float:
        """Set both bounds; the lower one first goes down, as it may never be above the upper."""
        folder = self.need()
        files.write(f"{folder}/min_freq", str(lowest_hz))
        files.write(f"{folder}/max_freq", str(high_hz))
        files.write(f"{folder}/min_freq", str(low_hz))
        return self.clock_mhz(files, "max")


def find_gpu(files: Sysfs) -> Gpu:
    """The GPU by the name of its device-tree node, or else by its folder's."""
    ranked = []
    for folder in files.find(f"{_DEVFREQ}/*"):
        name = files.text_or("", f"{folder}/device/of_node/name").lower()
        own = folder.rpartition("/")[2].lower()
        if name in _CHIPS:
            ranked.append((0, folder))
        elif "gpu-gpc" in own:
            ranked.append((1, folder))
        elif any(chip in name or chip in own for chip in _CHIPS):
            ranked.append((2, folder))
    if not ranked:
        return Gpu(None, files.first(*_OLD_LOADS))
    best = min(ranked)[1]
    return Gpu(best, files.first(f"{best}/device/load", *_OLD_LOADS))


def sensors(files: Sysfs, gpu: Gpu) -> list[Sensor]:
    """Load and clocks of the GPU, under the names they have on every board."""
    clock = partial(Quantity, unit="MHz", low=0.0, high=10_000.0)
    return [
        single(Quantity("utilization_percent", "%", 0.0, 100.0), partial(gpu.load_percent, files)),
        single(clock("clock_sm_mhz"), partial(gpu.clock_mhz, files)),
        single(clock("clock_low_mhz"), partial(gpu.clock_mhz, files, "min")),
        single(clock("clock_high_mhz"), partial(gpu.clock_mhz, files, "max")),
    ]


def memory_sensors(files: Sysfs) -> list[Sensor]:
    """The memory that CPU and GPU share, its bus, and who has it mapped."""
    rate, load = files.first(*_EMC_RATES), files.first(*_EMC_LOADS)
    return [
        Sensor(
            (Quantity("memory_used_bytes", "B"), Quantity("memory_total_bytes", "B")),
            partial(_memory, files),
        ),
        single(
            Quantity("clock_memory_mhz", "MHz", 0.0, 20_000.0),
            lambda: files.number(_known(files, rate)) * 1e-6,
        ),
        single(
            Quantity("memory_utilization_percent", "%", 0.0, 100.0),
            lambda: _bus_percent(files, _known(files, rate), _known(files, load)),
        ),
        single(Quantity("processes", "processes"), lambda: float(len(list(clients(files))))),
    ]


def places_of_others(files: Sysfs) -> tuple[str, ...]:
    """The files of memory bus and fan that there are."""
    bus = [files.first(*_EMC_RATES), files.first(*_EMC_LOADS)]
    fans = [path for path in files.find("sys/class/hwmon/hwmon*/name") if _is_fan(files, path)]
    return tuple(path for path in (*bus, *fans) if path is not None)


def _is_fan(files: Sysfs, path: str) -> bool:
    folder = path.rpartition("/")[0]
    is_named = "fan" in files.text_or("", path) and files.has(f"{folder}/pwm1")
    return is_named or any(files.has(f"{folder}/{name}") for name in ("rpm", "fan1_input"))


def _known(files: Sysfs, path: str | None) -> str:
    if path is not None:
        return path
    if not files.find(f"{_DEBUG}/*"):
        raise NotPermitted(f"/{_DEBUG} is closed to this user; only root sees the memory bus")
    raise Unsupported("the kernel tells nothing of the memory bus")


def _bus_percent(files: Sysfs, rate: str, load: str) -> float:
    """The activity monitor counts in kHz of use, 100 to a kHz."""
    khz = files.number(rate) // 1000
    if khz <= 0:
        raise DriverFault(f"/{rate} says {khz} kHz")
    return files.number(load) / khz


def _memory(files: Sysfs) -> tuple[float, ...]:
    found = {}
    for line in files.lines("proc/meminfo"):
        if matched := _MEMORY.match(line):
            found[matched[1]] = int(matched[2]) * 1024.0
    try:
        total = found["MemTotal"]
        parts = ("MemFree", "Buffers", "Cached")
        free = found.get("MemAvailable") or sum(found[part] for part in parts)
    except KeyError as error:
        raise DriverFault(f"/proc/meminfo has no line {error}") from None
    return total - free, total


def total_memory(files: Sysfs) -> int | None:
    """Memory in octets, None where nothing tells it."""
    try:
        return int(_memory(files)[1])
    except BoardError:
        return None


def clients(files: Sysfs) -> Iterator[tuple[int, int]]:
    """(pid, octets) of every process with GPU memory. Raises BoardError; root only."""
    if not files.has(_CLIENTS):
        raise NotPermitted(f"/{_CLIENTS} is closed to this user; only root sees it")
    for line in files.lines(_CLIENTS):
        if matched := _CLIENT.match(line.strip()):
            yield int(matched[1]), int(matched[2]) * _SIZES[matched[3]]


def fan_sensors(files: Sysfs) -> list[Sensor]:
    """The fan, on the modules that have one; in orbit there is none."""
    found = []
    for path in files.find("sys/class/hwmon/hwmon*/name"):
        folder, kind = path.rpartition("/")[0], files.text_or("", path)
        if "fan" in kind and files.has(f"{folder}/pwm1"):
            found.append(_percent(files, f"{folder}/pwm1"))
        for name in ("rpm", "fan1_input"):
            if files.has(f"{folder}/{name}"):
                found.append(_rpm(files, f"{folder}/{name}"))
    if not found and files.has("sys/devices/pwm-fan/target_pwm"):
        found.append(_percent(files, "sys/devices/pwm-fan/target_pwm"))
    unique = {sensor.quantities[0].name: sensor for sensor in reversed(found)}
    return list(unique.values())[::-1]


def _percent(files: Sysfs, path: str) -> Sensor:
    quantity = Quantity("fan_percent", "%", 0.0, 100.0)
    return single(quantity, lambda: files.number(path) * 100.0 / 255.0)


def _rpm(files: Sysfs, path: str) -> Sensor:
    return single(Quantity("fan_rpm", "rpm", 0.0, 30_000.0), lambda: float(files.number(path)))
