"""The block hash, bit by bit: 32 lanes side by side, 64 bits in the end, stored twice.

A block is n symbols of eight 64-bit little-endian words. All arithmetic is modulo 2**64; `lo(y)` is
y modulo 2**32; `swap` exchanges the two halves of a word (a rotation by 32). Then

    half(y, m) = swap(y + lo(y) * (m - 1))          m an odd number below 2**32
    mix(y)     = half(half(y, 0x9E3779B1), 0x85EBCA77)

Both multipliers are primes of xxHash. As m is odd, `half` and so `mix` are one-to-one: no change
of one word alone can be lost. Lane 8 g + c, for g below 4 and c below 8, takes word c of the
symbols g, g + 4, g + 8, ... in order: it starts from (8 g + c + 1) * 0x9E3779B97F4A7C15, and each
word x makes h into mix(h ^ x). In the end

    H[c] = h[c];  H[c] = mix(H[c]) ^ h[8 g + c]    for g = 1, 2, 3
    H[c] = mix(H[c]) ^ H[c + w]                    for w = 4, 2, 1 and c < w
    hash = mix(mix(H[0] ^ index) ^ n)

where `index` is the number of the block in its region, so that a block in another's place is found.

A hash is kept with its complement, far enough apart that no burst reaches both.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

MULTIPLIERS = (0x9E3779B1, 0x85EBCA77)
START = 0x9E3779B97F4A7C15
MASK = (1 << 64) - 1
LANES = 32
GROUPS = 4
WIDTHS = (4, 2, 1)
_LOW = (1 << 32) - 1
SCATTERED = 16
"""Bits in which two damaged copies may differ and still prove a hash: 48 others agree."""


def half(y: int, multiplier: int) -> int:
    """One multiplication of `mix`."""
    y = (y + (y & _LOW) * (multiplier - 1)) & MASK
    return (y >> 32) | (y & _LOW) << 32


def mix(y: int) -> int:
    """Spread every bit of a word over the word, one-to-one."""
    return half(half(y, MULTIPLIERS[0]), MULTIPLIERS[1])


def starts() -> list[int]:
    """What each lane starts from."""
    return [(lane + 1) * START & MASK for lane in range(LANES)]


def block_hash(words: Sequence[int], index: int = 0) -> int:
    """The hash of one block, given as its 8 n words in order; plain and slow."""
    lanes = starts()
    for at, word in enumerate(words):
        lanes[at % LANES] = mix(lanes[at % LANES] ^ word)
    folded = lanes[:8]
    for group in range(1, GROUPS):
        folded = [mix(folded[c]) ^ lanes[8 * group + c] for c in range(8)]
    for width in WIDTHS:
        folded = [mix(folded[c]) ^ folded[c + width] for c in range(width)]
    return mix(mix(folded[0] ^ index) ^ len(words) // 8)


def chain(words: Iterable[int], start: int = START) -> int:
    """The hash of a short list of words in order: a header, or the hashes of all blocks."""
    for word in words:
        start = mix(start ^ word)
    return start


def agrees(found: int, stored: int, complement: int) -> bool:
    """Whether a hash is the stored one, of which either copy may be damaged.

    Either copy as it is, or, where both have lost some bits, each bit in one of them; a wrong hash
    passes with a probability below 2**-47.
    """
    other = complement ^ MASK
    if found in (stored, other):
        return True
    is_covered = (found ^ stored) & (found ^ other) == 0
    return is_covered and (stored ^ other).bit_count() <= SCATTERED
