"""The kernel files of a Jetson AGX Orin with JetPack 6: where they are and what they say."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from sim_hw.orin.constants import FREQUENCIES_HZ, MODES, ORIN, Mode
from sim_hw.orin.sysfs_tree import SysfsTree
from sim_hw.orin.vendor_tools import CONFIGURATION, NVBOOTCTRL, NVPMODEL, configuration

MODE_STATUS = "var/lib/nvpmodel/status"
ACTIVE_SLOT = "var/lib/nvbootctrl/active"
CURRENT_SLOT = "var/lib/nvbootctrl/current"
TRIES, CONFIRMED = "var/lib/nvbootctrl/tries", "var/lib/nvbootctrl/confirmed"
"""With a slot's number: boots that are left to it, and whether one was said to have gone well."""
MOST_TRIES = 3
FLASH = "var/lib"
"""What is stored in the module and not in its memory."""

_BUS = "sys/devices/platform/bus@0"
_GPU = f"{_BUS}/17000000.gpu"
DEVFREQ = f"{_GPU}/devfreq/17000000.gpu"
_BASE = "sys/firmware/devicetree/base"
_DEBUG = "sys/kernel/debug"
_THERMAL = "sys/devices/virtual/thermal"
_SOCTHERM = "sys/devices/platform/soctherm-oc-event/hwmon/hwmon1"
_I2C = f"{_BUS}/c240000.i2c/i2c-1"
MC = "sys/devices/system/edac/mc/mc0"

RAILS = {
    "VDD_GPU_SOC": (f"{_I2C}/1-0040/hwmon/hwmon3", 1),
    "VDD_CPU_CV": (f"{_I2C}/1-0040/hwmon/hwmon3", 2),
    "VIN_SYS_5V0": (f"{_I2C}/1-0040/hwmon/hwmon3", 3),
    "VDDQ_VDD2_1V8AO": (f"{_I2C}/1-0041/hwmon/hwmon4", 2),
}
"""Label of each rail -> folder and number of its channel."""

_UNCONNECTED = ((f"{_I2C}/1-0041/hwmon/hwmon4", 1), (f"{_I2C}/1-0041/hwmon/hwmon4", 3))
ZONES = ("cpu", "gpu", "cv0", "cv1", "cv2", "soc0", "soc1", "soc2", "tj")
COOLERS = ("cpu-throttle-alert", "gpu-throttle-alert", "soc0-throttle-alert")
OVER_CURRENTS = 3
OFF_MILLI_C = -256_000


@dataclass(frozen=True)
class Picture:
    """Everything that moves, at one moment."""

    rails: Mapping[str, tuple[int, int]]
    """Label -> mV, mA."""

    zones: Mapping[str, float]
    """Name -> °C; a zone that is missing is switched off."""

    clock_hz: int
    load_permille: int
    emc_hz: int
    emc_percent: float
    used_kb: int
    clients: tuple[tuple[int, int], ...] = ()
    """pid, octets."""

    alarms: Mapping[str, str] = field(default_factory=dict)
    """Label of a rail -> `warning` or `critical`."""

    over_currents: tuple[int, ...] = (0, 0, 0)
    is_throttled: bool = False
    corrected: int = 0
    uncorrected: int = 0


def build(tree: SysfsTree, serial: str, limits_ma: tuple[int, int]) -> None:
    """Write what does not change; what a client may have set before is left as it is."""
    tree.put(_identity(serial))
    tree.put(_gpu())
    tree.put(_monitors(limits_ma))
    tree.put(_thermal())
    tree.put(_memory())
    tree.tool("usr/sbin/nvpmodel", NVPMODEL)
    tree.tool("usr/sbin/nvbootctrl", NVBOOTCTRL)
    for path, text in _settings().items():
        if not tree.read(path):
            tree.put({path: text})
    for path, target in _links().items():
        tree.link(path, target)


def boot(tree: SysfsTree, broken: Collection[int] = ()) -> None:
    """What a boot does to the settings: a slot runs, the saved mode bounds the clock.

    `broken` are the slots whose software does not come up.
    """
    fresh = {
        **_load(tree, broken),
        f"{DEVFREQ}/min_freq": _line(FREQUENCIES_HZ[0]),
        f"{DEVFREQ}/max_freq": _line(mode_of(tree).gpu_hz),
    }
    for path in fresh:
        tree.accept(path)
    tree.put(fresh)


def _load(tree: SysfsTree, broken: Collection[int]) -> dict[str, str]:
    """What the boot loader does: the active slot is tried, until its tries are used up.

    A slot that was never said to have booted well loses a try with each boot; with none left, and
    when it does not come up, the other one runs and is active from then on.
    """
    slot = 1 if tree.read(ACTIVE_SLOT) == "1" else 0
    tries = round(tree.number(f"{TRIES}{slot}", MOST_TRIES))
    is_confirmed = tree.read(f"{CONFIRMED}{slot}") == "1"
    files = {}
    if slot in broken or not (tries or is_confirmed):
        files = {f"{TRIES}{slot}": _line(0), f"{CONFIRMED}{slot}": _line(0)}
        slot = 1 - slot
    elif not is_confirmed:
        files = {f"{TRIES}{slot}": _line(tries - 1)}
    return {**files, ACTIVE_SLOT: _line(slot), CURRENT_SLOT: _line(slot)}


