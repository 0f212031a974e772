"""Link messages: what is on the wire, and what is refused before a key is asked for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icd import link
from icd.link import Kind, LinkError, LinkFault, LinkMessage

pytestmark = pytest.mark.portable

KEY = bytes(range(32))


def test_a_clear_message_octet_by_octet() -> None:
    message = LinkMessage(Kind.TELEMETRY, 258, link.CLEAR, 3, b"\xaa\xbb")
    assert link.pack(message) == bytes.fromhex(
        "01"  # link version 1
        "02"  # telemetry
        "0102"  # payload id 258
        "0000"  # key slot 0: clear
        "0000000000000003"  # sequence 3
        "aabb"  # the packet; no MAC behind it
    )


def test_a_heartbeat_body_octet_by_octet() -> None:
    assert link.HEARTBEAT.pack(7, 1000, 256) == bytes.fromhex(
        "0007"  # station 7
        "00000000000003e8"  # 1000 telemetry messages received
        "00000100"  # 256 more may be under way
    )


@pytest.mark.parametrize(
    ("octets", "fault", "says"),
    [
        (b"", LinkFault.LENGTH, "0 octets; a message has 14"),
        (bytes(13), LinkFault.LENGTH, "13 octets"),
        (bytes(link.LARGEST + 1), LinkFault.LENGTH, "4127 octets"),
        (b"\x02\x01" + bytes(12), LinkFault.VERSION, "link version 2; this speaks 1"),
        (b"\x01\x00" + bytes(12), LinkFault.KIND, "kind 0 is unknown"),
        (b"\x01\x05" + bytes(12), LinkFault.KIND, "kind 5 is unknown"),
        (bytes.fromhex("0101 0001 0001") + bytes(23), LinkFault.LENGTH, "too short for the MAC"),
    ],
)
def test_what_is_no_link_message_is_refused(octets: bytes, fault: LinkFault, says: str) -> None:
    with pytest.raises(LinkError, match=says) as caught:
        link.unpack(octets)
    assert caught.value.fault is fault


MESSAGES = st.builds(
    LinkMessage,
    st.sampled_from(Kind),
    st.integers(0, 65535),
    st.integers(0, 65535),
    st.integers(0, 2**64 - 1),
    st.binary(max_size=4096),
)


@given(MESSAGES)
def test_any_message_comes_back(message: LinkMessage) -> None:
    key = None if message.key_slot == link.CLEAR else KEY
    octets = link.pack(message, key)
    read, mac = link.unpack(octets)
    assert read == message
    assert len(mac) == (0 if key is None else link.MAC_SIZE)
    assert key is None or link.verify(octets, key)


@pytest.mark.verifies("VA-SEC-01")
@given(MESSAGES, st.data())
def test_one_changed_bit_anywhere_fails_authentication(
    message: LinkMessage, data: st.DataObject
) -> None:
    octets = bytearray(link.pack(message, KEY))
    octets[data.draw(st.integers(0, len(octets) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    assert not link.verify(bytes(octets), KEY)


def test_another_key_fails_authentication() -> None:
    octets = link.pack(LinkMessage(Kind.TELECOMMAND, 1, 1, 1, b"x"), KEY)
    assert not link.verify(octets, bytes(32))
