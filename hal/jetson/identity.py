"""Which Jetson this is: module, its limits, and the release it runs."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from hal.errors import BoardError
from hal.linux.sysfs import Sysfs
from icd.written import json_value

_TREE = "proc/device-tree"
SIGNS = ("sys/class/devfreq/*gpu*", "dev/nvhost-*", "dev/nvmap", "etc/nv_tegra_release")
"""Files that only a Jetson has, also where its device tree cannot be seen."""
HIDDEN = (
    "this is a Jetson whose device tree is hidden: a container masks /sys/firmware, of which "
    "/proc/device-tree is a link; start it with --security-opt systempaths=unconfined (podman: "
    "--security-opt unmask=/sys/firmware), or run the payload beside it"
)
_PART = re.compile(r"p[0-9]{4}-[0-9]{4}")
_RELEASE = re.compile(r"R([0-9]+)\s*\(release\),\s*REVISION:\s*([0-9.]+)")


@dataclass(frozen=True)
class Module:
    """One module by its part number; `power_w` is the largest budget its data sheet names, or the
    one of its Super modes where it is set up with them."""

    part: str
    name: str
    power_w: float | None
    super_w: float | None = None


SUPER_MODE = "MAXN_SUPER"
"""The mode without a limit of a module that is set up with Super modes."""
_POWER_MODES = "etc/nvpmodel.conf"

# Part numbers and budgets: NVIDIA's module data sheets and the Jetson Linux developer guides.
# Super modes: NVIDIA, "JetPack 6.2 brings Super Mode to Jetson Orin Nano and Orin NX" (2025):
# up to 40 W on Orin NX and 25 W on Orin Nano; MAXN_SUPER itself is held to that budget.
_MODULES = {
    module.part: module
    for module in (
        Module("p3834-0008", "Jetson AGX Thor", 130.0),
        Module("p3767-0000", "Jetson Orin NX 16GB", 25.0, 40.0),
        Module("p3767-0001", "Jetson Orin NX 8GB", 20.0, 40.0),
        Module("p3767-0003", "Jetson Orin Nano 8GB", 15.0, 25.0),
        Module("p3767-0004", "Jetson Orin Nano 4GB", 10.0, 25.0),
        Module("p3767-0005", "Jetson Orin Nano 8GB", 15.0, 25.0),
        Module("p3701-0000", "Jetson AGX Orin 32GB", 60.0),
        Module("p3701-0004", "Jetson AGX Orin 32GB", 40.0),
        Module("p3701-0005", "Jetson AGX Orin 64GB", 60.0),
        Module("p3701-0008", "Jetson AGX Orin Industrial", 75.0),
        Module("p3668-0000", "Jetson Xavier NX", 20.0),
        Module("p3668-0001", "Jetson Xavier NX", 20.0),
        Module("p3668-0003", "Jetson Xavier NX 16GB", 20.0),
        Module("p2888-0001", "Jetson AGX Xavier 16GB", 30.0),
        Module("p2888-0004", "Jetson AGX Xavier 32GB", 30.0),
        Module("p2888-0005", "Jetson AGX Xavier 64GB", 30.0),
        Module("p2888-0008", "Jetson AGX Xavier Industrial", 40.0),
        Module("p3636-0001", "Jetson TX2 NX", 15.0),
        Module("p3489-0000", "Jetson TX2i", 20.0),
        Module("p3310-1000", "Jetson TX2", 15.0),
        Module("p2180-1000", "Jetson TX1", 15.0),
        Module("p3448-0000", "Jetson Nano", 10.0),
        Module("p3448-0002", "Jetson Nano", 10.0),
        Module("p3448-0003", "Jetson Nano 2GB", 10.0),
    )
}


def model(files: Sysfs) -> str:
    """The model by the device tree, empty when there is none."""
    return files.text_or("", f"{_TREE}/model")


def serial(files: Sysfs) -> str:
    """The serial number of the module, empty when the device tree does not tell it."""
    return files.text_or("", f"{_TREE}/serial-number")


def is_jetson(files: Sysfs) -> bool:
    """Whether the computer says that it is a Jetson, or at least a Tegra."""
    told = model(files) + files.text_or("", f"{_TREE}/compatible")
    return "jetson" in told.lower() or "tegra" in told.lower()


def signs_of_tegra(files: Sysfs) -> list[str]:
    """The files that only a Jetson has, where no device tree says that it is one."""
    if files.text_or("", f"{_TREE}/compatible"):
        return []
    return [path for pattern in SIGNS for path in files.find(pattern)[:1]]


def module(files: Sysfs) -> Module:
    """The module by the part number in the device tree; its name is the model if unknown."""
    compatible = files.text_or("", f"{_TREE}/compatible")
    for part in _PART.findall(compatible):
        if part in _MODULES:
            return _as_set_up(_MODULES[part], files)
    first = _PART.search(compatible)
    return Module(first[0] if first else "", model(files), None)


def super_budget_w(files: Sysfs) -> float | None:
    """What the module's Super modes may draw, in W; None where it has none, or is unknown."""
    return module(files).super_w


def _as_set_up(found: Module, files: Sysfs) -> Module:
    """With the budget of its Super modes, where the power modes of this computer are those."""
    try:
        lines = files.lines(_POWER_MODES) if found.super_w else []
    except BoardError:
        return found
    has_super = any(SUPER_MODE in line.partition("#")[0] for line in lines)
    return replace(found, power_w=found.super_w) if has_super else found


def release(files: Sysfs) -> str:
    """The release of Jetson Linux, such as 36.4.3; empty when no file tells it."""
    found = _RELEASE.search(files.text_or("", "etc/nv_tegra_release"))
    return f"{found[1]}.{found[2]}" if found else ""


def jetpack(files: Sysfs) -> str:
    """The major version of JetPack that the release belongs to, such as `JetPack 6`."""
    major = release(files).partition(".")[0]
    versions = {"32": "4", "34": "5", "35": "5", "36": "6", "38": "7", "39": "7"}
    return f"JetPack {versions[major]}" if major in versions else ""


def cuda(files: Sysfs) -> str:
    """The version of the CUDA toolkit, empty where none is installed."""
    try:
        told = json_value("\n".join(files.lines("usr/local/cuda/version.json")))
        return str(told["cuda"]["version"])
    except (BoardError, ValueError, KeyError, TypeError):
        return ""
