"""What people and files write, read strictly: numbers in ASCII digits, JSON and TOML in UTF-8.

Python itself reads more kindly: `1_000` and full-width digits are numbers to it, and brackets that
nest without end raise RecursionError. Every reader here raises ValueError with a sentence.
"""

from __future__ import annotations

import json
import re
import sys
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

DEEPEST = 64
"""Levels of brackets, or of tables, that a file may have."""
_TOO_DEEP = f"its brackets nest deeper than {DEEPEST} levels"
_BOM = "\ufeff"
_BLANKS = " \t\r\n"
_WHOLE = re.compile(r"[-+]?[0-9]+")
_PREFIXED = re.compile(r"[-+]?0(?:[xX][0-9a-fA-F]+|[oO][0-7]+|[bB][01]+)")
_REAL = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")


def whole(written: str) -> int:
    """A whole number in decimal digits, with a sign or without."""
    text = written.strip(_BLANKS)
    if not _WHOLE.fullmatch(text):
        raise ValueError(f"{written!r} is not a whole number; write digits only, such as 12")
    return int(text)


def whole_of_any_base(written: str) -> int:
    """A whole number in decimal, or with the prefix 0x, 0o or 0b; `010` is refused as unclear."""
    text = written.strip(_BLANKS)
    if _PREFIXED.fullmatch(text) or _WHOLE.fullmatch(text):
        return int(text, 0)
    raise ValueError(f"{written!r} is not a whole number; write digits only, such as 12 or 0x0C")


def real(written: str) -> float:
    """A decimal number, such as 12, 0.5 or 1e-3; neither `nan` nor `inf` is one."""
    text = written.strip(_BLANKS)
    if not _REAL.fullmatch(text):
        raise ValueError(f"{written!r} is not a number; write one such as 12, 0.5 or 1e-3")
    return float(text)


def text(octets: bytes) -> str:
    """UTF-8 text without the byte order mark that some editors put in front of it."""
    try:
        return octets.decode().removeprefix(_BOM)
    except UnicodeDecodeError as error:
        raise ValueError(f"octet {error.start} is not UTF-8; save it as UTF-8 text") from None


def json_value(octets: bytes | str) -> Any:
    """What a JSON text holds."""
    try:
        return _bounded(json.loads(octets if isinstance(octets, str) else text(octets)))
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None


def toml_tables(octets: bytes | str) -> dict[str, Any]:
    """What a TOML text holds; what is no TOML is told with its line."""
    try:
        written = octets if isinstance(octets, str) else text(octets)
        tables: dict[str, Any] = _bounded(tomllib.loads(written.removeprefix(_BOM)))
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    return tables


def _bounded(value: Any) -> Any:
    """The value, unless it nests so deeply that whoever walks or shows it would raise."""
    layer = [value] if isinstance(value, dict | list) else []
    for _ in range(DEEPEST):
        layer = [
            inner
            for outer in layer
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not layer:
            return value
    raise ValueError(_TOO_DEEP)
