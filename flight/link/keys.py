"""The keys file: one key for each key slot, which is the id of the station that holds it."""

from __future__ import annotations

from icd.link import KEY_SIZE
from icd.written import json_value, whole

NAME = "keys.json"


def parse(octets: bytes) -> tuple[dict[int, bytes], list[str]]:
    """Keys by slot, and a sentence for each that cannot be used; never raises."""
    try:
        slots = json_value(octets)["slots"]
    except (ValueError, KeyError, TypeError):
        slots = None
    if not isinstance(slots, dict):
        return {}, ['it does not hold {"slots": {"1": "<64 hex digits>"}}']
    keys: dict[int, bytes] = {}
    wrong: list[str] = []
    for slot, digits in slots.items():
        key = _key(digits)
        number = _slot(slot)
        if number and key:
            keys[number] = key
        else:
            wrong.append(f"slot {slot} must be 1 … 65535 with {2 * KEY_SIZE} hex digits")
    return keys, wrong


def _slot(written: str) -> int | None:
    try:
        number = whole(written)
    except ValueError:
        return None
    return number if 0 < number < 65536 and str(number) == written else None


def _key(digits: object) -> bytes | None:
    try:
        key = bytes.fromhex(digits) if isinstance(digits, str) else b""
    except ValueError:
        return None
    return key if len(key) == KEY_SIZE else None
