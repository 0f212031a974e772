"""The computer's watchdog: armed, stroked, disarmed, and every way it can refuse."""

from __future__ import annotations

import errno
import os
import struct
from pathlib import Path

import pytest

from hal.errors import DriverFault, DriverMissing, NotPermitted, WrongRequest
from hal.linux.watchdog import BootCause, HardwareWatchdog

pytestmark = pytest.mark.portable

BOOT_STATUS, KEEP_ALIVE, SET_TIMEOUT, GET_TIMEOUT = 0x80045702, 0x80045705, 0xC0045706, 0x80045707


class Driver:
    """A watchdog driver: what it was asked, and which requests it refuses with which errno."""

    def __init__(self, granted_s: int | None = None, boot: int = 0) -> None:
        self.granted_s = granted_s
        self.boot = boot
        self.requests: list[int] = []
        self.refused: dict[int, int] = {}

    def __call__(self, _descriptor: int, request: int, buffer: bytearray) -> int:
        self.requests.append(request)
        if request in self.refused:
            raise OSError(self.refused[request], os.strerror(self.refused[request]))
        asked = struct.unpack("=i", buffer)[0]
        answers = {
            BOOT_STATUS: self.boot,
            SET_TIMEOUT: asked if self.granted_s is None else self.granted_s,
            GET_TIMEOUT: self.granted_s or 0,
        }
        buffer[:] = struct.pack("=i", answers.get(request, 0))
        return 0


@pytest.fixture
def device(tmp_path: Path) -> Path:
    path = tmp_path / "watchdog0"
    path.touch()
    return path


def test_opening_it_arms_it_with_the_time_that_the_device_grants(device: Path) -> None:
    watchdog = HardwareWatchdog(device, 20, Driver(granted_s=16))
    assert watchdog.timeout_s == 16
    assert watchdog.boot_cause is BootCause.NONE
    watchdog.close()


def test_a_stroke_is_a_keep_alive(device: Path) -> None:
    driver = Driver()
    watchdog = HardwareWatchdog(device, 20, driver)
    assert watchdog.stroke()
    assert driver.requests.count(KEEP_ALIVE) == 1
    watchdog.close()


def test_closing_it_disarms_it_by_the_magic_letter(device: Path) -> None:
    watchdog = HardwareWatchdog(device, 20, Driver())
    assert watchdog.close()
    assert device.read_bytes() == b"V"
    assert watchdog.close()


def test_it_can_be_left_counting(device: Path) -> None:
    HardwareWatchdog(device, 20, Driver()).close(disarm=False)
    assert device.read_bytes() == b""


def test_it_says_whether_it_caused_the_last_start(device: Path) -> None:
    watchdog = HardwareWatchdog(device, 20, Driver(boot=0x20))
    assert watchdog.boot_cause is BootCause.WATCHDOG
    watchdog.close()


def test_a_device_that_does_not_tell_why_it_started_is_still_armed(device: Path) -> None:
    driver = Driver(boot=0x20)
    driver.refused[BOOT_STATUS] = errno.ENOTTY
    watchdog = HardwareWatchdog(device, 20, driver)
    assert watchdog.boot_cause is BootCause.NONE
    watchdog.close()


def test_a_device_with_a_time_of_its_own_keeps_it_and_says_so(device: Path) -> None:
    driver = Driver(granted_s=60)
    driver.refused[SET_TIMEOUT] = errno.EOPNOTSUPP
    watchdog = HardwareWatchdog(device, 20, driver)
    assert watchdog.timeout_s == 60
    assert "60 s" in watchdog.trouble
    watchdog.close()


def test_a_device_that_grants_no_time_at_all_is_disarmed_and_refused(device: Path) -> None:
    driver = Driver()
    driver.refused = {SET_TIMEOUT: errno.EINVAL, GET_TIMEOUT: errno.ENOTTY}
    with pytest.raises(DriverFault, match="Invalid argument"):
        HardwareWatchdog(device, 20, driver)
    assert device.read_bytes() == b"V"


def test_a_missing_device_says_which_driver_to_load(tmp_path: Path) -> None:
    with pytest.raises(DriverMissing, match="softdog"):
        HardwareWatchdog(tmp_path / "none")


@pytest.mark.parametrize(
    ("code", "kind", "told"),
    [
        (errno.EBUSY, DriverFault, "RuntimeWatchdogSec"),
        (errno.EACCES, NotPermitted, "udev rule"),
        (errno.ENODEV, DriverMissing, "softdog"),
        (errno.EIO, DriverFault, "Input/output error"),
    ],
)
def test_a_device_that_is_held_or_closed_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, code: int, kind: type[Exception], told: str
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(kind, match=told):
        HardwareWatchdog()


def test_a_stroke_that_fails_is_an_answer_and_never_raises(device: Path) -> None:
    driver = Driver()
    watchdog = HardwareWatchdog(device, 20, driver)
    driver.refused[KEEP_ALIVE] = errno.EIO
    assert not watchdog.stroke()
    assert "not stroked" in watchdog.trouble
    driver.refused.clear()
    assert watchdog.stroke()
    assert watchdog.trouble == ""
    watchdog.close()
    assert not watchdog.stroke()
    assert "closed" in watchdog.trouble


def test_a_device_that_cannot_be_disarmed_says_so(
    device: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watchdog = HardwareWatchdog(device, 20, Driver())

    def refuse(*_: object) -> int:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", refuse)
        assert not watchdog.close()
    assert "not disarmed" in watchdog.trouble


def test_a_time_that_cannot_be_is_refused_before_anything_is_armed(device: Path) -> None:
    driver = Driver()
    with pytest.raises(WrongRequest, match="at least 1 s"):
        HardwareWatchdog(device, 0, driver)
    assert driver.requests == []
