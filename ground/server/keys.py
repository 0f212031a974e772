"""Reads the keys file of a payload: one 32-octet key for each key slot."""

from __future__ import annotations

import stat
from pathlib import Path

from ground.errors import ConfigurationError
from icd import link
from icd.written import json_value, whole


def read(path: Path) -> dict[int, bytes]:
    """Keys by slot; raises ConfigurationError for a file that is open to others or malformed."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        octets = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"cannot read keys file {path}: {error.strerror}; give the payload's keys.json"
        ) from error
    if mode & 0o077:
        raise ConfigurationError(f"others can read {path} (mode {mode:o}); write: chmod 600 {path}")
    try:
        slots = json_value(octets)["slots"]
        keys = {_slot(slot): bytes.fromhex(key) for slot, key in slots.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigurationError(
            f'{path} is no keys file; it holds {{"slots": {{"1": "<64 hex digits>"}}}}'
        ) from error
    for slot, key in keys.items():
        if not 0 < slot < 2**16 or len(key) != link.KEY_SIZE:
            raise ConfigurationError(
                f"{path}: slot {slot} must be 1 … 65535 with {2 * link.KEY_SIZE} hex digits"
            )
    if not keys:
        raise ConfigurationError(f"{path} holds no key; make one with: flight keygen")
    return keys


def _slot(written: str) -> int:
    number = whole(written)
    if str(number) != written:  # "01" beside "1" would be one slot with two keys
        raise ValueError(f"slot {written!r}")
    return number
