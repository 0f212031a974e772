"""CRC-16/CCITT-FALSE against its published check value and two other implementations."""

from __future__ import annotations

import binascii

import crcmod
import crcmod.predefined
import pytest
from hypothesis import given
from hypothesis import strategies as st

from icd.crc import CHECK_VALUE, crc16

# ECSS-E-ST-70-41C (2016), annex B.1.5: "verification of compliance", CRC of these octets.
ECSS_ANNEX_B = [
    ("0000", 0x1D0F),
    ("000000", 0xCC9C),
    ("abcdef01", 0x04A2),
    ("1456f89a0001", 0x7FD5),
]


@pytest.mark.verifies("VA-LINK-01")
def test_the_nine_digits_give_the_published_check_value() -> None:
    """RevEng catalogue of parametrised CRC algorithms, CRC-16/IBM-3740: check=0x29b1."""
    assert CHECK_VALUE == 0x29B1
    assert crc16(b"123456789") == 0x29B1


@pytest.mark.verifies("VA-LINK-01")
@pytest.mark.parametrize(("octets", "expected"), ECSS_ANNEX_B)
def test_the_examples_of_the_standard_agree(octets: str, expected: int) -> None:
    assert crc16(bytes.fromhex(octets)) == expected


def test_the_compiled_form_of_crcmod_is_installed() -> None:
    assert crcmod.crcmod._usingExtension


@given(st.binary(max_size=200))
def test_crcmod_and_the_standard_library_agree(octets: bytes) -> None:
    assert crc16(octets) == binascii.crc_hqx(octets, 0xFFFF)


@given(st.binary(max_size=64))
def test_a_packet_with_its_crc_behind_it_has_crc_zero(octets: bytes) -> None:
    assert crc16(octets + crc16(octets).to_bytes(2, "big")) == 0


@given(st.binary(min_size=1, max_size=64), st.data())
def test_a_burst_of_up_to_sixteen_bits_is_always_found(octets: bytes, data: st.DataObject) -> None:
    burst = data.draw(st.integers(1, 0xFFFF))
    shift = data.draw(st.integers(0, 8 * len(octets)))
    whole = int.from_bytes(octets + crc16(octets).to_bytes(2, "big"), "big") ^ (burst << shift)
    damaged = (whole & ((1 << 8 * (len(octets) + 2)) - 1)).to_bytes(len(octets) + 2, "big")
    assert crc16(damaged) != 0 or damaged[:-2] == octets
