"""Bits that flip: drawn here, as messages, and applied by whoever owns the memory.

A draw does not know what runs. It names a place and a moment as shares of 2^64: the owner puts the
flip at `where * size >> 64` of its memory and, for a wrong result, after call `when * calls >> 64`
of a step. `resolve` does exactly that for a target whose layout is known, and gives addresses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sim_hw.world.effects import Flips

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


@dataclass(frozen=True)
class FlipDraw:
    """One upset of memory or of a result, as drawn."""

    id: int
    kind: Flips
    pattern: str
    where: int
    """Place, as a share of 2^64."""
    when: int
    """Moment within a step, as a share of 2^64."""
    rows: int
    columns: int
    masks: tuple[str, ...]
    """Hexadecimal, in memory order: octets of a cluster, or 32 bits for each element in turn."""
    operation: str = "xor"
    """"xor", or "or" for a not-a-number, whose bits are set."""

    def message(self) -> dict[str, Any]:
        """What is sent to the owner of the memory."""
        return {
            "id": self.id,
            "kind": self.kind.value,
            "pattern": self.pattern,
            "where": self.where,
            "when": self.when,
            "rows": self.rows,
            "columns": self.columns,
            "masks": list(self.masks),
            "operation": self.operation,
        }

    @classmethod
    def from_message(cls, message: dict[str, Any]) -> FlipDraw:
        """The draw again, as from a truth log."""
        return cls(**{**message, "kind": Flips(message["kind"]), "masks": tuple(message["masks"])})


@dataclass(frozen=True)
class Target:
    """Memory that a draw is applied to."""

    job: int
    step: int
    calls: int
    """Computations within the step."""
    size: int
    """Octets."""
    row_elements: int = 1
    """Elements of four octets to a row, for wrong results."""


@dataclass(frozen=True)
class Flip:
    """Octets to change, and where and when."""

    job: int
    step: int
    call: int
    offset: int
    mask: bytes
    operation: str


def draw(number: int, kind: Flips, random: np.random.Generator) -> FlipDraw:
    """One flip of memory or logic, with the patterns of that part."""
    where, when = (int(random.integers(_ALL, dtype=np.uint64)) for _ in range(2))
    table = CLUSTERS if kind is Flips.MEMORY else PATTERNS
    pattern = _pick(table, float(random.random()))
    if kind is Flips.MEMORY:
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


def resolve(flip: FlipDraw, target: Target) -> tuple[Flip, ...]:
    """The addresses that a draw means in a target; what would lie beyond its end is left out."""
    if flip.kind is Flips.MEMORY:
        return _resolve_cluster(flip, target)
    call = flip.when * target.calls >> 64
    width = max(1, target.row_elements)
    elements = target.size // 4
    first = flip.where * elements >> 64
    found = []
    for index in range(flip.rows * flip.columns):
        row, column = divmod(index, flip.columns)
        element = first + row * width + column
        same_row = first % width + column < width
        if same_row and element < elements:
            mask = bytes.fromhex(flip.masks[index % len(flip.masks)])
            found.append(Flip(target.job, target.step, call, 4 * element, mask, flip.operation))
    return tuple(found)


def _resolve_cluster(flip: FlipDraw, target: Target) -> tuple[Flip, ...]:
    mask = bytes.fromhex(flip.masks[0])
    offset = flip.where * target.size >> 64
    offset -= offset % len(mask)  # a sector begins at a multiple of its size
    mask = mask[: target.size - offset]
    if not mask:
        return ()
    call = flip.when * target.calls >> 64
    return (Flip(target.job, target.step, call, offset, mask, flip.operation),)
