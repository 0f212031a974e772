"""The code as its plain form defines it: what it corrects and detects, and why k + 2 checks."""

from __future__ import annotations

import random
from functools import cache
from itertools import combinations

import pytest

from flight.edac import reference
from flight.edac.code import Code, Lane, locate

pytestmark = [pytest.mark.numerical, pytest.mark.portable]

N = 64
ALL_LANES = (1 << 512) - 1


@cache
def a_block() -> tuple[list[int], list[int]]:
    draw = random.Random(64)
    data = [draw.getrandbits(512) for _ in range(N)]
    return data, reference.encode(data)


def decoded_after(flips: list[tuple[int, int]]) -> reference.Decoded:
    """Decode the block after `mask` was flipped in each `symbol`; checks come after data."""
    data, checks = (list(part) for part in a_block())
    for symbol, mask in flips:
        part, at = (data, symbol) if symbol < N else (checks, symbol - N)
        part[at] ^= mask
    return reference.decode(data, checks)


def test_every_single_error_at_n_64_is_corrected_in_every_lane_of_data_and_checks() -> None:
    data, checks = a_block()
    for symbol in range(N + len(checks)):
        found = decoded_after([(symbol, ALL_LANES)])
        assert (found.data, found.checks) == (data, checks)
        assert found.lost_lanes == []
        assert (found.data_bits, found.check_bits) == ((512, 0) if symbol < N else (0, 512))


def test_every_double_error_at_n_64_is_detected_and_nothing_is_changed() -> None:
    pairs = list(combinations(range(N + 8), 2))
    assert len(pairs) == 2556
    for number, (one, other) in enumerate(pairs):
        lane = number % 512
        found = decoded_after([(one, 1 << lane), (other, 1 << lane)])
        assert found.lost_lanes == [lane]
        assert found.data_bits == found.check_bits == 0


def test_with_one_check_symbol_less_double_errors_would_pass_for_single_ones() -> None:
    # The columns of the shorter code: C[0] to C[k-1] and the overall parity alone.
    k = Code(N).k
    columns = [(N - 1) | N] + [i | N for i in range(1, N)] + [1 << j for j in range(k + 1)]
    pairs = [a ^ b for a, b in combinations(columns, 2)]
    assert sum(pair in columns for pair in pairs) > 0
    own = [N - 1, *(N + i for i in range(1, N)), *(1 << j for j in range(k + 1)), 0]
    words = [column << 1 | 1 for column in own]
    assert len(set(words)) == len(words) == 72
    assert not {a ^ b for a, b in combinations(words, 2)} & set(words)


@pytest.mark.parametrize("k", range(6, 13))
def test_each_syndrome_means_one_bit_or_none(k: int) -> None:
    n = 1 << k
    meanings = [locate(k, syndrome, True) for syndrome in range(2 * n)]
    told = [meaning for meaning in meanings if meaning[0] is not Lane.LOST]
    assert len(set(told)) == len(told) == n + k + 2
    assert locate(k, 0, False) == (Lane.CLEAN, 0)
    assert all(locate(k, syndrome, False)[0] is Lane.LOST for syndrome in range(1, 2 * n))


@pytest.mark.parametrize("n", [0, 32, 100, 8192])
def test_another_size_is_refused_with_what_to_give(n: int) -> None:
    with pytest.raises(ValueError, match="power of two from 64 to 4096"):
        Code(n)


def test_the_overhead_is_what_the_documentation_says() -> None:
    assert Code(512).check_symbols == 11
    assert round(11 * 64 / Code(512).block_octets * 100, 2) == 2.15
    assert Code(4096).overhead < 0.0035 < 0.12 < Code(64).overhead < 0.13


def test_symbols_and_octets_are_one_another() -> None:
    octets = random.Random(1).randbytes(3 * 64)
    assert reference.octets_of(reference.symbols_of(octets)) == octets
