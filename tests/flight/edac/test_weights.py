"""What coding theory says of both codes: how light a codeword is, and what that lets pass."""

from __future__ import annotations

from collections import Counter
from itertools import combinations
from math import comb

import numpy as np
import pytest

from flight.edac import hsiao
from flight.edac.blocks import Octets, Words
from flight.edac.code import Code, Lane, locate

pytestmark = [pytest.mark.numerical, pytest.mark.portable]

HSIAO = [*hsiao.COLUMNS, *(1 << row for row in range(hsiao.CHECK_BITS))]


def columns(n: int) -> list[int]:
    """The check matrix of one lane: s of each data and check bit, and below it always a one."""
    k = Code(n).k
    syndromes = [n - 1, *(n + i for i in range(1, n)), *(1 << j for j in range(k + 1)), 0]
    return [syndrome << 1 | 1 for syndrome in syndromes]


def codewords_by_weight(matrix: list[int], rows: int) -> list[int]:
    """How many codewords have the weights 0 to 4, from those of the dual code.

    MacWilliams' identity: Bell System Technical Journal 42(1), 1963.
    """
    bits = len(matrix)
    parity = np.arange(1 << rows)[:, None] & np.array(matrix)
    for shift in (8, 4, 2, 1):
        parity ^= parity >> shift
    dual = Counter((parity & 1).sum(axis=1).tolist())

    def krawtchouk(weight: int, of: int) -> int:
        signed = ((-1) ** i * comb(of, i) * comb(bits - of, weight - i) for i in range(weight + 1))
        return sum(signed)

    return [
        sum(count * krawtchouk(weight, of) for of, count in dual.items()) >> rows
        for weight in range(5)
    ]


def taken_for_one(matrix: list[int]) -> int:
    """How many triples of bits look like a single one, counted one by one."""
    known = set(matrix)
    return sum(a ^ b ^ c in known for a, b, c in combinations(matrix, 3))


@pytest.mark.parametrize("n", [64, 128, 256, 512, 1024])
def test_no_codeword_of_a_lane_is_lighter_than_four(n: int) -> None:
    assert codewords_by_weight(columns(n), Code(n).k + 2)[:4] == [1, 0, 0, 0]


@pytest.mark.parametrize("n", [64, 512, 4096])
def test_one_check_symbol_less_cannot_do(n: int) -> None:
    # No linear code whose lightest word is of weight four, with r check bits, is longer than
    # 2**(r - 1) bits (MacWilliams and Sloane, The Theory of Error-Correcting Codes, chapter 1).
    assert 1 << Code(n).k < n + Code(n).k + 1
    assert len(set(columns(n))) == n + Code(n).k + 2 <= 1 << Code(n).k + 1


def test_triple_errors_at_n_64_are_taken_for_one_as_often_as_theory_says() -> None:
    light = codewords_by_weight(columns(64), 8)[4]
    assert taken_for_one(columns(64)) == 4 * light == 45_248
    assert round(4 * light / comb(72, 3), 4) == 0.7587  # as docs/edac.md has it


def test_triple_errors_of_hsiaos_code_are_taken_for_one_as_often_as_theory_says() -> None:
    light = codewords_by_weight(HSIAO, hsiao.CHECK_BITS)
    assert light[:4] == [1, 0, 0, 0]
    assert taken_for_one(HSIAO) == 4 * light[4] == 33_568
    assert round(4 * light[4] / comb(72, 3), 4) == 0.5628
    assert round(1 - light[4] / comb(72, 4), 4) == 0.9918


@pytest.mark.parametrize(("n", "threes", "fours"), [(64, 75.87, 98.90), (512, 94.05, 99.82)])
def test_the_shares_on_the_page_are_those_of_theory(n: int, threes: float, fours: float) -> None:
    light, bits = codewords_by_weight(columns(n), Code(n).k + 2)[4], len(columns(n))
    assert round(400 * light / comb(bits, 3), 2) == threes
    assert round(100 - 100 * light / comb(bits, 4), 2) == fours


def test_the_decoder_takes_just_those_triples_for_one() -> None:
    matrix = columns(64)
    taken = 0
    for a, b, c in combinations(matrix, 3):
        taken += locate(6, (a ^ b ^ c) >> 1, is_odd=True)[0] is not Lane.LOST
    assert taken == 45_248


def test_hsiaos_kernel_takes_just_those_triples_for_one() -> None:
    triples = np.array(list(combinations(range(72), 3)))
    words: Words = np.random.default_rng(3).integers(0, 2**64, len(triples), dtype=np.uint64)
    checks: Octets = np.zeros(len(triples), np.uint8)
    hsiao.encode(words, checks)
    for bits in triples.T:
        in_data = bits < hsiao.DATA_BITS
        place = np.where(in_data, bits, bits - hsiao.DATA_BITS).astype(np.uint64)
        flip = np.uint64(1) << place
        words ^= np.where(in_data, flip, 0).astype(np.uint64)
        checks ^= np.where(in_data, 0, flip).astype(np.uint8)
    in_data_bits, in_checks, lost = hsiao.correct(words, checks)
    assert in_data_bits + in_checks == 33_568
    assert lost == len(triples) - 33_568
