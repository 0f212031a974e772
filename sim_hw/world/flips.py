"""Bits that flip: drawn here, as messages (`icd.flips`), and applied by the memory's owner."""

from __future__ import annotations

import numpy as np

from icd.flips import FlipDraw, FlipKind

CLUSTERS = (
    ("single bit", 0.60),
    ("two adjacent bits", 0.20),
    ("byte", 0.15),
    ("32-byte sector", 0.05),
)
"""Sizes of a cluster in DRAM: shape after published field studies of HBM2, shares estimated."""
PATTERNS = (
    ("single element", 0.35),
    ("row", 0.20),
    ("column", 0.10),
    ("warp", 0.20),
    ("block", 0.14),
    ("not a number", 0.01),
)
"""Wrong results in space: fewer than 40 % are single elements, 1 % are NaN or infinite, most repeat
with the width of a warp (arXiv 2605.04213); the split of the rest is an estimate."""
WARP = 32
_LONGEST = 64
_ALL = 2**64


def draw(number: int, kind: FlipKind, random: np.random.Generator) -> FlipDraw:
    """One flip of memory or logic, with the patterns of that part."""
    where, when = (int(random.integers(_ALL, dtype=np.uint64)) for _ in range(2))
    table = CLUSTERS if kind is FlipKind.MEMORY else PATTERNS
    pattern = _pick(table, float(random.random()))
    if kind is FlipKind.MEMORY:
        mask = _cluster(pattern, random)
        return FlipDraw(number, kind, pattern, where, when, 1, len(mask), (mask.hex(),))
    rows, columns = _extent(pattern, random)
    if pattern == "not a number":
        return FlipDraw(number, kind, pattern, where, when, 1, 1, ("0000c07f",), "or")
    bits = random.integers(32, size=min(rows * columns, _LONGEST))
    masks = tuple((1 << int(bit)).to_bytes(4, "little").hex() for bit in bits)
    return FlipDraw(number, kind, pattern, where, when, rows, columns, masks)


def _pick(table: tuple[tuple[str, float], ...], share: float) -> str:
    for name, part in table:
        share -= part
        if share < 0.0:
            return name
    return table[-1][0]


def _cluster(pattern: str, random: np.random.Generator) -> bytes:
    """The octets to flip; at least one bit, and at least two in two octets of a sector."""
    if pattern == "single bit":
        return bytes([1 << int(random.integers(8))])
    if pattern == "two adjacent bits":
        return bytes([3 << int(random.integers(7))])
    if pattern == "byte":
        return bytes([int(random.integers(1, 256))])
    mask = bytearray(random.bytes(32))
    mask[0] |= 1
    mask[-1] |= 0x80
    return bytes(mask)


def _extent(pattern: str, random: np.random.Generator) -> tuple[int, int]:
    """Rows and columns of a pattern in a result."""
    if pattern == "row":
        return 1, int(random.integers(2, 129))
    if pattern == "column":
        return int(random.integers(2, 129)), 1
    if pattern == "warp":
        return 1, WARP
    if pattern == "block":
        return int(random.integers(2, 17)), int(random.integers(2, 17))
    return 1, 1
