"""Kernel files of Jetsons of several kinds and releases, as small as they can be."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

_I2C = "sys/bus/i2c/devices"
_THERMAL = "sys/devices/virtual/thermal"
_DEBUG = "sys/kernel/debug"

MEMINFO = {
    "proc/meminfo": "MemTotal:  8000000 kB\nMemFree:  5000000 kB\nMemAvailable:  6000000 kB\n"
}


def hwmon(chip: str, number: int, rails: Mapping[str, tuple[int, int]]) -> dict[str, str]:
    """An INA3221 behind the mainline driver: label -> mV, mA."""
    folder = f"{_I2C}/{chip}/hwmon/hwmon{number}"
    files = {f"{_I2C}/{chip}/name": "ina3221\n", f"{folder}/in7_label": "sum of shunt voltages\n"}
    for channel, (label, (milli_v, milli_a)) in enumerate(rails.items(), 1):
        files[f"{folder}/in{channel}_label"] = f"{label}\n"
        files[f"{folder}/in{channel}_input"] = f"{milli_v}\n"
        files[f"{folder}/curr{channel}_input"] = f"{milli_a}\n"
    return files


def iio(chip: str, number: int, rails: Mapping[str, tuple[int, int]]) -> dict[str, str]:
    """An INA3221 behind NVIDIA's driver of JetPack 4: label -> mV, mA."""
    folder = f"{_I2C}/{chip}/iio:device{number}"
    files = {f"{_I2C}/{chip}/name": "ina3221x\n"}
    for channel, (label, (milli_v, milli_a)) in enumerate(rails.items()):
        files[f"{folder}/rail_name_{channel}"] = f"{label}\n"
        files[f"{folder}/in_voltage{channel}_input"] = f"{milli_v}\n"
        files[f"{folder}/in_current{channel}_input"] = f"{milli_a}\n"
        files[f"{folder}/in_power{channel}_input"] = f"{milli_v * milli_a // 1000}\n"
        files[f"{folder}/warn_current_limit_{channel}"] = "32760 ma\n"
    return files


def zones(*named: tuple[str, int]) -> dict[str, str]:
    """Thermal zones: type and m°C."""
    files = {}
    for index, (kind, milli_c) in enumerate(named):
        files[f"{_THERMAL}/thermal_zone{index}/type"] = f"{kind}\n"
        files[f"{_THERMAL}/thermal_zone{index}/temp"] = f"{milli_c}\n"
    return files


def devfreq(folder: str, node: str, load: int | None, hz: tuple[int, int, int]) -> dict[str, str]:
    """A GPU: its devfreq folder, the name of its node, its load, and its clocks in Hz."""
    place = f"sys/class/devfreq/{folder}"
    files = {
        f"{place}/device/of_node/name": f"{node}\0",
        f"{place}/min_freq": f"{hz[0]}\n",
        f"{place}/cur_freq": f"{hz[1]}\n",
        f"{place}/max_freq": f"{hz[2]}\n",
        f"{place}/governor": "nvhost_podgov\n",
    }
    return files if load is None else {**files, f"{place}/device/load": f"{load}\n"}


def identity(model: str, compatible: str, release: str) -> dict[str, str]:
    return {
        "proc/device-tree/model": f"{model}\0",
        "proc/device-tree/compatible": compatible.replace(" ", "\0") + "\0",
        "proc/device-tree/serial-number": "1420123456789\0",
        "etc/nv_tegra_release": release,
    }


ORIN_NX = {
    **identity(
        "NVIDIA Jetson Orin NX Engineering Reference Developer Kit",
        "nvidia,p3768-0000+p3767-0000 nvidia,p3767-0000 nvidia,tegra234",
        "# R35 (release), REVISION: 4.1, GCID: 33958178, BOARD: t186ref, EABI: aarch64\n",
    ),
    **hwmon(
        "1-0040", 3, {"VDD_IN": (5040, 1200), "VDD_CPU_GPU_CV": (5032, 240), "VDD_SOC": (5032, 400)}
    ),
    **zones(
        ("CPU-therm", 48_500), ("GPU-therm", 47_250), ("CV0-therm", -256_000), ("tj-therm", 49_000)
    ),
    **devfreq("17000000.ga10b", "ga10b", 437, (306_000_000, 612_000_000, 918_000_000)),
    "sys/class/hwmon/hwmon0/name": "pwmfan\n",
    "sys/class/hwmon/hwmon0/pwm1": "102\n",
    "sys/class/hwmon/hwmon2/name": "pwm_tach\n",
    "sys/class/hwmon/hwmon2/rpm": "2400\n",
    **MEMINFO,
}

