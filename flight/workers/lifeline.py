"""What every worker shares: its environment, its lease, its beat and the wait between messages.

A worker holds the read end of a pipe whose write end only the supervisor has. When the supervisor
dies the kernel hangs up on the pipe, and the worker ends: no process outlives the supervisor.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from flight.framework.channel import Channel, Message
from flight.framework.program_memory import OURS, ProgramMemory
from icd.written import json_value

PROGRAM_S = 1.0
PROGRAM_OCTETS = 6 << 10
"""Of program memory compared in one go, and how often: about 0.1 ms each second."""
BEAT_S = 0.4  # promised to the executive: at least one every 0.5 s
CHANNEL_FD = "VANALLEN_CHANNEL_FD"
LEASE_FD = "VANALLEN_LEASE_FD"
_GONE = select.POLLHUP | select.POLLERR | select.POLLNVAL


class WorkerError(RuntimeError):
    """The worker cannot start; the message says what is missing."""


class Lifeline:
    """The channel, the lease and the beat of one worker, served by one ``wait`` in one thread."""

    def __init__(self, channel: Channel, lease_fd: int, *, beat_s: float = BEAT_S) -> None:
        self.channel = channel
        self.lease_fd = lease_fd
        self.is_over = False
        self._beat_s = beat_s
        self._beat_due = 0.0
        self._poll = select.poll()
        self._poll.register(channel.fileno(), select.POLLIN)
        self._poll.register(lease_fd, 0)  # a hang-up is always reported
        self._watched: dict[int, Callable[[], None]] = {}
        self._program: ProgramMemory | None = None
        self._program_due = 0.0

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Lifeline:
        """Take over the inherited descriptors, and end politely on SIGTERM.

        Raises WorkerError when the process was not started by a supervisor.
        """
        try:
            channel = Channel.from_fd(int(environment[CHANNEL_FD]))
            lease_fd = int(environment[LEASE_FD])
            os.fstat(lease_fd)
        except (KeyError, ValueError, OSError) as error:
            raise WorkerError(
                f"a worker is started by `flight run`, which sets {CHANNEL_FD} and {LEASE_FD}: "
                f"{error!r}"
            ) from error
        # Processes started from here must not keep them open by accident.
        os.set_inheritable(channel.fileno(), False)
        os.set_inheritable(lease_fd, False)
        lifeline = cls(channel, lease_fd)
        lifeline._program = ProgramMemory(packages=OURS)
        lifeline.end_on_sigterm()
        return lifeline

    def end_on_sigterm(self) -> None:
        """Let SIGTERM end the current wait and set ``is_over``; SIGINT is the supervisor's."""
        wake_read, self._wake_write = socket.socketpair()
        wake_read.setblocking(False)
        self._wake_write.setblocking(False)
        signal.set_wakeup_fd(self._wake_write.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, self._terminated)
        signal.signal(signal.SIGINT, signal.SIG_IGN)

        def drain() -> None:
            wake_read.recv(4096)

        self.watch(wake_read.fileno(), drain)
        self._wake_read = wake_read

    def watch(self, fd: int, callback: Callable[[], None]) -> None:
        """Call back inside ``wait`` when the descriptor is readable."""
        self._watched[fd] = callback
        self._poll.register(fd, select.POLLIN)

    def unwatch(self, fd: int) -> None:
        """Forget a watched descriptor."""
        if self._watched.pop(fd, None) is not None:
            self._poll.unregister(fd)

    def wait(self, timeout_s: float | None = None, limit: int = 64) -> list[Message]:
        """Wait for messages, at most ``timeout_s``; beat when due; return what came.

        Sets ``is_over`` when the lease or the channel ended or SIGTERM came. A ``hello`` sets the
        epoch that goes on everything sent from then on.
        """
        self.beat_if_due()
        timeout = max(0.0, self._beat_due - time.monotonic())
        if timeout_s is not None:
            timeout = min(timeout, timeout_s)
        for fd, events in self._poll.poll(timeout * 1000.0):
            if fd == self.lease_fd:
                self.is_over = True
            elif fd in self._watched:
                self._watched[fd]()
            elif not events & select.POLLIN:  # with POLLIN, receive() below reads up to the end
                self.is_over = True
        self.beat_if_due()
        self._check_program()
        messages = self.receive(limit)
        self.is_over = self.is_over or (self.channel.closed and not messages)
        return messages

    def receive(self, limit: int) -> list[Message]:
        """What waits now, for use inside long work as well."""
        messages = self.channel.receive(limit)
        for message in messages:
            if message.kind == "hello":
                self.channel.epoch = message.epoch
        return messages

    def wait_until_writable(self) -> None:
        """Wait until the channel takes packets again, at most until the next beat is due."""
        self._look_for(select.POLLOUT)
        try:
            for fd, events in self._poll.poll(self._beat_s * 1000.0):
                if fd == self.lease_fd or (fd == self.channel.fileno() and events & _GONE):
                    self.is_over = True
                elif fd in self._watched:
                    self._watched[fd]()
        finally:
            self._look_for(select.POLLIN)

    def _look_for(self, events: int) -> None:
        self._poll.modify(self.channel.fileno(), events)

    def beat_if_due(self, doing: str = "") -> None:
        """Send a beat when one is due; for use inside long work as well: `doing` names it."""
        now = time.monotonic()
        if now >= self._beat_due:
            self.channel.send("beat", {"doing": doing} if doing else {})
            self._beat_due = now + self._beat_s

    def _check_program(self) -> None:
        """Compare some of this worker's own code; end at once, running no more of it, if wrong."""
        if self._program is None or (now := time.monotonic()) < self._program_due:
            return
        self._program_due = now + PROGRAM_S
        if changed := self._program.check(PROGRAM_OCTETS):
            sys.stderr.write(f"worker ends: its program memory changed: {', '.join(changed)}\n")
            sys.stderr.flush()
            os.kill(os.getpid(), signal.SIGKILL)

    def has_lease(self) -> bool:
        """False once the supervisor is gone."""
        return lease_holds(self.lease_fd)

    def _terminated(self, *_: object) -> None:
        self.is_over = True


def lease_holds(lease_fd: int) -> bool:
    """False once the write end of the lease pipe is closed, which is: the supervisor is dead."""
    poll = select.poll()
    poll.register(lease_fd, 0)
    return not poll.poll(0)


def load_configuration(argv: list[str]) -> dict[str, Any]:
    """Read the JSON configuration named in ``argv[1]``; raises WorkerError with a sentence."""
    if len(argv) != 2:
        raise WorkerError("a worker needs one argument: the path of its JSON configuration")
    try:
        content = json_value(Path(argv[1]).read_bytes())
    except (OSError, ValueError) as error:
        raise WorkerError(f"cannot read the worker configuration {argv[1]}: {error}") from error
    if not isinstance(content, dict):
        raise WorkerError(f"the worker configuration {argv[1]} must be a JSON object")
    return content
