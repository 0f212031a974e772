"""A worker process under test: its channel and lease held by the test, as the supervisor would."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from flight.framework.channel import Channel, Message, pair

REPOSITORY = Path(__file__).parents[3]


class WorkerBench:
    """Starts ``python -m <module> <configuration>`` and talks to it."""

    def __init__(self, module: str, folder: Path, configuration: dict[str, Any]) -> None:
        self._command = [sys.executable, "-m", module, str(folder / f"{module}.json")]
        (folder / f"{module}.json").write_text(json.dumps(configuration))
        self.lease_read, self._lease_write = os.pipe()
        self.seen: list[Message] = []
        self.start()

    def start(self) -> None:
        """Start the worker, or a successor with a channel of its own."""
        mine, theirs = pair()
        self.channel = Channel(mine, epoch=5)
        with theirs:
            descriptors = (theirs.fileno(), self.lease_read)
            self.process = subprocess.Popen(
                self._command,
                env={
                    **os.environ,
                    "VANALLEN_CHANNEL_FD": str(descriptors[0]),
                    "VANALLEN_LEASE_FD": str(descriptors[1]),
                    "PYTHONPATH": os.pathsep.join([str(REPOSITORY), str(Path(__file__).parent)]),
                },
                pass_fds=descriptors,
                cwd=REPOSITORY,
            )

    def hello(self) -> None:
        """Say hello with this bench's epoch, and wait for a first beat."""
        self.channel.send("hello", {})
        self.expect("beat")

    def expect(self, kind: str, timeout_s: float = 90.0, **body: Any) -> Message:
        """The next message of a kind whose body has these items; earlier ones are kept too."""
        deadline = time.monotonic() + timeout_s
        while True:
            for index, message in enumerate(self.seen):
                if message.kind == kind and body.items() <= message.body.items():
                    return self.seen.pop(index)
            left = deadline - time.monotonic()
            assert left > 0, f"no {kind} {body} within {timeout_s} s; saw {self.seen[-5:]}"
            select.select([self.channel], [], [], left)
            self.seen += self.channel.receive()
            assert not self.channel.closed, f"the worker ended; it sent {self.seen}"

    def end_lease(self) -> None:
        """Do what the death of the supervisor does."""
        if self._lease_write >= 0:
            os.close(self._lease_write)
            self._lease_write = -1

    def close(self) -> None:
        """Leave nothing behind."""
        self.end_lease()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(20)
        self.channel.close()
        if self.lease_read >= 0:
            os.close(self.lease_read)
            self.lease_read = -1
