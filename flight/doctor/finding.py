"""What a check found, and what to do about it."""

from __future__ import annotations

import enum
from dataclasses import dataclass


@enum.unique
class Verdict(enum.Enum):
    """How bad it is: an error is something that would keep the payload from flying."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True)
class Finding:
    """One line of the report; `advice` says what to do and is empty where all is well."""

    verdict: Verdict
    text: str
    advice: str = ""
    check: str = ""


def ok(text: str) -> Finding:
    """All is well, or as chosen."""
    return Finding(Verdict.OK, text)


def warning(text: str, advice: str) -> Finding:
    """The payload flies, but not as well as it could."""
    return Finding(Verdict.WARNING, text, advice)


def error(text: str, advice: str) -> Finding:
    """The payload will not fly, or will lose what it must keep."""
    return Finding(Verdict.ERROR, text, advice)
