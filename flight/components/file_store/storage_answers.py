"""What the answers of storage mean; they come from another process, so they are checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeGuard

from flight.framework.ports import StorageResult
from icd.failures import FailureCode

MAX_NUMBER = 2**40
"""The largest offset that storage takes."""

BUSY = StorageResult(False, error="BUSY", text="its queue is full")
"""The answer to a request that storage did not take."""

_CODES = {
    "ENOSPC": (FailureCode.NO_SPACE, "the disk is full: delete files, then send it again"),
    "EDQUOT": (FailureCode.NO_SPACE, "the disk is full: delete files, then send it again"),
    "ENOENT": (FailureCode.NOT_FOUND, "there is no such file; list shows what there is"),
    "EISDIR": (FailureCode.REFUSED, "this is a folder; give the path of a file"),
    "ENOTEMPTY": (FailureCode.REFUSED, "this is a folder; give the path of a file"),
    "ENOTDIR": (FailureCode.REFUSED, "a part of the path is a file, not a folder"),
    "BUSY": (FailureCode.STORAGE_FAILED, "storage has no room for the request: send it again"),
    "RESTARTED": (FailureCode.STORAGE_FAILED, "storage was restarted: send it again"),
    "TIMEOUT": (FailureCode.STORAGE_FAILED, "storage did not answer in time: send it again"),
}


def failure_of(result: StorageResult) -> tuple[str, FailureCode]:
    """The reason and the code for a storage answer that is not ok."""
    if result.error in _CODES:
        code, reason = _CODES[result.error]
        return reason, code
    return f"storage: {result.error} {result.text}".strip(), FailureCode.STORAGE_FAILED


def digest_of(result: StorageResult) -> tuple[int, int] | None:
    """Size and CRC-32 out of a digest answer; None when it is not one."""
    value = result.value
    if not result.ok or not isinstance(value, Mapping):
        return None
    size, crc32 = value.get("size"), value.get("crc32")
    return (size, crc32) if is_count(size) and is_count(crc32) else None


def is_count(value: Any) -> TypeGuard[int]:
    """Whether a value that came from a worker can be a number of octets."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_NUMBER


def entries_of(result: StorageResult) -> list[tuple[str, bool, int]] | None:
    """Name, whether a folder, and size of each entry of a list answer; None when it is not one."""
    if not result.ok or not isinstance(result.value, list | tuple):
        return None
    entries = []
    for row in result.value:
        if not isinstance(row, list | tuple) or len(row) != 3:
            return None
        name, is_folder, size = row
        if not isinstance(name, str) or not is_count(size):
            return None
        entries.append((name, bool(is_folder), size))
    return entries