XAVIER_JETPACK_4 = {
    **identity(
        "Jetson-AGX",
        "nvidia,p2972-0000 nvidia,p2888-0004 nvidia,tegra194",
        "# R32 (release), REVISION: 7.1, GCID: 29818004, BOARD: t186ref, EABI: aarch64\n",
    ),
    **iio("1-0040", 0, {"GPU": (19000, 300), "CPU": (19000, 100), "SOC": (19000, 120)}),
    **iio("1-0041", 1, {"CV": (19000, 40), "VDDRQ": (19000, 60), "SYS5V": (5000, 500)}),
    **zones(
        ("CPU-therm", 41_000),
        ("GPU-therm", 40_500),
        ("PMIC-Die", 100_000),
        ("thermal-fan-est", 41_200),
    ),
    **devfreq("17000000.gv11b", "gv11b", 995, (114_750_000, 1_377_000_000, 1_377_000_000)),
    f"{_DEBUG}/clk/override.emc/clk_rate": "2133000000\n",
    f"{_DEBUG}/tegra_bwmgr/emc_max_rate": "2133000000\n",
    "sys/kernel/actmon_avg_activity/mc_all": "53325000\n",
    "sys/devices/pwm-fan/target_pwm": "51\n",
    **MEMINFO,
}

NANO = {
    **identity(
        "NVIDIA Jetson Nano Developer Kit",
        "nvidia,p3450-0000 nvidia,p3448-0000 nvidia,tegra210",
        "# R32 (release), REVISION: 6.1, GCID: 27863751, BOARD: t210ref, EABI: aarch64\n",
    ),
    **iio(
        "6-0040", 0, {"POM_5V_IN": (5080, 500), "POM_5V_GPU": (5080, 40), "POM_5V_CPU": (5080, 140)}
    ),
    **zones(
        ("AO-therm", 40_000), ("CPU-therm", 33_500), ("GPU-therm", 31_000), ("PLL-therm", 31_500)
    ),
    "sys/devices/gpu.0/load": "120\n",
    **devfreq("57000000.gpu", "gpu", None, (76_800_000, 76_800_000, 921_600_000)),
    **MEMINFO,
}

TX2 = {
    **identity(
        "quill",
        "nvidia,p2597-0000+p3310-1000 nvidia,p3310-1000 nvidia,tegra186",
        "# R32 (release), REVISION: 5.2, GCID: 27767740, BOARD: t186ref, EABI: aarch64\n",
    ),
    **iio(
        "0-0040",
        0,
        {"VDD_SYS_GPU": (19000, 20), "VDD_SYS_SOC": (19000, 40), "VDD_4V0_WIFI": (4800, 4)},
    ),
    **iio(
        "0-0041",
        1,
        {"VDD_IN": (19000, 250), "VDD_SYS_CPU": (19000, 30), "VDD_SYS_DDR": (19000, 60)},
    ),
    **zones(
        ("BCPU-therm", 36_000),
        ("GPU-therm", 35_000),
        ("PMIC-Die", 100_000),
        ("Tboard_tegra", 33_000),
    ),
    **devfreq("17000000.gp10b", "gp10b", 0, (114_750_000, 114_750_000, 1_300_500_000)),
    **MEMINFO,
}

THOR = {
    **identity(
        "NVIDIA Jetson AGX Thor Developer Kit",
        "nvidia,p4071-0000+p3834-0008 nvidia,p3834-0008 nvidia,tegra264",
        "# R38 (release), REVISION: 2.0, GCID: 41844464, BOARD: generic, EABI: aarch64\n",
    ),
    **hwmon("2-0040", 4, {"VDD_GPU": (19000, 900), "VDD_CPU_SOC_MSS": (19000, 800)}),
    f"{_I2C}/2-0044/name": "ina238\n",
    f"{_I2C}/2-0044/hwmon/hwmon5/in1_input": "19000\n",
    f"{_I2C}/2-0044/hwmon/hwmon5/curr1_input": "2300\n",
    f"{_I2C}/2-0044/hwmon/hwmon5/power1_input": "43700000\n",
    **zones(("cpu-thermal", 45_000), ("gpu-thermal", 44_000), ("tj-thermal", 46_000)),
    **devfreq("gpu-gpc-0", "gpu-gpc", None, (315_000_000, 1_575_000_000, 1_575_000_000)),
    **devfreq("gpu-nvd-0", "gpu-nvd", None, (315_000_000, 315_000_000, 1_692_000_000)),
    **devfreq("bwmgr", "bwmgr", None, (665_600_000, 4_266_000_000, 4_266_000_000)),
    **MEMINFO,
}

ALL = {"orin_nx": ORIN_NX, "xavier": XAVIER_JETPACK_4, "nano": NANO, "tx2": TX2, "thor": THOR}


def plant(root: Path, files: Mapping[str, str]) -> Path:
    """Write a tree; its root."""
    for path, text in {"sys/devices/system/cpu/present": "0-3\n", **files}.items():
        place = root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    return root
