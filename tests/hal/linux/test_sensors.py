"""Readings of the computer; whatever psutil does, they say so and nothing raises."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from hal.linux.sensors import HostSensors
from hal.reading import Reading, Validity

pytestmark = pytest.mark.portable


def by_name(readings: list[Reading]) -> dict[str, Reading]:
    return {reading.name: reading for reading in readings}


def test_the_computer_tells_its_load_memory_and_disks(tmp_path: Path) -> None:
    found = by_name(HostSensors({"state": tmp_path}, clock=lambda: 7).read())
    assert len(found) >= 12
    for name in ("host.memory_used_bytes", "host.disk_state_free_bytes", "host.load_1"):
        assert found[name].is_valid, found[name].reason
    used, total = (found[f"host.memory_{which}_bytes"].value or 0 for which in ("used", "total"))
    assert 0 < used < total
    assert all(reading.time_ns == 7 for reading in found.values())


def test_our_processes_are_read_by_name() -> None:
    found = by_name(HostSensors(processes={"executive": os.getpid()}).read())
    assert (found["host.process_executive_resident_bytes"].value or 0) > 1e6
    assert (found["host.process_executive_threads"].value or 0) >= 1
    assert found["host.process_executive_cpu_percent"].value is not None


def test_a_process_that_ended_is_an_error_and_a_new_one_takes_its_name() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    sensors = HostSensors(processes={"worker": child.pid})
    child.wait(30)
    gone = by_name(sensors.read())["host.process_worker_resident_bytes"]
    assert gone.validity is Validity.ERROR
    assert "has ended" in gone.reason
    sensors.watch({"worker": os.getpid()})
    assert by_name(sensors.read())["host.process_worker_resident_bytes"].is_valid


def test_a_process_that_is_watched_on_keeps_its_history() -> None:
    sensors = HostSensors(processes={"self": os.getpid()})
    sensors.read()
    kept = sensors._processes["self"]
    sensors.watch({"self": os.getpid(), "other": 1})
    assert sensors._processes["self"] is kept


def test_a_disk_that_is_gone_is_an_error(tmp_path: Path) -> None:
    found = by_name(HostSensors({"state": tmp_path / "none"}).read())
    assert found["host.disk_state_free_bytes"].validity is Validity.ERROR


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (psutil.AccessDenied(4711), "may not see"),
        (PermissionError(13, "Permission denied"), "Permission denied"),
        (OSError(5, "Input/output error"), "Input/output error"),
        (ValueError("strange /proc"), "strange /proc"),
    ],
)
def test_whatever_a_call_does_is_in_its_reading_alone(
    monkeypatch: pytest.MonkeyPatch, error: Exception, told: str
) -> None:
    def broken(*_: Any) -> Any:
        raise error

    monkeypatch.setattr(psutil, "virtual_memory", broken)
    found = by_name(HostSensors().read())
    assert found["host.memory_used_bytes"].validity is Validity.ERROR
    assert told in found["host.memory_used_bytes"].reason
    assert found["host.load_1"].is_valid


def test_what_a_computer_does_not_tell_is_unsupported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "cpu_freq", lambda: None)
    found = by_name(HostSensors().read())["host.clock_cpu_mhz"]
    assert found.validity is Validity.UNSUPPORTED
