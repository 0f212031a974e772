"""The bit-sliced SEC-DED code: its sizes, and what a lane's syndrome means."""

from __future__ import annotations

import enum
from dataclasses import dataclass

SYMBOL_OCTETS = 64
"""A symbol is one cache line."""
SYMBOL_WORDS = 8
SMALLEST = 64
LARGEST = 4096


@dataclass(frozen=True)
class Code:
    """A code over blocks of `n` data symbols, a power of two from 64 to 4096.

    Every one of the 512 bit lanes of a block is a Hamming SEC-DED codeword of its own: n data
    bits and k + 2 check bits, k = log2 n.
    Raises ValueError for another n.
    """

    n: int = 512

    def __post_init__(self) -> None:
        if not SMALLEST <= self.n <= LARGEST or self.n & (self.n - 1):
            raise ValueError(
                f"no code with {self.n} symbols a block; give a power of two "
                f"from {SMALLEST} to {LARGEST}"
            )

    @property
    def k(self) -> int:
        """log2 n."""
        return self.n.bit_length() - 1

    @property
    def check_symbols(self) -> int:
        """Check symbols a block."""
        return self.k + 2

    @property
    def block_octets(self) -> int:
        """Octets of data in a block."""
        return self.n * SYMBOL_OCTETS

    @property
    def overhead(self) -> float:
        """Octets of check symbols and hash, over octets of data."""
        return (self.check_symbols * SYMBOL_OCTETS + 16) / self.block_octets


class Lane(enum.Enum):
    """What is wrong in one bit lane."""

    CLEAN = enum.auto()
    DATA = enum.auto()
    """One data bit."""
    CHECK = enum.auto()
    """One check bit."""
    LOST = enum.auto()
    """Two or more bits: they cannot be told."""


def locate(k: int, syndrome: int, is_odd: bool) -> tuple[Lane, int]:
    """The one wrong bit of a lane: its kind, and which data or check symbol it is in.

    Bit j of `syndrome` is check symbol j as received against recomputed, for j from 0 to k;
    `is_odd` is the parity of all data and all check bits as received.
    """
    n = 1 << k
    if not is_odd:
        return (Lane.LOST if syndrome else Lane.CLEAN), 0
    if syndrome == 0:
        return Lane.CHECK, k + 1
    if syndrome > n:
        return Lane.DATA, syndrome - n
    if syndrome & (syndrome - 1) == 0:
        return Lane.CHECK, syndrome.bit_length() - 1
    if syndrome == n - 1:
        return Lane.DATA, 0
    return Lane.LOST, 0
