"""The executive's side of the storage worker: requests that are answered later, or time out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flight.framework.ports import Storage, StorageResult, Work, WorkerMessage
from flight.framework.worker_link import WorkerLink

SECOND = 1_000_000_000
TIMEOUT = 30 * SECOND
MOST_PENDING = 512

Done = Callable[[StorageResult], None]


class StorageClient:
    """Implements `flight.framework.ports.Storage` over a worker link.

    Everything that was asked of a worker that is gone is answered RESTARTED: the asker asks again.
    """

    def __init__(self, link: WorkerLink, clock: Callable[[], int]) -> None:
        self._link = link
        self._clock = clock
        self._next = 0
        self._pending: dict[int, tuple[int, Done]] = {}
        self.refused = 0
        link.on_message(self._answered)
        link.on_replaced(self._replaced)

    def submit(self, operation: str, done: Done, **arguments: Any) -> bool:
        """Ask for one operation; False when too many wait or the channel is full."""
        if len(self._pending) >= MOST_PENDING:
            self.refused += 1
            return False
        self._next += 1
        if not self._link.send(operation, {"id": self._next, **arguments}):
            self.refused += 1
            return False
        self._pending[self._next] = (self._clock() + TIMEOUT, done)
        return True

    def run(self, now: int) -> int | None:
        """Answer TIMEOUT to what waited too long."""
        for number, (deadline, done) in list(self._pending.items()):
            if deadline > now:
                break
            del self._pending[number]
            done(StorageResult(False, error="TIMEOUT", text="the storage worker did not answer"))
        return now + SECOND

    def _answered(self, message: WorkerMessage) -> None:
        body = message.body
        number = body.get("id") if message.kind == "done" else None
        waiting = self._pending.pop(number, None) if isinstance(number, int) else None
        if waiting is None:
            self.refused += 1
            return
        error, text = str(body.get("error") or ""), str(body.get("text") or "")
        waiting[1](StorageResult(body.get("ok") is True, body.get("value"), error, text))

    def _replaced(self) -> None:
        pending, self._pending = self._pending, {}
        for _, done in pending.values():
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
