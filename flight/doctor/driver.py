"""Checks of the board: its driver, its library and who may use its devices."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

from flight.doctor.finding import Finding, error, ok, warning
from flight.doctor.machine import Subject
from hal import boards
from hal.errors import HalError
from icd import extras

NVIDIA = ("/dev/nvidiactl", "/dev/nvidia[0-9]*", "/dev/nvidia-uvm")
JETSON = ("/dev/nvmap", "/dev/nvhost-*gpu*", "/dev/nvgpu/*/*")
TEGRA = (
    "/sys/class/devfreq/*gpu*",
    "/dev/nvhost-*",
    "/dev/nvmap",
    "/etc/nv_tegra_release",
)
"""What only a Jetson has, also where its device tree cannot be seen."""
COMPILERS = ("cc", "gcc", "clang")


def driver(subject: Subject) -> Finding:
    """The board opens and says who it is; an emulated one can be built."""
    name = subject.configuration.board.name
    try:
        row = boards.row(name)
    except HalError as failure:
        return error(str(failure), "give --board, or [board] name, one of these")
    if row.companion_template:
        return _compiler(subject, name)
    answer = subject.machine.ask_board(name)
    is_there = "error" not in answer and bool(answer.get("devices"))
    if not is_there and (hidden := _hidden_jetson(subject, row.opener)):
        return hidden
    if "error" in answer:
        return error(f"{name}: {answer['error']}", _driver_advice(row.opener))
    devices = answer.get("devices") or []
    if not devices:
        return error(f"{name}: the driver shows no device", _driver_advice(row.opener))
    names = ", ".join(str(device.get("name") or "a GPU") for device in devices)
    return ok(f"{names}; driver {answer.get('driver_version') or 'of unknown version'}")


def devices(subject: Subject) -> Finding:
    """This user may open the nodes of the accelerator."""
    try:
        row = boards.row(subject.configuration.board.name)
    except HalError:
        return warning("the board is not known, nor are its devices", "name a board first")
    if row.companion_template:
        return ok("an emulated board needs no device")
    is_jetson = "jetson" in row.opener
    if is_jetson and subject.configuration.compute == "host":
        return ok("readings of a Jetson are files that all may read")
    patterns = JETSON if is_jetson else NVIDIA
    nodes = [node for pattern in patterns for node in subject.machine.found(pattern)]
    if not nodes:
        return error(f"none of {', '.join(patterns)} is there", _driver_advice(row.opener))
    closed = [str(node) for node in nodes if not subject.machine.may_use(node)]
    if closed:
        return error(
            f"this user may not open {', '.join(closed)}",
            "add it to the groups video and render (deploy/README.md), then log in again",
        )
    return ok(f"{len(nodes)} device nodes can be opened")


def compute(subject: Subject) -> Finding:
    """What jobs compute on is installed."""
    if subject.configuration.compute == "host":
        return ok("jobs compute on the processor (compute = 'host')")
    if importlib.util.find_spec("numba_cuda") is None:
        return error("numba-cuda is not installed", extras.install("numba_cuda"))
    return ok("jobs compute on the GPU with numba-cuda")


def _compiler(subject: Subject, name: str) -> Finding:
    search = subject.machine.environment.get("PATH", "")
    found = next((c for c in COMPILERS if shutil.which(c, path=search)), None)
    if found or importlib.util.find_spec("ziglang"):
        return ok(f"{name} is built with {found or 'ziglang'}")
    return error(
        f"no C compiler to build {name}", f"apt install gcc, or {extras.install('ziglang')}"
    )


def _hidden_jetson(subject: Subject, opener: str) -> Finding | None:
    """A Jetson that cannot be seen as one, or that is asked for the GPUs of a server."""
    machine = subject.machine
    signs = [str(found[0]) for sign in TEGRA if (found := machine.found(sign))]
    if not signs:
        return None
    text = f"this is a Jetson ({', '.join(signs)})"
    if machine.text("/proc/device-tree/compatible") is None:
        return error(
            f"{text}, and its device tree is hidden: a container masks /sys/firmware",
            "start the container with --security-opt systempaths=unconfined (podman: unmask="
            "/sys/firmware), or run the payload beside it",
        )
    if "jetson" not in opener:
        return error(f"{text}; its GPU is not on PCIe", "give --board jetson; see docs/jetson.md")
    return None


def _driver_advice(opener: str) -> str:
    if "jetson" in opener:
        return "run it on a Jetson with JetPack; see docs/jetson.md"
    return "see what nvidia-smi says; install the driver, or reboot; see docs/gpu-box.md"


def emulated_library(subject: Subject) -> Finding:
    """The run directory lets the emulated library be loaded."""
    try:
        row = boards.row(subject.configuration.board.name)
    except HalError:
        return warning("the board is not known", "name a board first")
    _, options = subject.machine.mount(Path(subject.run))
    if row.companion_template and "noexec" in options:
        return error(
            f"{subject.run} is mounted noexec: the emulated library does not load from there",
            "give --run on a file system without noexec, such as /tmp",
        )
    return ok("the run directory serves this board")
