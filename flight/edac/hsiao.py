"""Hsiao's (72,64) code, as memory controllers use it: a second code, published, to compare with.

M. Y. Hsiao, "A Class of Optimal Minimum Odd-weight-column SEC-DED Codes", IBM Journal of Research
and Development 14(4), 1970: every column of the check matrix has odd weight, so two errors never
look like one. Here the 64 data columns are all 56 of weight 3 in increasing order, then the eight
rotations of 0b00011111; each check bit depends on 26 data bits, the least there can be.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from flight.edac.compiled_kernels import kept
from flight.edac.vectors import ones

DATA_BITS = 64
CHECK_BITS = 8
_THREES = sorted(sum(1 << row for row in rows) for rows in combinations(range(CHECK_BITS), 3))
_FIVES = [(0x1F << turn | 0x1F >> CHECK_BITS - turn) & 0xFF for turn in range(CHECK_BITS)]
COLUMNS: tuple[int, ...] = (*_THREES, *_FIVES)
"""The syndrome of each data bit; that of check bit j is 1 << j."""
MASKS: tuple[int, ...] = tuple(
    sum(1 << bit for bit, column in enumerate(COLUMNS) if column >> row & 1)
    for row in range(CHECK_BITS)
)
"""The data bits that each check bit is the parity of."""

CLEAN, IN_CHECKS, LOST = 64, 65, 66
"""What a syndrome means beside the number of a data bit."""


def _meaning(syndrome: int) -> int:
    if syndrome in COLUMNS:
        return COLUMNS.index(syndrome)
    if syndrome == 0:
        return CLEAN
    return IN_CHECKS if syndrome.bit_count() == 1 else LOST


MEANINGS = np.array([_meaning(syndrome) for syndrome in range(256)], np.uint8)
_ROWS = np.array(MASKS, np.uint64)


def reference(word: int) -> int:
    """The check bits of a word; plain."""
    return sum(((word & mask).bit_count() & 1) << row for row, mask in enumerate(MASKS))


@njit(inline="always")
def _check_bits(word: Any) -> Any:
    found = np.uint64(0)
    for row in range(8):
        found |= (ones(word & _ROWS[row]) & np.uint64(1)) << np.uint64(row)
    return found


@kept("void(u8[::1], u1[::1])")
def encode(words: NDArray[np.uint64], checks: NDArray[np.uint8]) -> None:
    """Write the check octet of each word.

    words: n, uint64; checks: n, uint8.
    """
    for i in range(words.size):
        checks[i] = _check_bits(words[i])


@kept("i8(u8[::1], u1[::1])")
def check(words: NDArray[np.uint64], checks: NDArray[np.uint8]) -> int:
    """How many words disagree with their check octets.

    words: n, uint64; checks: n, uint8.
    """
    wrong = 0
    for i in range(words.size):
        wrong += _check_bits(words[i]) != np.uint64(checks[i])
    return wrong


@kept("UniTuple(i8, 3)(u8[::1], u1[::1])")
def correct(words: NDArray[np.uint64], checks: NDArray[np.uint8]) -> tuple[int, int, int]:
    """Set right every word with one wrong bit: (data bits, check bits, words lost).

    words: n, uint64; checks: n, uint8; both are changed in place.
    """
    in_data, in_checks, lost = 0, 0, 0
    for i in range(words.size):
        wanted = _check_bits(words[i])
        meaning = MEANINGS[wanted ^ np.uint64(checks[i])]
        if meaning < CLEAN:
            words[i] ^= np.uint64(1) << np.uint64(meaning)
            in_data += 1
        elif meaning == IN_CHECKS:
            checks[i] = wanted
            in_checks += 1
        elif meaning == LOST:
            lost += 1
    return in_data, in_checks, lost
