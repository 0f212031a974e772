"""The executive's side of the storage worker: requests that are answered later, or time out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flight.framework.ports import Storage, StorageResult, Work, WorkerMessage
from flight.framework.requests import Requests
from flight.framework.time_units import SECOND
from flight.framework.worker_link import WorkerLink

TIMEOUT = 30 * SECOND
MOST_PENDING = 512

Done = Callable[[StorageResult], None]


class StorageClient:
    """Implements `flight.framework.ports.Storage` over a worker link.

    Everything that was asked of a worker that is gone is answered RESTARTED: the asker asks again.
    """

    def __init__(self, link: WorkerLink, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._requests: Requests[StorageResult] = Requests(link, MOST_PENDING)
        self.refused = 0
        link.on_message(self._answered)
        link.on_replaced(self._replaced)

    def submit(self, operation: str, done: Done, **arguments: Any) -> bool:
        """Ask for one operation; False when too many wait or the channel is full."""
        deadline = self._clock() + TIMEOUT
        is_sent = self._requests.ask(operation, arguments, done, deadline=deadline)
        self.refused += not is_sent
        return is_sent

    def run(self, now: int) -> int | None:
        """Answer TIMEOUT to what waited too long."""
        for done in self._requests.overdue(now):
            done(StorageResult(False, error="TIMEOUT", text="the storage worker did not answer"))
        return now + SECOND

    def _answered(self, message: WorkerMessage) -> None:
        body = message.body
        done = self._requests.take(body.get("id") if message.kind == "done" else None)
        if done is None:
            self.refused += 1
            return
        error, text = str(body.get("error") or ""), str(body.get("text") or "")
        done(StorageResult(body.get("ok") is True, body.get("value"), error, text))

    def _replaced(self) -> None:
        for done in self._requests.take_all():
            done(StorageResult(False, error="RESTARTED", text="the storage worker was restarted"))


class BoundStorage:
    """Storage whose answers reach one component through its own queue."""

    def __init__(self, storage: Storage, post_answer: Callable[[Work], None]) -> None:
        self._storage = storage
        self._post_answer = post_answer

    def submit(self, operation: str, done: Done, **arguments: Any) -> bool:
        """Ask for one operation; see `flight.framework.ports.Storage`."""
        return self._storage.submit(
            operation, lambda result: self._post_answer(lambda: done(result)), **arguments
        )
