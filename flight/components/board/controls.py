"""Requests to the board that wait for its answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flight.components.board.readings import decode_text
from flight.framework.ports import Refused, Worker
from flight.framework.requests import Requests
from icd.failures import FailureCode

MOST_PENDING = 8


@dataclass(frozen=True)
class ControlAnswer:
    """What the board says of an action; `value` is read back from it, None when it did not tell."""

    ok: bool
    value: float | None
    text: str
    code: FailureCode = FailureCode.REFUSED


Answered = Callable[[ControlAnswer], None]


class BoardControls:
    """Asks the board server for controls and matches its answers to the questions."""

    def __init__(self, board: Worker) -> None:
        self._requests: Requests[ControlAnswer] = Requests(board, MOST_PENDING + 1)

    def ask(
        self,
        action: str,
        device: int,
        value: float,
        answered: Answered,
        processes: Sequence[tuple[int, int]] = (),
    ) -> bool:
        """Ask for one action; False when the board server takes nothing now.

        `processes` are (pid, start time) of those that it may end.
        """
        request: dict[str, Any] = {"action": action, "device": device, "value": value}
        if processes:
            request["processes"] = [list(process) for process in processes]
        if not self._requests.ask("control", request, answered):
            return False
        if len(self._requests) > MOST_PENDING and (oldest := self._requests.take_oldest()):
            text = "too many requests wait for the board"
            oldest(ControlAnswer(False, None, text, FailureCode.TOO_MANY_PENDING))
        return True

    def take(self, body: Mapping[str, Any]) -> bool:
        """An answer came; False when it answers nothing that is still waited for."""
        answered = self._requests.take(body.get("id"))
        if answered is None:
            return False
        value: Any = body.get("value")
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        read_back = float(value) if is_number else None
        answered(ControlAnswer(body.get("ok") is True, read_back, decode_text(body, "text")))
        return True


def busy() -> Refused:
    """Why a telecommand that asks the board is refused when the board server takes nothing."""
    return Refused(
        "the board server takes no request now; send it again", FailureCode.WORKER_UNAVAILABLE
    )
