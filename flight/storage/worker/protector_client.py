"""The storage worker's side of the process that has the kernels (`protector.py`)."""

from __future__ import annotations

import errno
import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import msgpack

POLL_MS = 50
SILENT_S = 180.0
"""A protector that says nothing for so long hangs; a first start may compile kernels."""
_LARGEST = 65_536


class Protector:
    """The process that has the kernels; started when it is first needed."""

    def __init__(self, on_progress: Callable[[], None]) -> None:
        self._on_progress = on_progress
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None

    def ask(self, name: str, *files: int) -> dict[str, Any]:
        """Have it do something with open files. Raises OSError with what it says."""
        for is_last in (False, True):
            channel = self._connect()
            try:
                socket.send_fds(channel, [msgpack.packb({"do": name})], list(files))
                answer = self._answer(channel)
            except (BrokenPipeError, ConnectionResetError) as error:
                answer = {"error": "EIO", "text": str(error), "gone": True}
            if not answer.get("gone"):
                break
            # It ends when it has been idle; twice in a row, it crashed.
            self.close()
            if is_last:
                raise OSError(errno.EIO, "the process that checks files ended amid its work")
        if "error" in answer:
            number = getattr(errno, str(answer["error"]), errno.EIO)
            raise OSError(number, str(answer.get("text")))
        return dict(answer["value"])

    def close(self) -> None:
        """End it."""
        if self._channel is not None:
            self._channel.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._process = self._channel = None

    def _connect(self) -> socket.socket:
        if self._process is not None and self._process.poll() is not None:
            self.close()
        if self._channel is None:
            mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            argv = [sys.executable, "-m", "flight.storage.worker.protector", str(theirs.fileno())]
            with theirs:
                self._process = subprocess.Popen(
                    argv, pass_fds=(theirs.fileno(),), stdin=subprocess.DEVNULL
                )
            self._channel = mine
        return self._channel

    def _answer(self, channel: socket.socket) -> dict[str, Any]:
        poll = select.poll()
        poll.register(channel, select.POLLIN)
        heard = time.monotonic()
        while True:
            self._on_progress()
            if not poll.poll(POLL_MS):
                if time.monotonic() - heard > SILENT_S:
                    self.close()
                    raise OSError(errno.ETIMEDOUT, "the process that checks files hung; ended")
                continue
            octets = channel.recv(_LARGEST)
            if not octets:
                return {"gone": True}
            heard = time.monotonic()
            answer = msgpack.unpackb(octets)
            if isinstance(answer, dict) and "beat" not in answer:
                return answer
