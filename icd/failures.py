"""The one registry of failure codes: why a telecommand was rejected or failed (PUS 1 notices)."""

from __future__ import annotations

import enum


@enum.unique
class FailureCode(enum.IntEnum):
    """Numbers are for ever: a code may be retired, never reused."""

    # acceptance: the request itself
    BAD_CHECKSUM = 1
    BAD_LENGTH = 2
    BAD_PACKET = 3
    UNKNOWN_APID = 4
    UNKNOWN_SERVICE = 5
    UNKNOWN_OPCODE = 6
    ARGUMENT_LENGTH = 7
    ARGUMENT_TYPE = 8
    ARGUMENT_RANGE = 9
    ARGUMENT_ENUM = 10
    # acceptance: now is not the time, or not from you
    WRONG_MODE = 20
    NOT_ARMED = 21
    SOURCE_REFUSED = 22
    QUEUE_FULL = 23
    TOO_MANY_PENDING = 24
    # execution
    REFUSED = 40
    RAISED = 41
    TIMED_OUT = 42
    COMPONENT_STOPPED = 43
    STORAGE_FAILED = 44
    NO_SPACE = 45
    NOT_FOUND = 46
    CHECKSUM_MISMATCH = 47
    WORKER_UNAVAILABLE = 48
    RESTARTED = 49


_LABELS = {code: code.name.lower().replace("_", " ") for code in FailureCode}


def label(code: int) -> str:
    """The words for a failure code; an unknown number is shown as such."""
    try:
        return _LABELS[FailureCode(code)]
    except ValueError:
        return f"failure {code}"
