"""The executive's strokes: to whoever watches the supervisor, and to the hardware watchdog."""

from __future__ import annotations

from collections.abc import Callable

from flight.framework.ports import Worker, WorkerMessage


class Strokes:
    """Implements `flight.framework.ports.HardwareWatchdog` by messages that never wait.

    `worker` is the process that holds the device, None where no device is named; `tell_reset` is
    called when the device says that it started this computer.
    """

    def __init__(
        self,
        pass_on: Callable[[], bool],
        worker: Worker | None = None,
        tell_reset: Callable[[], None] = lambda: None,
    ) -> None:
        self._pass_on = pass_on
        self._worker = worker
        self._trouble = ""
        self._tell_reset = tell_reset
        if worker is not None:
            worker.on_message(self._hear)

    def stroke(self) -> None:
        """Stroke everything; raises OSError when part of it did not take the last stroke."""
        if not self._pass_on():
            raise OSError("the supervisor does not read its link")
        if self._worker is None:
            return
        if not self._worker.send("stroke", {}):
            raise OSError(f"{self._worker.name} takes no message")
        if self._trouble:
            raise OSError(self._trouble)

    def _hear(self, message: WorkerMessage) -> None:
        if message.kind == "reset":
            self._tell_reset()
        elif message.kind == "armed":
            self._trouble = ""
        elif message.kind == "failed":
            self._trouble = str(message.body.get("text") or "no reason given")[:64]
