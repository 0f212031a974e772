"""Hsiao's (72,64) code has the properties that its paper proves."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from flight.edac import hsiao
from flight.edac.blocks import Octets, Words

pytestmark = [pytest.mark.numerical, pytest.mark.portable]

ALL_COLUMNS = (*hsiao.COLUMNS, *(1 << row for row in range(hsiao.CHECK_BITS)))


def draw(count: int) -> tuple[Words, Octets]:
    words = np.random.default_rng(72).integers(0, 2**64, count, dtype=np.uint64)
    checks = np.zeros(count, np.uint8)
    hsiao.encode(words, checks)
    return words, checks


def flip(words: Words, checks: Octets, at: int, bit: int) -> None:
    if bit < hsiao.DATA_BITS:
        words[at] ^= np.uint64(1) << np.uint64(bit)
    else:
        checks[at] ^= np.uint8(1 << bit - hsiao.DATA_BITS)


def test_all_72_columns_differ_and_have_odd_weight() -> None:
    assert len(set(ALL_COLUMNS)) == 72
    assert all(column.bit_count() % 2 for column in ALL_COLUMNS)


def test_the_matrix_has_the_least_ones_there_can_be_evenly_over_its_rows() -> None:
    # Section "The (72,64) code": 56 columns of weight 3, eight of weight 5, 216 ones, 27 a row.
    weights = [column.bit_count() for column in hsiao.COLUMNS]
    assert (weights.count(3), weights.count(5)) == (56, 8)
    assert sum(column.bit_count() for column in ALL_COLUMNS) == 216
    assert [mask.bit_count() + 1 for mask in hsiao.MASKS] == [27] * 8


def test_kernel_and_plain_form_agree() -> None:
    words, checks = draw(500)
    assert [hsiao.reference(int(word)) for word in words] == checks.tolist()
    assert hsiao.check(words, checks) == 0


def test_every_single_error_is_corrected() -> None:
    words, checks = draw(72)
    good = words.copy(), checks.copy()
    for bit in range(72):
        flip(words, checks, bit, bit)
    assert hsiao.check(words, checks) == 72
    assert hsiao.correct(words, checks) == (64, 8, 0)
    assert (words == good[0]).all()
    assert (checks == good[1]).all()


def test_every_double_error_is_detected_and_left_alone() -> None:
    pairs = list(combinations(range(72), 2))
    words, checks = draw(len(pairs))
    for at, pair in enumerate(pairs):
        for bit in pair:
            flip(words, checks, at, bit)
    before = words.copy(), checks.copy()
    assert hsiao.correct(words, checks) == (0, 0, len(pairs))
    assert (words == before[0]).all()
    assert (checks == before[1]).all()
