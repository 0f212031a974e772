"""Holds the hardware watchdog's device, so that a slow driver delays nobody but this process.

The first stroke opens the device and thereby arms it: a payload that never came up is left to the
service manager. Asked to end (SIGTERM) it disarms; however else it ends, the computer is reset
unless a successor strokes in time. Why a process of its own:
docs/decisions/0005-strokes-by-message.md.
Configuration: ``{"device": "/dev/watchdog0", "timeout_s": 60}``.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from functools import partial
from typing import Protocol

from flight.framework.channel import Message
from flight.workers.lifeline import Lifeline, WorkerError, load_configuration
from hal.errors import HalError, WrongRequest
from hal.linux.watchdog import BootCause, HardwareWatchdog

SHORTEST_S = 10


class Timer(Protocol):
    """What resets the computer, armed once opened: `hal.linux.watchdog.HardwareWatchdog`."""

    timeout_s: int
    """The time it granted between two strokes."""
    boot_cause: BootCause
    """Why the computer started last, as the device says."""
    trouble: str
    """Why the last call returned False."""

    def stroke(self) -> bool: ...

    def close(self, disarm: bool = True) -> bool: ...


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
        if timer is not None and not timer.close(disarm=self.is_asked_to_end):
            sys.stderr.write(f"hardware watchdog: {timer.trouble}\n")

    def _stroke(self) -> None:
        try:
            if self._timer is None:
                self._timer = self._open()
                if BootCause.WATCHDOG in self._timer.boot_cause:
                    self._lifeline.channel.send("reset", {})
        except HalError as error:
            self._say("failed", str(error)[:200])
            return
        if self._timer.stroke():
            self._say("armed", self._timer.timeout_s)
            return
        self._say("failed", self._timer.trouble[:200])
        self._timer.close(disarm=False)
        self._timer = None  # the next stroke opens it anew

    def _open(self) -> Timer:
        """Open and arm the device. Raises HalError."""
        timer = self._opener()
        if timer.timeout_s < SHORTEST_S:
            timer.close(disarm=True)
            raise WrongRequest(
                f"the device grants {timer.timeout_s} s, and a restart of the executive takes up "
                f"to {SHORTEST_S} s; leave [watchdog] device empty"
            )
        return timer

    def _say(self, kind: str, value: object) -> None:
        if self._said != (kind, value):
            self._said = (kind, value)
            self._send(kind, value)

    def _send(self, kind: str, value: object) -> None:
        name = "timeout_s" if kind == "armed" else "text"
        self._lifeline.channel.send(kind, {name: value})


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
    server = HardwareWatchdogServer(lifeline, partial(HardwareWatchdog, device, timeout_s))
    end_on_sigterm(server, lifeline)
    server.run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
