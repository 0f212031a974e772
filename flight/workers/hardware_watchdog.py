"""Holds the hardware watchdog's device, so that a slow driver delays nobody but this process.

The first stroke opens the device and thereby arms it: a payload that never came up is left to the
service manager. Asked to end (SIGTERM) it disarms; however else it ends, the computer is reset
unless a successor strokes in time. Why a process of its own: docs/decisions.
Configuration: ``{"device": "/dev/watchdog0", "timeout_s": 60}``.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from functools import partial
from typing import Protocol

from flight.channel import Message
from flight.workers.lifeline import Lifeline, WorkerError, load_configuration
from hal.errors import HalError


class Timer(Protocol):
    """What resets the computer: armed when opened. Its methods raise HalError or OSError."""

    @property
    def timeout_s(self) -> int:
        """The time it really gives between two strokes."""
        ...

    def stroke(self) -> None: ...

    def disarm(self) -> None:
        """Close it so that it no longer counts, if it can be stopped at all."""
        ...

    def abandon(self) -> None:
        """Close it and let it count on."""
        ...


class HardwareWatchdogServer:
    """Strokes the device when it is told to, and says when that did not work."""

    def __init__(self, lifeline: Lifeline, opener: Callable[[], Timer]) -> None:
        self._lifeline = lifeline
        self._opener = opener
        self._timer: Timer | None = None
        self._said: tuple[str, object] = ("", None)
        self.is_asked_to_end = False

    def run(self) -> None:
        """Serve until the lifeline is over."""
        while not self._lifeline.is_over:
            self.step(self._lifeline.wait())
        self.end()

    def step(self, messages: list[Message]) -> None:
        """Strokes that waited together count once; a new executive hears how things are."""
        kinds = {message.kind for message in messages}
        if "hello" in kinds and self._said[0]:
            self._send(*self._said)
        if "stroke" in kinds:
            self._stroke()

    def end(self) -> None:
        """Disarm when asked to end; otherwise let the device count on."""
        timer, self._timer = self._timer, None
        if timer is None:
            return
        try:
            if self.is_asked_to_end:
                timer.disarm()
            else:
                timer.abandon()
        except (HalError, OSError) as error:
            sys.stderr.write(f"hardware watchdog: {error}\n")

    def _stroke(self) -> None:
        try:
            if self._timer is None:
                self._timer = self._opener()
            self._timer.stroke()
        except (HalError, OSError) as error:
            self._let_go()
            self._say("failed", str(error)[:200])
        else:
            self._say("armed", self._timer.timeout_s)

    def _let_go(self) -> None:
        """After a failure the next stroke opens it anew."""
        timer, self._timer = self._timer, None
        if timer is not None:
            try:
                timer.abandon()
            except (HalError, OSError) as error:
                sys.stderr.write(f"hardware watchdog: {error}\n")

    def _say(self, kind: str, value: object) -> None:
        if self._said != (kind, value):
            self._said = (kind, value)
            self._send(kind, value)

    def _send(self, kind: str, value: object) -> None:
        name = "timeout_s" if kind == "armed" else "text"
        self._lifeline.channel.send(kind, {name: value})


def open_timer(device: str, timeout_s: int) -> Timer:
    """Open and arm the device; raises HalError or OSError."""
    from hal.watchdog import LinuxWatchdog

    return LinuxWatchdog(device, timeout_s)


def end_on_sigterm(server: HardwareWatchdogServer, lifeline: Lifeline) -> None:
    """SIGTERM is the only polite end: the supervisor stops the payload because it was told to."""

    def asked(*_: object) -> None:
        server.is_asked_to_end = True
        lifeline.is_over = True

    signal.signal(signal.SIGTERM, asked)


def main(argv: list[str]) -> int:
    """Run the worker; exit status 2 when it cannot start."""
    try:
        configuration = load_configuration(argv)
        lifeline = Lifeline.from_environment()
        device, timeout_s = str(configuration["device"]), int(configuration["timeout_s"])
    except (WorkerError, KeyError, ValueError) as error:
        sys.stderr.write(f"hardware watchdog: {error}\n")
        return 2
    server = HardwareWatchdogServer(lifeline, partial(open_timer, device, timeout_s))
    end_on_sigterm(server, lifeline)
    server.run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
