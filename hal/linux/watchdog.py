"""The computer's own watchdog, which resets it when nobody strokes it in time (Linux)."""

from __future__ import annotations

import contextlib
import enum
import errno
import fcntl
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hal.errors import BoardError, DriverFault, DriverMissing, NotPermitted, WrongRequest

DEVICE = "/dev/watchdog"

# linux/watchdog.h: _IOR('W', n, int) and _IOWR('W', n, int).
_GET_BOOT_STATUS = 0x8004_5702
_KEEP_ALIVE = 0x8004_5705
_SET_TIMEOUT = 0xC004_5706
_GET_TIMEOUT = 0x8004_5707
_DISARM = b"V"

Control = Callable[[int, int, bytearray], Any]
"""fcntl.ioctl: descriptor, request, buffer that is changed in place."""


class BootCause(enum.IntFlag):
    """Why the computer started last, by its watchdog; bits of linux/watchdog.h."""

    NONE = 0x0
    OVERHEAT = 0x1
    FAN = 0x2
    EXTERNAL_1 = 0x4
    EXTERNAL_2 = 0x8
    UNDER_VOLTAGE = 0x10
    WATCHDOG = 0x20
    OVER_VOLTAGE = 0x40


class HardwareWatchdog:
    """The computer's watchdog: armed when it is opened, and resets the computer if not stroked.

    `timeout_s` is what the device granted, which may differ from what was asked for.
    """

    def __init__(
        self, device: Path | str = DEVICE, timeout_s: int = 30, control: Control = fcntl.ioctl
    ) -> None:
        """Arm it. Raises BoardError: DriverMissing, NotPermitted, DriverFault where it is held."""
        if timeout_s < 1:
            raise WrongRequest(f"a watchdog of {timeout_s} s; give at least 1 s")
        self._device = str(device)
        self._control = control
        self._descriptor: int | None = _open(self._device)
        self.trouble = ""
        try:
            self.boot_cause = self._boot_cause()
            self.timeout_s = self._set_timeout(timeout_s)
        except BoardError:
            self.close()
            raise

    def stroke(self) -> bool:
        """Start its time anew; false, and a sentence in `trouble`, where that fails."""
        if self._descriptor is None:
            self.trouble = f"{self._device} is closed"
            return False
        try:
            self._control(self._descriptor, _KEEP_ALIVE, bytearray(4))
        except OSError as error:
            self.trouble = f"{self._device} was not stroked: {error.strerror}"
            return False
        self.trouble = ""
        return True

    def close(self, disarm: bool = True) -> bool:
        """Close the device: disarmed, or else it resets the computer when its time is over.

        False where it could not be disarmed; one built with "nowayout" never can be.
        """
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is None:
            return True
        try:
            if disarm:
                os.write(descriptor, _DISARM)
        except OSError as error:
            self.trouble = f"{self._device} was not disarmed: {error.strerror}"
            return False
        finally:
            with contextlib.suppress(OSError):
                os.close(descriptor)
        return True

    def _boot_cause(self) -> BootCause:
        """Why the computer started last; a device that does not tell says nothing."""
        try:
            return BootCause(self._ask(_GET_BOOT_STATUS, 0) & 0x7F)
        except DriverFault:
            return BootCause.NONE

    def _set_timeout(self, timeout_s: int) -> int:
        """Ask for a time-out; a device with a fixed one keeps that, and says so."""
        try:
            return self._ask(_SET_TIMEOUT, timeout_s)
        except DriverFault as refused:
            try:
                fixed_s = self._ask(_GET_TIMEOUT, 0)
            except DriverFault:
                raise refused from None
            self.trouble = f"{self._device} keeps its own time-out of {fixed_s} s"
            return fixed_s

    def _ask(self, request: int, value: int) -> int:
        if self._descriptor is None:
            raise DriverFault(f"{self._device} is closed", "ioctl")
        buffer = bytearray(struct.pack("=i", value))
        try:
            self._control(self._descriptor, request, buffer)
        except OSError as error:
            raise DriverFault(f"{self._device}: {error.strerror}", f"ioctl {request:#x}") from error
        answer: int = struct.unpack("=i", buffer)[0]
        return answer


def _open(device: str) -> int:
    try:
        return os.open(device, os.O_WRONLY | os.O_CLOEXEC)
    except OSError as error:
        raise _refused(device, error) from error


def _refused(device: str, error: OSError) -> BoardError:
    if error.errno in (errno.ENOENT, errno.ENXIO, errno.ENODEV):
        return DriverMissing(
            f"no watchdog at {device}; load its driver (softdog where there is none)", "open"
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return NotPermitted(
            f"{device} is closed to this user; it takes root or a udev rule", "open"
        )
    if error.errno == errno.EBUSY:
        return DriverFault(
            f"{device} is held by another process; is RuntimeWatchdogSec= of systemd set, or a "
            "second payload running?",
            "open",
        )
    return DriverFault(f"{device}: {error.strerror}", "open")
