"""What every board answers: identity, readings, faults and controls."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Protocol

from hal.reading import Reading


@dataclass(frozen=True)
class Device:
    """One accelerator of a board. Empty text and None stand for what the driver did not tell."""

    index: int
    name: str
    uuid: str
    serial: str
    bus_id: str
    memory_bytes: int | None
    max_clock_mhz: float | None
    max_power_w: float | None


@dataclass(frozen=True)
class BoardIdentity:
    """What the payload says of its board in telemetry."""

    board: str
    driver: str
    driver_version: str
    library_version: str
    cuda_version: str
    devices: tuple[Device, ...]


@enum.unique
class FaultKind(enum.IntEnum):
    """What sort of thing happened to a device."""

    XID = 0
    ECC_CORRECTED = 1
    ECC_UNCORRECTED = 2
    LOST = 3
    OTHER = 4
    OVERFLOW = 5
    """More faults came than are told one by one; `code` is how many were left out."""


@dataclass(frozen=True)
class Fault:
    """Something that happened to a device; `code` is its XID, or else the driver's event type."""

    time_ns: int
    device: int | None
    """None where the driver named no device that is known."""
    kind: FaultKind
    code: int
    text: str


@dataclass(frozen=True)
class ControlRequest:
    """An action by name (see `CONTROLS`) on one device; `value` in the unit the name ends in."""

    action: str
    value: float = 0.0
    device: int = 0
    processes: tuple[tuple[int, int], ...] = ()
    """For `kill_contexts`: (pid, start time in kernel ticks) of those that we started."""


@dataclass(frozen=True)
class ControlResult:
    """What the board says it did: `value` is read back from it, None when it did not tell."""

    request: ControlRequest
    done: bool
    value: float | None
    text: str


@dataclass(frozen=True)
class ProcessUse:
    """A process that computes on a device; memory is None when the driver does not tell."""

    device: int
    pid: int
    memory_bytes: int | None


CONTROLS = {
    "power_limit_w": "cap the board's power",
    "power_mode": "turn on one of the board's power modes, by its number",
    "locked_clock_mhz": "hold the SM clock at one frequency",
    "reset_clock": "let the driver choose the SM clock again",
    "clear_ecc": "set the volatile ECC counters to zero",
    "kill_contexts": "end those of the given processes that compute on the device",
    "gpu_reset": "reset the device",
    "driver_reload": "take the driver out of the kernel and in again",
    "rail_power_cycle": "ask the host to switch the board's power off and on",
    "other_slot": "let the other boot slot start, then the same",
    "confirm_slot": "tell the boot loader that the running slot booted well",
}
"""Every action a board may offer. Each is refused until it is allowed by name."""

RECOVERIES = ("kill_contexts", "gpu_reset", "driver_reload", "rail_power_cycle")
"""The rungs of the recovery ladder among them, mildest first. They take seconds."""


class Board(Protocol):
    """A board. Trouble with the hardware is in the answers: no method below raises for it."""

    def identity(self) -> BoardIdentity:
        """Names and versions; what the driver does not tell is empty."""

    def devices(self) -> list[Device]:
        """The accelerators, in the driver's order."""

    def read(self) -> list[Reading]:
        """Every sensor once, always in the same order; a failing one gives an invalid reading."""

    def processes(self) -> list[ProcessUse]:
        """Who computes on the board; a device that cannot tell contributes nothing."""

    def faults(self, timeout_s: float) -> list[Fault]:
        """Wait up to `timeout_s` for faults; all that have come, oldest first."""

    def control(self, request: ControlRequest) -> ControlResult:
        """Do one action, if it is allowed; refusals and failures are answers, not exceptions.

        A recovery takes seconds, during which the `wait` that the board was opened with is called.
        """

    def close(self) -> None:
        """Close the driver; a second call does nothing."""
