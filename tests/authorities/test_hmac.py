"""The MAC of link messages against RFC 4231, cut to the left-most 16 octets as RFC 2104 allows."""

from __future__ import annotations

import hmac

import pytest

from icd import link

# RFC 4231, section 4: test cases 1, 2, 3, 4, 6, 7 of HMAC-SHA-256; case 5 is the truncated one.
CASES = [
    (b"\x0b" * 20, b"Hi There", "b0344c61d8db38535ca8afceaf0bf12b"),
    (b"Jefe", b"what do ya want for nothing?", "5bdcc146bf60754e6a042426089575c7"),
    (b"\xaa" * 20, b"\xdd" * 50, "773ea91e36800e46854db8ebd09181a7"),
    (bytes(range(1, 26)), b"\xcd" * 50, "82558a389a443c0ea4cc819899f2083a"),
    (b"\x0c" * 20, b"Test With Truncation", "a3b6167473100ee06e0c796c2955552b"),
    (
        b"\xaa" * 131,
        b"Test Using Larger Than Block-Size Key - Hash Key First",
        "60e431591ee0b67f0d8a26aacbf5b77f",
    ),
    (
        b"\xaa" * 131,
        b"This is a test using a larger than block-size key and a larger than block-size data. "
        b"The key needs to be hashed before being used by the HMAC algorithm.",
        "9b09ffa71b942fcb27635fbcd5b0e944",
    ),
]


@pytest.mark.verifies("VA-SEC-01")
@pytest.mark.parametrize(("key", "data", "mac"), CASES, ids=[f"case{n}" for n in range(1, 8)])
def test_the_vectors_of_rfc_4231_verify(key: bytes, data: bytes, mac: str) -> None:
    assert link.verify(data + bytes.fromhex(mac), key)


@pytest.mark.parametrize("bit", range(0, 128, 7))
def test_a_mac_with_one_bit_changed_does_not_verify(bit: int) -> None:
    key, data, mac = CASES[0]
    damaged = (int(mac, 16) ^ 1 << bit).to_bytes(16, "big")
    assert not link.verify(data + damaged, key)


def test_a_message_carries_the_mac_of_its_header_and_body() -> None:
    key = bytes(range(32))
    message = link.LinkMessage(link.Kind.TELECOMMAND, 7, 3, 9, b"body")
    octets = link.pack(message, key)
    head = bytes.fromhex(
        "01"  # link version 1
        "01"  # kind 1: telecommand
        "0007"  # payload id 7
        "0003"  # key slot 3
        "0000000000000009"  # sequence 9
    )
    assert octets[:18] == head + b"body"
    assert octets[18:] == hmac.digest(key, head + b"body", "sha256")[:16]
