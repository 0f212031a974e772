"""A payload as a service: what systemd hears of it from start to end."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

DEADLINE_S = 60.0


class Service:
    """`flight run` with a socket that stands for systemd's."""

    def __init__(self, folder: Path) -> None:
        self.run = folder / "run"
        self._manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._manager.bind(str(folder / "notify"))
        (folder / "p1.toml").write_text(f'[watchdog]\ndevice = "{folder}/watchdog0"\n')
        options = ["--config", str(folder / "p1.toml"), "--state", str(folder / "state")]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "flight", "run", *options, "--run", str(self.run)],
            env={
                **os.environ,
                "NOTIFY_SOCKET": str(folder / "notify"),
                "WATCHDOG_USEC": "60000000",
            },
            stdout=subprocess.DEVNULL,
            cwd=Path(__file__).parents[2],
        )

    def hear(self, text: str) -> None:
        """Wait until systemd is told this; fails when it is not."""
        deadline = time.monotonic() + DEADLINE_S
        heard = []
        while text not in heard:
            self._manager.settimeout(max(0.001, deadline - time.monotonic()))
            heard += self._manager.recv(4096).decode().splitlines()

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(30)
        self._manager.close()


@pytest.fixture
def service() -> Iterator[Service]:
    with tempfile.TemporaryDirectory(prefix="va-") as folder:  # short, as sockets need it
        started = Service(Path(folder))
        yield started
        started.close()


@pytest.mark.slow
@pytest.mark.verifies("VA-SUP-08")
def test_systemd_hears_of_the_start_every_stroke_and_the_end(service: Service) -> None:
    service.hear("READY=1")
    service.hear("WATCHDOG=1")
    ready = json.loads((service.run / "ready.json").read_text())
    for pid in (ready["executive_pid"], *ready["workers"].values()):
        environment = Path(f"/proc/{pid}/environ").read_bytes()
        assert b"NOTIFY_SOCKET" not in environment
        assert b"WATCHDOG_USEC" not in environment
    os.kill(ready["executive_pid"], signal.SIGKILL)
    service.hear("WATCHDOG=1")  # the next executive strokes; systemd was told nothing else
    service.process.send_signal(signal.SIGTERM)
    service.hear("STOPPING=1")
    assert service.process.wait(30) == 0
