"""Starts a payload and a ground server as the command line does, and ends both for certain."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from ground.client.client import Client, connect

START_S = 90.0
END_S = 15.0


class Session:
    """One payload and one ground server, in a folder of their own, which `close` removes.

    Nothing is shared with another session: folders, ports and keys are its own.
    """

    def __init__(self, board: str = "emulated-h100", *, payload_id: int = 1) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="vanallen-"))
        self.state, self.run, self.ground = (self.root / name for name in ("s", "r", "g"))
        self.board = board
        self.payload_id = payload_id
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # --- the payload ---

    def start_payload(self, *options: str) -> dict[str, Any]:
        """`flight run`, until it is ready to be commanded; the contents of its ready file."""
        self.launch_payload(*options)
        return self.ready(of=self.pid("payload"))

    def launch_payload(self, *options: str) -> None:
        """`flight run`, without waiting for it."""
        self._start(
            "payload",
            *("-m", "flight", "run", "--board", self.board, "--payload-id", str(self.payload_id)),
            *("--state", str(self.state), "--run", str(self.run), *options),
        )

    def adopt(self, endpoint: str, keys: Path) -> None:
        """Use a payload that runs already, at that endpoint and with those keys."""
        self.state.mkdir(mode=0o700)
        self.run.mkdir(mode=0o700)
        shutil.copy(keys, self.state / "keys.json")
        ready = {"endpoint": endpoint, "payload_id": self.payload_id}
        (self.run / "ready.json").write_text(json.dumps(ready))

    def ready(self, *, after_pid: int = 0, of: int = 0) -> dict[str, Any]:
        """The ready file, once it names an executive other than `after_pid` (and, where given,
        was written by the supervisor `of`)."""
        path = self.run / "ready.json"
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            self._check_alive("payload")
            if path.exists():
                ready: dict[str, Any] = json.loads(path.read_text())
                if ready["executive_pid"] != after_pid and of in (0, ready["pid"]):
                    return ready
            self._wait_a_little("payload")
        raise TimeoutError(f"the payload was not ready within {START_S} s; see {self.run}/*.log")

    def kill_executive(self) -> int:
        """kill -9 of the executive; its process id."""
        pid: int = self.ready()["executive_pid"]
        os.kill(pid, signal.SIGKILL)
        return pid

    # --- the ground server ---

    def start_ground(self, *options: str, wait: bool = True, insecure: bool = False) -> Client:
        """`ground serve` with the payload's keys (or none) and dictionary; a client of it.

        It knows the payload's dictionary by then, unless told not to `wait` for a payload.
        """
        self.ground.mkdir(mode=0o700, exist_ok=True)
        dictionary = self.ground / "dictionary.json"
        if not dictionary.exists():
            subprocess.run(
                [sys.executable, "-m", "flight", "dictionary", "--out", str(dictionary)], check=True
            )
        (self.ground / "server.json").unlink(missing_ok=True)
        self._start(
            "ground",
            *("-m", "ground", "serve", "--state", str(self.ground)),
            *("--payload", f"payload@{self.payload_id}={self.run / 'ready.json'}"),
            *("--dictionary", str(dictionary), *options),
            *(("--insecure",) if insecure else ("--keys", str(self.state / "keys.json"))),
        )
        deadline = time.monotonic() + START_S
        while not (self.ground / "server.json").exists():
            self._check_alive("ground")
            if time.monotonic() > deadline:
                raise TimeoutError(f"the ground server did not start; see {self.root}/ground.log")
            self._wait_a_little("ground")
        client = connect(self.ground, "payload")
        if wait:
            client.dictionary(wait_s=10.0)
        return client

    # --- both ---

    def pid(self, name: str) -> int:
        """Process id of `payload` (its supervisor) or `ground`."""
        return self._processes[name].pid

    def end(self, name: str, number: int = signal.SIGTERM) -> int:
        """End one of the two with a signal; its exit status."""
        process = self._processes.pop(name)
        process.send_signal(number)
        try:
            return process.wait(END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    def close(self) -> None:
        """End both, and remove the folder."""
        for name in list(self._processes):
            self.end(name)
        shutil.rmtree(self.root, ignore_errors=True)

    def survivors(self) -> dict[int, str]:
        """Every living process that was started with this session's folder: pid → command."""
        found = {}
        for process in Path("/proc").iterdir():
            if not process.name.isdecimal():
                continue
            with suppress(OSError):
                words = (process / "cmdline").read_bytes()  # empty once it is a zombie
                if str(self.root).encode() in words:
                    found[int(process.name)] = words.replace(b"\0", b" ").decode(errors="replace")
        return found

    def _start(self, name: str, *arguments: str) -> None:
        with (self.root / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [sys.executable, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C is for this program, which then ends both in order.
                start_new_session=True,
            )

    def _check_alive(self, name: str) -> None:
        if self._processes[name].poll() is not None:
            raise RuntimeError((self.root / f"{name}.log").read_text().strip())

    def _wait_a_little(self, name: str) -> None:
        # Wakes at once when the process ends.
        descriptor = os.pidfd_open(self._processes[name].pid)
        try:
            select.select([descriptor], [], [], 0.02)
        finally:
            os.close(descriptor)
