"""Questions to the scrub worker that wait for its answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from flight.components.scrubber.worker_messages import Answer
from flight.framework.ports import Worker

MOST_WAITING = 80

Answered = Callable[[Answer], None]


class Questions:
    """Sends questions and matches the worker's answers to them."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._waiting: dict[int, tuple[int, Answered]] = {}
        """Number → the worker process that was asked, and who waits."""

    def ask(self, number: int, kind: str, body: Mapping[str, Any], answered: Answered) -> bool:
        """Ask one thing; False when the worker takes nothing now, or too much waits already."""
        if len(self._waiting) >= MOST_WAITING:
            return False
        if not self._worker.send(kind, {"id": number, **body}):
            return False
        self._waiting[number] = self._worker.pid, answered
        return True

    def take(self, answer: Answer) -> bool:
        """An answer came; False when no question of this kind waits for it."""
        asked = self._waiting.pop(answer.number, None)
        if asked is None:
            return False
        asked[1](answer)
        return True

    def restart(self) -> None:
        """Another worker is there: what its predecessors were asked is not answered any more."""
        text = "the scrub worker was started anew; send it again"
        for number, (pid, answered) in list(self._waiting.items()):
            if pid != self._worker.pid:
                del self._waiting[number]
                answered(Answer(number, False, text, 0))
