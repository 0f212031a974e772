"""Checks of what the payload may do to its board: allowed by name, and able to."""

from __future__ import annotations

from flight.components.recovery.fault_table import controls_up_to, level_named
from flight.doctor.finding import Finding, error, ok, warning
from flight.doctor.machine import Subject
from hal import boards
from hal.device import CONTROLS
from hal.errors import HalError

CAP_SYS_ADMIN = 21
LIMITS = ("power_limit_w", "locked_clock_mhz", "reset_clock", "clear_ecc")
"""What the NVIDIA driver takes from a process with CAP_SYS_ADMIN only."""
FOR_ROOT = ("gpu_reset", "driver_reload", "power_mode", "confirm_slot")
NVBOOTCTRL = ("/usr/sbin/nvbootctrl", "/usr/bin/nvbootctrl", "/sbin/nvbootctrl", "/bin/nvbootctrl")
OF_JETSON = ("other_slot", "confirm_slot")
HOST_BUSES = ("VANALLEN_HOST_BUS", "VANALLEN_HOST_BUS_FOLDER")


def controls(subject: Subject) -> Finding:
    """What may be changed has a name that boards know, and this process may change it."""
    allowed = subject.configuration.board.allow_control
    if unknown := [name for name in allowed if name not in CONTROLS]:
        return error(f"no control {unknown[0]!r}", f"allow any of {', '.join(CONTROLS)}")
    if not allowed:
        return ok("no limit, clock or counter of the board may be changed")
    if _is_emulated(subject):
        return ok(f"allowed: {', '.join(allowed)}")
    if refused := [name for name in allowed if not _may(subject, name)]:
        return warning(
            f"allowed, but this process cannot: {', '.join(refused)}",
            "see vanallen-control.conf and vanallen-recovery.conf in deploy/systemd",
        )
    return ok(f"allowed and possible: {', '.join(allowed)}")


def recovery(subject: Subject) -> Finding:
    """Each rung that recovery may climb by itself is possible for this process."""
    highest = level_named(subject.configuration.recovery.max_level)
    needed = controls_up_to(highest)
    refused = [name for name in needed if not _is_emulated(subject) and not _may(subject, name)]
    if refused:
        return warning(
            f"recovery may go up to {highest.words}, but this process cannot: {', '.join(refused)}",
            "see vanallen-recovery.conf in deploy/systemd, or lower [recovery] max_level",
        )
    return ok(f"recovery goes up to {highest.words}")


def _may(subject: Subject, name: str) -> bool:
    if name in FOR_ROOT and subject.machine.uid != 0:
        return False
    if name in LIMITS:
        return subject.machine.uid == 0 or _has_admin(subject)
    if name in OF_JETSON and not _has_slots(subject):
        return False
    if name in ("rail_power_cycle", "other_slot"):
        return any(subject.machine.environment.get(bus) for bus in HOST_BUSES)
    return True


def _has_slots(subject: Subject) -> bool:
    """Whether this is a Jetson whose boot slots can be told and chosen, which takes root."""
    has_tool = any(subject.machine.path(tool).is_file() for tool in NVBOOTCTRL)
    return subject.configuration.board.name == "jetson" and has_tool and subject.machine.uid == 0


def _has_admin(subject: Subject) -> bool:
    for line in (subject.machine.text("/proc/self/status") or "").splitlines():
        label, _, value = line.partition(":")
        if label == "CapEff":
            return bool(int(value, 16) >> CAP_SYS_ADMIN & 1)
    return False


def _is_emulated(subject: Subject) -> bool:
    try:
        return bool(boards.row(subject.configuration.board.name).companion_template)
    except HalError:
        return False
