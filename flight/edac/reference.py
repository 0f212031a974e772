"""The code in plain Python, slow and plain to read: what every other form is compared with.

A symbol is a 512-bit integer, the little-endian reading of its cache line; bit b of it is lane b.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import or_, xor

from flight.edac.code import SYMBOL_OCTETS, Code, Lane, locate


@dataclass
class Decoded:
    """What decoding made of a block: the symbols set right, and what was wrong in them."""

    data: list[int]
    checks: list[int]
    data_bits: int = 0
    check_bits: int = 0
    lost_lanes: list[int] = field(default_factory=list)


def symbols_of(octets: bytes) -> list[int]:
    """The symbols that octets hold, a whole number of them."""
    places = range(0, len(octets), SYMBOL_OCTETS)
    return [int.from_bytes(octets[at : at + SYMBOL_OCTETS], "little") for at in places]


def octets_of(symbols: Sequence[int]) -> bytes:
    """The octets of symbols."""
    return b"".join(symbol.to_bytes(SYMBOL_OCTETS, "little") for symbol in symbols)


def encode(data: Sequence[int]) -> list[int]:
    """The k + 2 check symbols of a block."""
    k = Code(len(data)).k
    checks = [_total(d for i, d in enumerate(data) if i >> j & 1) ^ data[0] for j in range(k)]
    checks.append(_total(data) ^ data[0])
    checks.append(_total(data) ^ _total(checks))
    return checks


def decode(data: Sequence[int], checks: Sequence[int]) -> Decoded:
    """Set right every lane with one wrong bit; lanes with more stay as they are."""
    k = Code(len(data)).k
    differences = [a ^ b for a, b in zip(encode(data), checks, strict=True)][: k + 1]
    odd = _total(data) ^ _total(checks)
    found = Decoded(list(data), list(checks))
    wrong = reduce(or_, differences, odd)
    for lane in (lane for lane in range(8 * SYMBOL_OCTETS) if wrong >> lane & 1):
        syndrome = sum((d >> lane & 1) << j for j, d in enumerate(differences))
        kind, symbol = locate(k, syndrome, bool(odd >> lane & 1))
        if kind is Lane.DATA:
            found.data[symbol] ^= 1 << lane
            found.data_bits += 1
        elif kind is Lane.CHECK:
            found.checks[symbol] ^= 1 << lane
            found.check_bits += 1
        else:
            found.lost_lanes.append(lane)
    return found


def _total(symbols: Iterable[int]) -> int:
    return reduce(xor, symbols, 0)
