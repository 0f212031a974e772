"""What a payload and the bus that hosts it tell each other through a folder: power-cycle me.

The payload replaces `request.json`, the host `answer.json`; each is replaced as a whole. A request
counts once, by its number.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from icd.written import json_value

ENVIRONMENT = "VANALLEN_HOST_BUS_FOLDER"
"""The environment variable that holds the path of the folder."""

POWER_CYCLE = "power_cycle"
ACCEPTED, DONE, REFUSED = "accepted", "done", "refused"
SHORTEST_OFF_S, LONGEST_OFF_S = 0.1, 600.0


@dataclass(frozen=True)
class Request:
    """What the payload asks for; `off_s` is how long its rail shall be without power."""

    number: int
    action: str
    off_s: float
    reason: str


@dataclass(frozen=True)
class Answer:
    """What the host says to the request of that number."""

    number: int
    state: str
    text: str


def write_request(folder: Path, request: Request) -> None:
    """Replace the request. Raises OSError."""
    _write(folder / "request.json", asdict(request))


def read_request(folder: Path) -> Request | None:
    """The last request; None when there is none, or none that can be understood."""
    body = _read(folder / "request.json")
    try:
        request = Request(
            int(body["number"]), str(body["action"]), float(body["off_s"]), str(body["reason"])
        )
    except (KeyError, TypeError, ValueError):
        return None
    return request if request.number > 0 else None


def write_answer(folder: Path, answer: Answer) -> None:
    """Replace the answer. Raises OSError."""
    _write(folder / "answer.json", asdict(answer))


def read_answer(folder: Path) -> Answer | None:
    """The last answer; None when there is none, or none that can be understood."""
    body = _read(folder / "answer.json")
    try:
        return Answer(int(body["number"]), str(body["state"]), str(body["text"]))
    except (KeyError, TypeError, ValueError):
        return None


def _write(path: Path, body: dict[str, Any]) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(json.dumps(body), encoding="utf-8")
        temporary.rename(path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def _read(path: Path) -> dict[str, Any]:
    try:
        body = json_value(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return body if isinstance(body, dict) else {}
