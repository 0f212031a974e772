"""A worker process as the executive sees it: its channel, its beats, its messages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from flight.framework.channel import Channel
from flight.framework.ports import Work, WorkerMessage

Handler = Callable[[WorkerMessage], None]


class WorkerLink:
    """Implements `flight.framework.ports.Worker` over a channel; both may be replaced."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.pid = 0
        self.last_beat: int | None = None
        self.replaced = 0
        self.refused = 0
        self._channel: Channel | None = None
        self._handler: Handler | None = None
        self._post: Callable[[Work], Any] = lambda work: work()
        self._on_replaced: list[Callable[[], None]] = []

    def attach(self, channel: Channel, pid: int) -> None:
        """Use this channel from now on, and send hello."""
        if self._channel is not None:
            self._channel.close()
            self.replaced += 1
        self._channel = channel
        self.pid = pid
        self.last_beat = None
        channel.send("hello", {})
        for told in self._on_replaced:
            told()

    def on_message(self, handler: Handler) -> None:
        """Give its messages, other than beats, to `handler`."""
        self._handler = handler

    def on_replaced(self, told: Callable[[], None]) -> None:
        """Be told after every `attach`."""
        self._on_replaced.append(told)

    def through(self, post: Callable[[Work], Any]) -> None:
        """Hand messages over through this queue: the owner's."""
        self._post = post

    def send(self, kind: str, body: Mapping[str, Any]) -> bool:
        """Send without waiting; False when there is no worker or its queue is full."""
        return self._channel is not None and self._channel.send(kind, dict(body))

    def fileno(self) -> int:
        """The descriptor to poll; -1 while there is no worker."""
        return -1 if self._channel is None or self._channel.closed else self._channel.fileno()

    def receive(self, now: int) -> None:
        """Take what waits in the channel."""
        if self._channel is None:
            return
        for message in self._channel.receive():
            if message.kind == "beat":
                self.last_beat = now
            elif self._handler is not None:
                arrived = WorkerMessage(self.name, message.kind, message.body)
                if self._post(partial(self._handler, arrived)) is False:
                    self.refused += 1

    def close(self) -> None:
        """Close the channel."""
        if self._channel is not None:
            self._channel.close()
