"""What an executive reads before its first step: what the last one saved, and the link keys."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from flight.framework.ports import StorageResult
from flight.link import keys
from flight.storage.saved_state import BACKUP, PATH, parse
from icd.dictionary import Mode

KEYS = f"state/{keys.NAME}"
MARGIN = 4096
"""How far anti-replay goes on above a second copy, which may lag behind; ground skips so far."""
_NOBODY = ("TIMEOUT", "RESTARTED", "BUSY")

Read = Callable[[str], StorageResult]
"""A whole small file by its storage path."""


class NoAnswerError(Exception):
    """Storage does not answer: what is on the disk is unknown, so nothing may begin anew."""


@dataclass
class Found:
    """What there was; `lost` has a sentence for each thing that should have been there."""

    saved: dict[str, Any] = field(default_factory=dict)
    keys: dict[int, bytes] = field(default_factory=dict)
    reason: str = "restart"
    lost: list[str] = field(default_factory=list)


def look(read: Read, *, needs_keys: bool) -> Found:
    """Read state and keys; raises NoAnswerError."""
    found = Found()
    _read_state(read, found)
    octets, trouble = _octets(read(KEYS))
    if octets is not None:
        found.keys, wrong = keys.parse(octets)
        found.lost += [f"{keys.NAME}: {sentence}" for sentence in wrong]
    elif needs_keys:
        found.lost.append(f"{keys.NAME} {trouble or 'is gone'}: nobody can command")
    return found


def _read_state(read: Read, found: Found) -> None:
    newest, trouble = _state(read(PATH))
    if newest is not None:
        found.saved = newest
        return
    second, also = _state(read(BACKUP))
    trouble = trouble or also
    if second is not None:
        found.saved = second
        found.saved["replay"] = _moved_on(second.get("replay"))
        found.reason = f"restart from the second copy of its state ({trouble or 'gone'})"
    elif trouble:
        # In which mode it was is unknown; old telecommands would be taken again.
        found.saved = {"mode": int(Mode.SAFE)}
        found.reason = "restart without its state"
        found.lost.append(f"saved state ({trouble}): change the keys, old telecommands pass")
    else:
        found.reason = "first start"


def _moved_on(ceilings: Any) -> Any:
    if not isinstance(ceilings, dict):
        return ceilings
    return {s: c + MARGIN if isinstance(c, int) else c for s, c in ceilings.items()}


def _state(result: StorageResult) -> tuple[dict[str, Any] | None, str]:
    octets, trouble = _octets(result)
    if octets is None:
        return None, trouble
    try:
        return parse(octets), ""
    except ValueError as error:
        return None, str(error)[:40]


def _octets(result: StorageResult) -> tuple[bytes | None, str]:
    """The octets of a file, or what keeps it from being read; empty: it is not there."""
    if result.ok and isinstance(result.value, bytes):
        return result.value, ""
    if result.error in _NOBODY:
        raise NoAnswerError(f"storage: {result.error} {result.text}".strip())
    return None, "" if result.error == "ENOENT" else result.error or "no octets"
