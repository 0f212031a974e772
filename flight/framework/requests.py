"""Requests to a worker that wait for its answers, told apart by number."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, NamedTuple, TypeVar

from flight.framework.ports import Worker

Answer = TypeVar("Answer")
NEVER = 1 << 63


class _Waiting(NamedTuple):
    answered: Callable[[Any], object]
    deadline: int
    pid: int


class Requests(Generic[Answer]):
    """Sends requests and finds who waits for an answer; at most `most` wait."""

    def __init__(self, worker: Worker, most: int) -> None:
        self._worker = worker
        self._most = most
        self._next = 0
        self._waiting: dict[int, _Waiting] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def is_full(self) -> bool:
        """Whether no further request would be sent."""
        return len(self._waiting) >= self._most

    def ask(
        self,
        kind: str,
        body: Mapping[str, Any],
        answered: Callable[[Answer], object],
        *,
        number: int | None = None,
        deadline: int = NEVER,
    ) -> bool:
        """Send one request, with its number as `id`; False when it was not sent.

        Without a `number` it gets the next one. `deadline` is for `overdue`.
        """
        if self.is_full:
            return False
        if number is None:
            self._next += 1
            number = self._next
        if not self._worker.send(kind, {"id": number, **body}):
            return False
        self._waiting[number] = _Waiting(answered, deadline, self._worker.pid)
        return True

    def take(self, number: object) -> Callable[[Answer], object] | None:
        """Who waits for the answer of that number, and waits no longer; None: nobody does."""
        waiting = self._waiting.pop(number, None) if type(number) is int else None
        return waiting.answered if waiting else None

    def take_oldest(self) -> Callable[[Answer], object] | None:
        """Who has waited longest, and waits no longer."""
        return self.take(next(iter(self._waiting), None))

    def overdue(self, now: int) -> list[Callable[[Answer], object]]:
        """Who waited until `now` (on-board ns) or longer, and waits no longer."""
        return self._take_where(lambda waiting: waiting.deadline <= now)

    def take_unanswerable(self) -> list[Callable[[Answer], object]]:
        """Who asked a process that is not the worker any more, and waits no longer."""
        return self._take_where(lambda waiting: waiting.pid != self._worker.pid)

    def take_all(self) -> list[Callable[[Answer], object]]:
        """Everyone; nobody waits any more."""
        return self._take_where(lambda _: True)

    def _take_where(self, is_meant: Callable[[_Waiting], bool]) -> list[Callable[[Answer], object]]:
        numbers = [number for number, waiting in self._waiting.items() if is_meant(waiting)]
        return [self._waiting.pop(number).answered for number in numbers]