def mode_of(tree: SysfsTree) -> Mode:
    """The power mode that nvpmodel saved."""
    text = tree.read(MODE_STATUS).removeprefix("pmode:")
    number = int(text) if text.isdigit() else 0
    return MODES[number] if number < len(MODES) else MODES[0]


def moving(picture: Picture) -> dict[str, str]:
    """What the files say of a moment."""
    return {
        **_rails(picture),
        **_temperatures(picture),
        **_counters(picture),
        f"{DEVFREQ}/cur_freq": _line(picture.clock_hz),
        f"{_GPU}/load": _line(picture.load_permille),
        f"{_DEBUG}/bpmp/debug/clk/emc/rate": _line(picture.emc_hz),
        f"{_DEBUG}/cactmon/mc_all": _line(round(picture.emc_percent * picture.emc_hz / 1000)),
        f"{_DEBUG}/nvmap/iovmm/maps": _maps(picture),
        "proc/meminfo": _meminfo(picture.used_kb),
    }


def _line(value: object) -> str:
    return f"{value}\n"


def _identity(serial: str) -> dict[str, str]:
    return {
        f"{_BASE}/model": "NVIDIA Jetson AGX Orin Developer Kit\0",
        f"{_BASE}/compatible": "nvidia,p3737-0000+p3701-0005\0nvidia,p3701-0005\0nvidia,tegra234\0",
        f"{_BASE}/serial-number": f"{serial}\0",
        f"{_BASE}/nvidia,dtsfilename": "tegra234-p3737-0000+p3701-0005-nv.dts\0",
        f"{_BASE}/bus@0/gpu@17000000/name": "gpu\0",
        "etc/nv_tegra_release": "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, "
        "EABI: aarch64, DATE: Wed Jan  8 01:49:37 UTC 2025\n",
        "usr/local/cuda/version.json": '{"cuda": {"name": "CUDA SDK", "version": "12.6.68"}}\n',
        CONFIGURATION: configuration(),
    }


def _gpu() -> dict[str, str]:
    emc = f"{_DEBUG}/bpmp/debug/clk/emc"
    return {
        f"{DEVFREQ}/available_frequencies": _line(" ".join(map(str, FREQUENCIES_HZ))),
        f"{DEVFREQ}/governor": "nvhost_podgov\n",
        f"{DEVFREQ}/available_governors": "nvhost_podgov userspace performance simple_ondemand\n",
        f"{_GPU}/railgate_enable": "1\n",
        f"{_GPU}/enable_3d_scaling": "1\n",
        f"{_GPU}/tpc_pg_mask": "0\n",
        f"{emc}/max_rate": _line(MODES[0].emc_hz),
        f"{emc}/min_rate": "204000000\n",
        f"{emc}/mrq_rate_locked": "0\n",
        "sys/kernel/nvpmodel_emc_cap/emc_iso_cap": "0\n",
    }


def _monitors(limits_ma: tuple[int, int]) -> dict[str, str]:
    """What does not move in the INA3221 monitors and the over-current counters' folder."""
    files = {f"{_SOCTHERM}/name": "soctherm_oc\n"}
    for number in range(1, OVER_CURRENTS + 1):
        files[f"{_SOCTHERM}/oc{number}_throt_en"] = "1\n"
    for chip, hwmon in (("1-0040", "hwmon3"), ("1-0041", "hwmon4")):
        files[f"{_I2C}/{chip}/name"] = "ina3221\n"
        files[f"{_I2C}/{chip}/hwmon/{hwmon}/name"] = "ina3221\n"
        files[f"{_I2C}/{chip}/hwmon/{hwmon}/in7_label"] = "sum of shunt voltages\n"
    for label, (folder, number) in RAILS.items():
        files[f"{folder}/in{number}_label"] = _line(label)
        files[f"{folder}/curr{number}_max"] = _line(limits_ma[0])
        files[f"{folder}/curr{number}_crit"] = _line(limits_ma[1])
    for folder, number in _UNCONNECTED:
        files[f"{folder}/in{number}_label"] = "NC\n"
    return files


def _thermal() -> dict[str, str]:
    files = {}
    trips = (("passive", ORIN.throttle_c), ("hot", ORIN.slowdown_c), ("critical", ORIN.shutdown_c))
    for index, name in enumerate(ZONES):
        folder = f"{_THERMAL}/thermal_zone{index}"
        files[f"{folder}/type"] = f"{name}-thermal\n"
        files[f"{folder}/mode"] = "enabled\n"
        for place, (kind, at_c) in enumerate(trips):
            files[f"{folder}/trip_point_{place}_type"] = _line(kind)
            files[f"{folder}/trip_point_{place}_temp"] = _line(round(at_c * 1000))
    for index, name in enumerate(COOLERS):
        files[f"{_THERMAL}/cooling_device{index}/type"] = _line(name)
        files[f"{_THERMAL}/cooling_device{index}/max_state"] = "1\n"
    return files


