"""The scrub worker as the component sees it: requests that wait for answers, messages checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from flight.components.scrubber import worker_messages as messages
from flight.components.scrubber.regions import Found, Row, Unusable
from flight.framework.ports import Worker, WorkerMessage
from flight.framework.requests import Requests

MOST_WAITING = 80
"""Requests that wait for an answer."""

Body = Mapping[str, Any]
Parsed = TypeVar("Parsed")


@dataclass(frozen=True)
class Handlers:
    """What the component does with what the worker says."""

    ready: Callable[[], None]
    """Another process than before is there, and knows nothing yet."""
    regions: Callable[[Sequence[Row]], None]
    found: Callable[[Sequence[Found]], None]
    unusable: Callable[[Sequence[Unusable]], None]
    status: Callable[[messages.Status], None]
    done: Callable[[messages.Answer], None]
    """The answer to what was sent by `send`."""
    refused: Callable[[str, str], None]
    """A message of that kind made no sense, and why."""


class ScrubWorker:
    """Sends to the worker, and hands on what it says once it was checked: it is not our process."""

    def __init__(self, worker: Worker, handlers: Handlers) -> None:
        self._worker = worker
        self._handlers = handlers
        self._requests: Requests[messages.Answer] = Requests(worker, MOST_WAITING)
        self._pid: object = None
        """Of the process that said last that it is ready."""
        self._processes: list[list[str | int]] = []
        self._takes: Mapping[str, Callable[[Body], None]] = {
            "ready": self._ready,
            "regions": _on(messages.regions, handlers.regions),
            "found": _on(messages.found, handlers.found),
            "unusable": _on(messages.unusable, handlers.unusable),
            "status": _on(messages.status, handlers.status),
            "done": _on(messages.answer, self._done),
        }

    def greet(self) -> None:
        """Take its messages from now on; it answers `hello` by `ready`."""
        self._worker.on_message(self._message)
        self._worker.send("hello", {})

    def send(self, kind: str, body: Body) -> bool:
        """Send without waiting for an answer; False when it is gone or its queue is full."""
        return self._worker.send(kind, body)

    def ask(self, kind: str, body: Body, answered: Callable[[messages.Answer], object]) -> bool:
        """Send a request; False when it was not sent.

        A worker that is started anew before it answered counts as an answer that is not ok.
        """
        return self._requests.ask(kind, body, answered)

    def show_processes(self, processes: list[list[str | int]]) -> None:
        """Name the processes, as [name, pid], whose memory it is to account for."""
        if processes != self._processes and self.send("processes", {"rows": processes}):
            self._processes = processes

    def _message(self, message: WorkerMessage) -> None:
        take = self._takes.get(message.kind)
        try:
            if take is None:
                raise messages.MessageError("no such message")
            take(message.body)
        except messages.MessageError as error:
            self._handlers.refused(message.kind, str(error))

    def _ready(self, body: Body) -> None:
        """It says so to each hello; only a new process has to be told everything."""
        if body.get("pid") == self._pid:
            return
        self._pid = body.get("pid")
        text = "the scrub worker was started anew; send it again"
        for answered in self._requests.take_unanswerable():
            answered(messages.Answer(0, False, text, 0))
        self._processes = []
        self._handlers.ready()

    def _done(self, answer: messages.Answer) -> None:
        answered = self._requests.take(answer.number) or self._handlers.done
        answered(answer)


def _on(
    parse: Callable[[Body], Parsed], handle: Callable[[Parsed], None]
) -> Callable[[Body], None]:
    return lambda body: handle(parse(body))
