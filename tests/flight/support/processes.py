"""Helpers of the real-process tests: wait for a condition, and a payload of two small doubles."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

EXECUTIVE = """
import json, os, select, sys, time
from flight.framework.channel import Channel
from flight.supervisor.link import SupervisionLink
folder = sys.argv[1]
link = SupervisionLink.from_fd(int(os.environ["VANALLEN_SUPERVISOR_FD"]))
lease = int(os.environ["VANALLEN_LEASE_FD"])
orders = os.open(folder + "/orders", os.O_RDWR | os.O_NONBLOCK)
notes = open(folder + "/notes", "a", buffering=1)
def note(kind, body, fds=0):
    notes.write(json.dumps([os.getpid(), time.monotonic(), kind, body, fds]) + "\\n")
note("born", {"channels": json.loads(os.environ["VANALLEN_CHANNELS"]),
              "workers": json.loads(os.environ["VANALLEN_WORKERS"])})
workers = {}
def attach(name, fd):
    workers[name] = Channel.from_fd(fd, epoch=os.getpid(), only_epoch=True)
    workers[name].send("hello", {})
for name, fd in json.loads(os.environ["VANALLEN_CHANNELS"]).items():
    attach(name, fd)
link.send("ready", {"endpoint": "tcp://127.0.0.1:5"})
while True:
    link.send("beat", {})
    poll = select.poll()
    for fd in (link.fileno(), lease, orders, *(c.fileno() for c in workers.values())):
        poll.register(fd, select.POLLIN)
    ready = {fd for fd, _ in poll.poll(100)}
    for name, channel in list(workers.items()):
        for message in channel.receive():
            if message.kind != "beat":
                note(name + " " + message.kind, message.body)
        if channel.closed:
            del workers[name]
    if lease in ready:
        break
    for message in link.receive():
        note(message.kind, message.body, len(message.descriptors))
        for fd in message.descriptors:
            attach(message.body["name"], fd)
    if link.closed:
        break
    if orders in ready:
        for line in os.read(orders, 65536).decode().splitlines():
            kind, body = json.loads(line)
            if kind in workers:
                octets = {"parameters": bytes.fromhex(body["body"].get("parameters", ""))}
                workers[kind].send(body["kind"], {**body["body"], **octets})
            else:
                link.send(kind, body)
"""

WORKER = """
import os, select, sys
lease = int(os.environ["VANALLEN_LEASE_FD"])
if len(sys.argv) > 1:
    open(sys.argv[1], "w").close()
poll = select.poll()
poll.register(lease, 0)
poll.poll()
"""


def wait_for(condition: Callable[[], T | None], timeout_s: float = 90.0) -> T:
    """Return the condition's first true value; fail when it stays false for ``timeout_s``."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"not true within {timeout_s} s"
        select.select([], [], [], 0.005)


def is_alive(pid: int) -> bool:
    """True while a process runs; a zombie does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0]
    except OSError:
        return False
    return state not in (b"Z", b"X")


class Payload:
    """A supervisor over a double of the executive, two workers and a companion."""

    def __init__(
        self,
        folder: Path,
        stdout: Any = subprocess.PIPE,
        program: tuple[str, ...] = ("-m", "flight.supervisor"),
        **changes: Any,
    ) -> None:
        self.folder, self.run = folder, folder / "run"
        self._stdout, self._program = stdout, program
        for name, text in (("executive", EXECUTIVE), ("worker", WORKER)):
            (folder / f"{name}.py").write_text(text)
        os.mkfifo(folder / "orders")
        self._orders = os.open(folder / "orders", os.O_RDWR)
        worker = [sys.executable, str(folder / "worker.py")]
        ready = str(folder / "companion.ready")
        plan = {
            "run_dir": str(self.run),
            "state_dir": str(folder),
            "payload_id": 9,
            "processes": [
                {
                    "name": "companion",
                    "argv": [*worker, ready],
                    "companion": True,
                    "ready_file": ready,
                },
                {"name": "storage", "argv": worker, "channel": True},
                {"name": "board", "argv": worker, "channel": True},
            ],
            "executive": {
                "argv": [sys.executable, str(folder / "executive.py"), str(folder)],
                "env": {"PYTHONPATH": str(Path(__file__).parents[3])},
            },
            **changes,
        }
        (folder / "plan.json").write_text(json.dumps(plan))
        self.process = self.start()

    def start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, *self._program, str(self.folder / "plan.json")],
            stdout=self._stdout,
            stderr=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[3],
        )

    def ready(self, timeout_s: float = 90.0) -> dict[str, Any]:
        """The content of the ready file, once it is there."""
        return wait_for(self._ready, timeout_s)

    def _ready(self) -> dict[str, Any] | None:
        path = self.run / "ready.json"
        return json.loads(path.read_text()) if path.exists() else None

    def order(self, kind: str, /, **body: Any) -> None:
        """Let the executive double send a note to the supervisor, or to the worker ``kind``."""
        os.write(self._orders, (json.dumps([kind, body]) + "\n").encode())

    def notes(self, kind: str) -> list[list[Any]]:
        """What the executive doubles wrote down: [pid, time, kind, body, descriptors]."""
        path = self.folder / "notes"
        lines = path.read_text().splitlines() if path.exists() else []
        return [entry for entry in map(json.loads, lines) if entry[2] == kind]

    def stop(self) -> int:
        """End it politely and return its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(20)
        self.close()
        return status

    def close(self) -> None:
        """Leave nothing behind, whatever the test did."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()
        if self._orders >= 0:
            os.close(self._orders)
            self._orders = -1
