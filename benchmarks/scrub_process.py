"""A scrub worker beside a benchmark, spoken to as the executive does."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

from flight.deployment.configuration import ScrubberSettings
from flight.framework.channel import Channel, pair

MIB = 1 << 20
WALK_LIMIT_S = 120.0


class ScrubProcess:
    """A worker with the default settings over a run directory."""

    def __init__(self, folder: Path, run_dir: Path) -> None:
        state = folder / "state"
        state.mkdir()
        configuration = folder / "scrub.json"
        configuration.write_text(json.dumps({"state_dir": str(state), "run_dir": str(run_dir)}))
        mine, theirs = pair()
        lease, self._lease = os.pipe()
        self._channel = Channel(mine, epoch=1)
        descriptors = (theirs.fileno(), lease)
        environment = {
            **os.environ,
            "VANALLEN_CHANNEL_FD": str(descriptors[0]),
            "VANALLEN_LEASE_FD": str(descriptors[1]),
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "flight.components.scrubber.worker.worker", str(configuration)],
            env=environment,
            pass_fds=descriptors,
        )
        theirs.close()
        os.close(lease)
        self.pid = self._process.pid
        chosen = ScrubberSettings()
        self._channel.send("hello", {})
        self._channel.send(
            "settings",
            {
                "is_enabled": True,
                "rate": chosen.rate_mib_s * MIB,
                "period_s": chosen.period_s,
                "factor": 1.0,
            },
        )

    def __enter__(self) -> ScrubProcess:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.wait()
        self._channel.close()
        os.close(self._lease)

    def walk_seconds(self) -> float:
        """Have everything walked from its first block; how long that took."""
        deadline = time.monotonic() + WALK_LIMIT_S
        while time.monotonic() < deadline:
            self._channel.send("scrub", {"id": 1, "region": ""})
            while (body := self._next("done", deadline)) is not None:
                if body["ok"]:
                    return float(body["value"]) / 1000
                break  # the region is not found yet
            time.sleep(0.2)
        raise TimeoutError(f"no walk within {WALK_LIMIT_S:g} s")

    def share_of_a_core(self, seconds: float) -> float:
        """What it uses of a processor over that time."""
        process = psutil.Process(self.pid)
        before = sum(process.cpu_times()[:2])
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self._next("never", deadline)
        return (sum(process.cpu_times()[:2]) - before) / seconds

    def rss_mib(self) -> float:
        """Memory of its own, without the regions."""
        memory = psutil.Process(self.pid).memory_info()
        return (memory.rss - memory.shared) / MIB

    def _next(self, kind: str, deadline: float) -> dict[str, Any] | None:
        while (left := deadline - time.monotonic()) > 0:
            select.select([self._channel], [], [], left)
            for message in self._channel.receive():
                if message.kind == kind:
                    return message.body
        return None
