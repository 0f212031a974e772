"""A worker process that is none: it beats, takes messages and sends them, in one thread."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from flight.framework.ports import Work, WorkerMessage

Handler = Callable[[WorkerMessage], None]


class SimulatedWorker:
    """Implements `flight.framework.ports.Worker`.

    Set `is_hung` for one that no longer beats or answers, `is_gone` for one whose channel is
    closed as well.
    """

    def __init__(self, name: str, clock: Callable[[], int], pid: int = 1000) -> None:
        self.name = name
        self.pid = pid
        self.is_hung = False
        self.is_gone = False
        self.doing = ""
        self.sent: list[tuple[str, dict[str, Any]]] = []
        """What it was sent and has not looked at."""
        self._clock = clock
        self._beat: int | None = None
        self._handler: Handler | None = None
        self._post: Callable[[Work], Any] = lambda work: work()

    @property
    def last_beat(self) -> int | None:
        """Now while it is well; the last such time since."""
        if not self.is_hung and not self.is_gone:
            self._beat = self._clock()
        return self._beat

    def send(self, kind: str, body: Mapping[str, Any]) -> bool:
        """Take a message; False when it is gone."""
        if self.is_gone:
            return False
        self.sent.append((kind, dict(body)))
        return True

    def on_message(self, handler: Handler) -> None:
        """Give its messages to `handler`."""
        self._handler = handler

    def through(self, post: Callable[[Work], Any]) -> None:
        """Hand messages over through this queue: the owner's."""
        self._post = post

    def say(self, kind: str, body: Mapping[str, Any]) -> None:
        """Let it send a message to the executive."""
        if self._handler is not None and not self.is_hung and not self.is_gone:
            self._post(partial(self._handler, WorkerMessage(self.name, kind, body)))

    def replaced(self) -> None:
        """Its supervisor has started another one in its place."""
        self.pid += 1
        self.is_hung = self.is_gone = False
        self._beat = None
        self.sent.clear()
