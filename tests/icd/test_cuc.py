"""CCSDS unsegmented time, 4 + 3 octets: 301.0-B-4, section 3.2."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icd import cuc

pytestmark = pytest.mark.portable

SECOND = 1_000_000_000


@pytest.mark.parametrize(
    ("time_ns", "octets"),
    [
        (0, "00000000 000000"),  # the epoch, 1958-01-01 TAI
        (1, "00000000 000000"),  # below the resolution of 2**-24 s, about 60 ns
        (60, "00000000 000001"),  # 59.6 ns is one unit
        (SECOND // 2, "00000000 800000"),
        (SECOND - 1, "00000000 ffffff"),
        (SECOND, "00000001 000000"),
        # The epoch J2000, 2000-01-01T11:59:27.816 TAI, is 15340 days after that of the code.
        (1_325_419_167_816_000_000, "4f004a9f d0e560"),
        (cuc.LAST, "ffffffff ffffff"),
    ],
)
def test_known_times_have_these_octets(time_ns: int, octets: str) -> None:
    assert cuc.encode(time_ns) == bytes.fromhex(octets)


@pytest.mark.parametrize("time_ns", [-1, cuc.LAST + 1])
def test_a_time_outside_the_code_is_refused(time_ns: int) -> None:
    with pytest.raises(ValueError, match=r"outside CUC 4\+3; give 0"):
        cuc.encode(time_ns)


@given(st.integers(0, cuc.LAST))
def test_a_time_comes_back_at_most_sixty_nanoseconds_early(time_ns: int) -> None:
    assert 0 <= time_ns - cuc.decode(cuc.encode(time_ns)) < 60


@given(st.binary(min_size=7, max_size=7))
def test_seven_octets_come_back_unchanged(octets: bytes) -> None:
    assert cuc.encode(cuc.decode(octets)) == octets


@given(st.integers(0, cuc.LAST), st.integers(0, cuc.LAST))
def test_the_order_of_times_is_the_order_of_their_octets(one: int, other: int) -> None:
    first, second = sorted((one, other))
    assert cuc.encode(first) <= cuc.encode(second)
