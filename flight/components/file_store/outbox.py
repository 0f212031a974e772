"""What the parts of the lifecycle share: the time, what is to be done, what waits for storage."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flight.components.file_store import stimuli as s
from flight.components.file_store.storage_answers import failure_of
from flight.framework.lifecycle import Tell, Teller
from flight.framework.ports import StorageResult
from icd.failures import FailureCode

Then = Callable[[StorageResult], object]
"""What follows when storage has answered."""


class Outbox:
    """Instructions on their way out, and the requests to storage by their numbers."""

    def __init__(self, tell: Teller) -> None:
        self.tell = tell
        self.now = 0
        """On-board ns of the step under way."""
        self.out: list[s.Instruction | Tell] = []
        """The instructions of the step under way, in order."""
        self.failures = 0
        """Requests that storage did not carry out."""
        self._last = 0
        self._waiting: dict[int, tuple[Then, str]] = {}

    def submit(self, operation: str, then: Then, tolerates: str = "", **arguments: Any) -> None:
        """Ask storage for an operation; `tolerates` is the one errno name that is no failure."""
        self._last += 1
        self._waiting[self._last] = then, tolerates
        self.out.append(s.Submit(self._last, operation, arguments))

    def stored(self, number: int, result: StorageResult) -> None:
        """Give an answer to the part that waits for it; one that nobody waits for is let go."""
        then, tolerates = self._waiting.pop(number, (None, ""))
        if then is None:
            return
        if not result.ok and result.error != tolerates:
            self.failures += 1
        then(result)

    def answer(self, asker: int, result: Any = None) -> None:
        """The telecommand was carried out."""
        self.out.append(s.Answer(asker, result))

    def refuse(self, asker: int, reason: str, code: FailureCode = FailureCode.REFUSED) -> None:
        """The telecommand was not carried out; the reason says what to do instead."""
        self.out.append(s.Refuse(asker, reason, code))

    def fail(self, asker: int, result: StorageResult) -> None:
        """The telecommand was not carried out because storage failed."""
        self.refuse(asker, *failure_of(result))
