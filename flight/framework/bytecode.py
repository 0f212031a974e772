"""The instructions that the interpreter executes, as they were compiled.

From Python 3.11 on the interpreter writes over a code object while it runs: instructions become
specialised ones, with counters and caches in the words behind them. `co_code` is no help: it is a
copy, made once and kept. Here the live instructions are read, specialised ones become the general
ones of their families, and caches are left out; what remains never changes.
"""

from __future__ import annotations

import dis
import opcode
import re
import sys
from collections.abc import Mapping
from types import CodeType
from typing import Any

_FIRST_LIVE = (3, 11)
_OPCODES = 256


def live_instructions(code: CodeType) -> bytes:
    """The memory that is executed: opcodes and arguments, specialised, with caches."""
    live: bytes | None = getattr(code, "_co_code_adaptive", None)
    return code.co_code if live is None else live


def as_compiled(live: bytes) -> bytes:
    """Opcodes and arguments of live instructions, as the compiler made them."""
    if not _IS_LIVE:
        return live
    whole = bytearray(live)
    whole[0::2] = live[0::2].translate(_GENERAL)
    return b"".join(_CACHES.findall(whole))


def _families(module: Any) -> Mapping[str, list[str]]:
    return getattr(module, "_specializations", {})


def _general() -> bytes:
    """Opcode → opcode of the general instruction that it is a form of."""
    numbers: Mapping[str, int] = getattr(dis, "_all_opmap", opcode.opmap)
    table = list(range(_OPCODES))
    for name, number in numbers.items():
        base = name.partition("__")[0].removesuffix("_QUICK")
        if number < _OPCODES and base != name and base in numbers:
            table[number] = numbers[base]  # two in one, or one that has warmed up
    for base, family in _families(opcode).items():
        for name in family:
            table[numbers[name]] = numbers[base]
    return bytes(table)


def _caches() -> re.Pattern[bytes]:
    """Matches each instruction with the words behind it that are its caches."""
    entries: Any = getattr(opcode, "_inline_cache_entries", ())
    if isinstance(entries, Mapping):
        counts = {opcode.opmap[name]: count for name, count in entries.items()}
    else:
        counts = dict(enumerate(entries))
    by_count: dict[int, bytes] = {}
    for number, count in counts.items():
        if count and number < _OPCODES:
            by_count[count] = by_count.get(count, b"") + re.escape(bytes([number]))
    parts = [b"(?:(?<=[%b].).{%d})" % (ops, 2 * count) for count, ops in by_count.items()]
    return re.compile(b"(?s)(..)(?:%b|)" % b"|".join(parts))


_IS_LIVE = sys.version_info >= _FIRST_LIVE
_GENERAL = _general() if _IS_LIVE else b""
_CACHES = _caches() if _IS_LIVE else re.compile(b"")
