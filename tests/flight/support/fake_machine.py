"""A machine made of files in a folder, for the doctor's checks."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from flight.deployment.configuration import from_mapping
from flight.doctor.finding import Finding
from flight.doctor.machine import Machine, Subject

HEALTHY = {
    "/proc/self/stat": "1 (x) S",
    "/proc/self/mounts": "/dev/sda / ext4 rw 0 0\n",
    "/proc/sys/kernel/random/boot_id": "0c6f2c6e-1c57-4e55-9c5e-2f8ad3a3b2de",
    "/proc/meminfo": "MemTotal: 33554432 kB\nMemAvailable: 16777216 kB\nHugePages_Total: 0\n",
    "/sys/fs/cgroup/cgroup.controllers": "cpu memory pids",
    "/sys/devices/system/clocksource/clocksource0/current_clocksource": "tsc",
}


class FakeMachine:
    """Files below a root, and answers that a test chooses."""

    def __init__(self, folder: Path) -> None:
        self.root, self.state, self.run = folder / "root", folder / "state", folder / "run"
        self.state.mkdir(mode=0o700)
        self.run.mkdir(mode=0o700)
        for name, text in HEALTHY.items():
            self.write(name, text)
        self.configuration: dict[str, Any] = {}
        self.machine = Machine(
            root=self.root,
            environment={"PATH": os.environ["PATH"], "HOME": str(folder)},
            python=(3, 12, 1),
            open_files=65536,
            clocks=lambda: (1.9e9, 7200.0, 7200.0),
            is_synchronised=lambda: True,
            has_pidfd=lambda: True,
            landlock_version=lambda: 6,
            why_not_bound=lambda _host, _port: "",
            ask_board=lambda _board: {"driver_version": "580.1", "devices": [{"name": "H100"}]},
            free_bytes=lambda _path: 1 << 40,
        )

    def write(self, name: str, text: str, mode: int = 0o644) -> Path:
        """Make a file of the system."""
        path = self.root / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        return path

    def remove(self, name: str) -> None:
        """Take a file of the system away."""
        (self.root / name.lstrip("/")).unlink()

    def set(self, **changes: Any) -> None:
        """Change what the machine answers."""
        self.machine = replace(self.machine, **changes)

    def become_somebody_else(self) -> None:
        """From now on the user owns no file here and is in no group of theirs."""
        self.set(uid=os.geteuid() + 1, groups=frozenset[int]())

    def subject(self) -> Subject:
        return Subject(self.machine, from_mapping(self.configuration), self.state, self.run)

    def asked(self, check: Callable[[Subject], Finding]) -> Finding:
        """What a check finds here."""
        return check(self.subject())
