"""The keys file: one key for each key slot, which is the id of the station that holds it."""

from __future__ import annotations

import json

from icd.link import KEY_SIZE

NAME = "keys.json"


def parse(octets: bytes) -> tuple[dict[int, bytes], list[str]]:
    """Keys by slot, and a sentence for each that cannot be used; never raises."""
    try:
        slots = json.loads(octets)["slots"]
    except (ValueError, KeyError, TypeError, RecursionError):
        slots = None
    if not isinstance(slots, dict):
        return {}, ['it does not hold {"slots": {"1": "<64 hex digits>"}}']
    keys: dict[int, bytes] = {}
    wrong: list[str] = []
    for slot, digits in slots.items():
        key = _key(digits)
        if slot.isdecimal() and 0 < int(slot) < 65536 and key is not None:
            keys[int(slot)] = key
        else:
            wrong.append(f"slot {slot} must be 1 … 65535 with {2 * KEY_SIZE} hex digits")
    return keys, wrong


def _key(digits: object) -> bytes | None:
    try:
        key = bytes.fromhex(digits) if isinstance(digits, str) else b""
    except ValueError:
        return None
    return key if len(key) == KEY_SIZE else None
