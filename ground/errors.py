"""What can go wrong on ground, named by whose doing it was.

GroundError
├── ConfigurationError    the one who started the server: paths, keys, dictionaries
├── NoServer              no ground server answers where a client looks
├── CommandRefused        the operator: refused before sending
├── CommandFailed         the payload: rejected, failed, or never answered
├── LinkDown              the link: no payload answers
├── TransferFailed        a file that did not get across
├── Forgotten             the server: it was restarted since, and does not know this any more
└── TimedOut              what was awaited did not come
"""

from __future__ import annotations

from typing import Any


class GroundError(Exception):
    """Base of everything that ground raises on purpose; the message says what to do instead."""


class ConfigurationError(GroundError):
    """The server cannot start as it was asked to."""


class NoServer(GroundError):
    """No ground server answers."""


class CommandRefused(GroundError):
    """A telecommand that the dictionary does not admit; it was not sent."""


class CommandFailed(GroundError):
    """A telecommand that did not complete; `result` is its whole record where one exists."""

    def __init__(self, message: str, result: Any = None) -> None:
        super().__init__(message)
        self.result = result


class LinkDown(GroundError):
    """No payload answers on the link, so nothing was sent."""


class TransferFailed(GroundError):
    """A file did not get across; what arrived so far is kept for a resume where it is sound."""


class Forgotten(GroundError):
    """A number that an earlier run of the server gave out."""


class TimedOut(GroundError):
    """What was awaited did not come in time."""


KINDS: dict[str, type[GroundError]] = {
    kind.__name__: kind
    for kind in (
        GroundError,
        ConfigurationError,
        NoServer,
        CommandRefused,
        CommandFailed,
        LinkDown,
        TransferFailed,
        Forgotten,
        TimedOut,
    )
}


def nearest(wrong: str, known: list[str]) -> str:
    """A sentence naming the nearest known name, or the known names, for a wrong one."""
    from difflib import get_close_matches

    close = get_close_matches(wrong, known, n=1, cutoff=0.5)
    if close:
        return f"did you mean '{close[0]}'?"
    return f"known are {', '.join(known)}" if known else "none is known"