def _memory() -> dict[str, str]:
    size_mb = round(ORIN.memory_bytes / 2**20)
    return {
        f"{MC}/mc_name": "tegra234-mc\n",
        f"{MC}/size_mb": _line(size_mb),
        f"{MC}/ce_noinfo_count": "0\n",
        f"{MC}/ue_noinfo_count": "0\n",
        f"{MC}/csrow0/mem_type": "Unbuffered-LPDDR5\n",
        f"{MC}/csrow0/size_mb": _line(size_mb),
    }


def _settings() -> dict[str, str]:
    """What clients set: it outlives a companion that died."""
    return {
        MODE_STATUS: "pmode:0000\n",
        ACTIVE_SLOT: "0\n",
        CURRENT_SLOT: "0\n",
        **{f"{TRIES}{slot}": _line(MOST_TRIES) for slot in (0, 1)},
        f"{CONFIRMED}0": "1\n",
        f"{CONFIRMED}1": "0\n",
        f"{MC}/reset_counters": "0\n",
        f"{DEVFREQ}/min_freq": _line(FREQUENCIES_HZ[0]),
        f"{DEVFREQ}/max_freq": _line(FREQUENCIES_HZ[-1]),
    }


def _links() -> dict[str, str]:
    links = {
        "proc/device-tree": _BASE,
        "sys/class/devfreq/17000000.gpu": DEVFREQ,
        f"{DEVFREQ}/device": _GPU,
        f"{_GPU}/of_node": f"{_BASE}/bus@0/gpu@17000000",
        "sys/class/hwmon/hwmon1": _SOCTHERM,
    }
    for chip, hwmon in (("1-0040", "hwmon3"), ("1-0041", "hwmon4")):
        links[f"sys/bus/i2c/devices/{chip}"] = f"{_I2C}/{chip}"
        links[f"sys/class/hwmon/{hwmon}"] = f"{_I2C}/{chip}/hwmon/{hwmon}"
    for index in range(len(ZONES)):
        links[f"sys/class/thermal/thermal_zone{index}"] = f"{_THERMAL}/thermal_zone{index}"
    for index in range(len(COOLERS)):
        links[f"sys/class/thermal/cooling_device{index}"] = f"{_THERMAL}/cooling_device{index}"
    return links


def _rails(picture: Picture) -> dict[str, str]:
    files = {}
    for label, (milli_v, milli_a) in picture.rails.items():
        folder, number = RAILS[label]
        level = picture.alarms.get(label, "")
        files[f"{folder}/in{number}_input"] = _line(milli_v)
        files[f"{folder}/curr{number}_input"] = _line(milli_a)
        files[f"{folder}/curr{number}_max_alarm"] = _line(int(level in ("warning", "critical")))
        files[f"{folder}/curr{number}_crit_alarm"] = _line(int(level == "critical"))
    return files


def _temperatures(picture: Picture) -> dict[str, str]:
    files = {}
    for index, name in enumerate(ZONES):
        temperature_c = picture.zones.get(name)
        milli_c = OFF_MILLI_C if temperature_c is None else round(temperature_c * 1000)
        files[f"{_THERMAL}/thermal_zone{index}/temp"] = _line(milli_c)
    for index, name in enumerate(COOLERS):
        active = picture.is_throttled and name.startswith("gpu")
        files[f"{_THERMAL}/cooling_device{index}/cur_state"] = _line(int(active))
    return files


def _counters(picture: Picture) -> dict[str, str]:
    files = {}
    for number, count in enumerate(picture.over_currents, 1):
        files[f"{_SOCTHERM}/oc{number}_event_cnt"] = _line(count)
    for folder in (MC, f"{MC}/csrow0"):
        files[f"{folder}/ce_count"] = _line(picture.corrected)
        files[f"{folder}/ue_count"] = _line(picture.uncorrected)
    return files


def _maps(picture: Picture) -> str:
    lines = ["CLIENT                        PROCESS      PID        SIZE"]
    lines += [f"user  python {pid} {size // 1024}K" for pid, size in picture.clients]
    total = sum(size for _, size in picture.clients) // 1024
    return "\n".join([*lines, f"total  {total}K", ""])


def _meminfo(used_kb: int) -> str:
    total_kb = round(ORIN.memory_bytes / 1024)
    free_kb = max(0, total_kb - used_kb)
    rows = {
        "MemTotal": total_kb,
        "MemFree": free_kb,
        "MemAvailable": free_kb,
        "Buffers": 0,
        "Cached": 0,
        "SwapTotal": 0,
        "SwapFree": 0,
        "SReclaimable": 0,
    }
    return "".join(f"{name + ':':<15} {value:>8} kB\n" for name, value in rows.items())
