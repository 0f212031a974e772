"""CRC-32, SHA-256 and BLAKE2b against published answers; three implementations of CRC-32 agree."""

from __future__ import annotations

import hashlib
import zlib

import crcmod.predefined
from hypothesis import given
from hypothesis import strategies as st

_CRCMOD = crcmod.predefined.mkCrcFun("crc-32")


def crc32_bit_by_bit(octets: bytes) -> int:
    """RevEng's parameters, with nothing but shifts: poly 0x04C11DB7, init and xorout all ones."""
    register = 0xFFFFFFFF
    for octet in octets:
        for bit in range(8):
            feedback = (register >> 31) ^ (octet >> bit & 1)
            register = (register << 1 & 0xFFFFFFFF) ^ (0x04C11DB7 if feedback else 0)
    return int(f"{register ^ 0xFFFFFFFF:032b}"[::-1], 2)


def test_the_nine_digits_give_the_published_check_value_of_crc_32() -> None:
    """RevEng catalogue of parametrised CRC algorithms, CRC-32/ISO-HDLC: check=0xcbf43926."""
    assert zlib.crc32(b"123456789") == 0xCBF43926


def test_a_stream_with_its_crc_behind_it_leaves_the_published_residue() -> None:
    """The same entry: residue=0xdebb20e3, before the last exclusive-or."""
    octets = b"Van Allen"
    whole = octets + zlib.crc32(octets).to_bytes(4, "little")
    assert zlib.crc32(whole) ^ 0xFFFFFFFF == 0xDEBB20E3


@given(st.binary(max_size=100), st.integers(0, 100))
def test_three_implementations_of_crc_32_agree_whole_and_in_pieces(octets: bytes, at: int) -> None:
    found = zlib.crc32(octets)
    assert found == crc32_bit_by_bit(octets) == _CRCMOD(octets)
    assert found == zlib.crc32(octets[at:], zlib.crc32(octets[:at]))


def test_sha_256_gives_the_digests_of_its_standard() -> None:
    """NIST's examples for FIPS 180-4: one block, and two."""
    one = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    two = "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
    message = b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"
    assert hashlib.sha256(b"abc").hexdigest() == one
    assert hashlib.sha256(message).hexdigest() == two


def test_blake2b_gives_the_digest_of_its_standard() -> None:
    """RFC 7693, appendix A: BLAKE2b-512 of "abc"."""
    assert hashlib.blake2b(b"abc").hexdigest() == (
        "ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbffa2d1"
        "7d87c5392aab792dc252d5de4533cc9518d38aa8dbf1925ab92386edd4009923"
    )
