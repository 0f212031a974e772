"""Space packets, telecommands and telemetry: every octet explained, every damage found."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icd import identity, reports, space_packet, telecommand, telemetry
from icd.crc import crc16
from icd.identity import Identity
from icd.space_packet import PacketError, PacketFault
from icd.telecommand import Ack

pytestmark = pytest.mark.portable

SECOND = 1_000_000_000


def octets(text: str) -> bytes:
    """A packet from hexadecimal octets, with the CRC behind it."""
    packet = bytes.fromhex(text)
    return packet + crc16(packet).to_bytes(2, "big")


@pytest.mark.verifies("VA-LINK-02")
def test_a_telecommand_octet_by_octet() -> None:
    packet = telecommand.build(
        1, 5, 8, 1, b"\x02\x01", source=7, ack=Ack.ACCEPTANCE | Ack.COMPLETION
    )
    assert packet == octets(
        "1801"  # version 0, telecommand, secondary header, APID 1
        "c005"  # unsegmented, count 5
        "0008"  # 9 octets of data field, less one
        "29"  # PUS version 2; acknowledge acceptance (8) and completion (1)
        "08 01"  # service 8, subtype 1
        "0007"  # source 7
        "02 01"  # opcode 2, its one argument
    )


@pytest.mark.verifies("VA-LINK-02")
def test_a_telemetry_packet_octet_by_octet() -> None:
    packet = telemetry.build(
        2, 3, 5, 4, b"\xab", 16 * SECOND + SECOND // 2, message_count=9, destination=1
    )
    assert packet == octets(
        "0802"  # version 0, telemetry, secondary header, APID 2
        "c003"  # unsegmented, count 3
        "0010"  # 17 octets of data field, less one
        "20"  # PUS version 2, time free-running
        "05 04"  # service 5, subtype 4
        "0009"  # message type count 9
        "0001"  # destination 1
        "00000010 800000"  # 16 s and one half
        "ab"  # source data
    )


def test_the_identity_packet_octet_by_octet() -> None:
    who = Identity(3, 2, "vanallen 0.1", "00112233445566aa", "ffeeddccbbaa9988")
    packet = identity.build(who, 1)
    assert packet == octets(
        "07fe"  # telemetry without secondary header, APID 2046
        "c001"  # unsegmented, count 1
        "0028"  # 41 octets, less one
        "01"  # identity version 1
        "0003"  # payload 3
        "00000002"  # boot 2
        "76616e616c6c656e20302e3100000000"  # software, padded to 16
        "00112233445566aa ffeeddccbbaa9988"  # wire hash, text hash
    )
    assert identity.parse(packet) == who


def test_an_identity_of_another_version_is_refused() -> None:
    packet = octets("07fe c001 0028 02" + "00" * 38)
    with pytest.raises(PacketError, match="identity version 2; this reads 1"):
        identity.parse(packet)


def test_another_packet_is_no_identity() -> None:
    with pytest.raises(PacketError, match="not an identity packet"):
        identity.parse(reports.time_packet(0, 4, 0))


def test_a_time_report_octet_by_octet() -> None:
    packet = reports.time_packet(2, 4, 16 * SECOND)
    assert packet == octets(
        "0000"  # telemetry, no secondary header, APID 0 as the standard wants
        "c002"  # unsegmented, count 2
        "0009"  # 10 octets, less one
        "04"  # sent every 2**4 s
        "00000010 000000"  # 16 s
    )
    assert reports.parse_time_packet(packet) == (4, 16 * SECOND)


@pytest.mark.verifies("VA-LINK-03")
def test_the_sequence_count_wraps_at_fourteen_bits() -> None:
    assert space_packet.build(1, 16384, b"x")[2:4] == bytes.fromhex("c000")
    assert space_packet.check(space_packet.build(1, 16383 + 16384, b"x")).sequence_count == 16383


@pytest.mark.parametrize("apid", [-1, 2048, 65536])
def test_an_apid_beyond_eleven_bits_is_refused(apid: int) -> None:
    with pytest.raises(ValueError, match=r"give 0 … 2047"):
        space_packet.build(apid, 0, b"x")


def test_the_largest_packet_has_4096_octets() -> None:
    assert len(space_packet.build(1, 0, bytes(4088))) == 4096
    with pytest.raises(ValueError, match=r"4097 octets; give 1 … 4088"):
        space_packet.build(1, 0, bytes(4089))


def test_a_packet_without_data_is_refused() -> None:
    with pytest.raises(ValueError, match="give 1"):
        space_packet.build(1, 0, b"")


@pytest.mark.verifies("VA-LINK-01")
@pytest.mark.parametrize(
    ("packet", "fault", "says"),
    [
        (b"", PacketFault.LENGTH, "a packet here has 9 … 4096 octets"),
        (bytes(8), PacketFault.LENGTH, "8 octets"),
        (bytes(4097), PacketFault.LENGTH, "4097 octets"),
        (octets("1801c000000320"), PacketFault.LENGTH, "the header says 10 octets and 9 arrived"),
        (octets("1801c000000120"), PacketFault.LENGTH, "the header says 8 octets and 9 arrived"),
        (bytes.fromhex("1801c0000002200000"), PacketFault.CHECKSUM, "CRC does not match"),
        (octets("3801c000000220"), PacketFault.HEADER, "packet version must be 0"),
        (octets("18014000000220"), PacketFault.HEADER, "unsegmented"),
    ],
)
def test_what_is_no_packet_is_refused_with_its_fault(
    packet: bytes, fault: PacketFault, says: str
) -> None:
    with pytest.raises(PacketError, match=says) as caught:
        space_packet.check(packet)
    assert caught.value.fault is fault


@pytest.mark.parametrize(
    ("packet", "says"),
    [
        (octets("0801c0000006 20 1101 0000"), "not a telecommand"),
        (octets("1001c000000320 08"), "not a telecommand"),
        (octets("1801c000000320 08"), "too short for a PUS-C telecommand"),
        (octets("1801c000000610 1101 0000"), "PUS version 1; give 2"),
    ],
)
def test_what_is_no_telecommand_is_refused(packet: bytes, says: str) -> None:
    with pytest.raises(PacketError, match=says):
        telecommand.parse(packet)


@pytest.mark.parametrize(
    ("packet", "says"),
    [
        (telecommand.build(1, 0, 17, 1), "not telemetry"),
        (octets("0801c000000320 08"), "too short for a PUS-C telemetry"),
        (octets("0801c000000f10 1101" + "00" * 11), "PUS version 1; expected 2"),
    ],
)
def test_what_is_no_telemetry_is_refused(packet: bytes, says: str) -> None:
    with pytest.raises(PacketError, match=says):
        telemetry.parse(packet)


@pytest.mark.verifies("VA-LINK-05")
@given(st.binary(max_size=64))
def test_arbitrary_octets_are_a_packet_error_or_a_packet(noise: bytes) -> None:
    for parse in (telecommand.parse, telemetry.parse, identity.parse):
        with contextlib.suppress(PacketError):
            parse(noise)


@pytest.mark.verifies("VA-LINK-01")
@given(st.binary(max_size=60), st.data())
def test_any_changed_octet_is_found(data: bytes, draw: st.DataObject) -> None:
    packet = bytearray(telecommand.build(1, 0, 8, 1, data))
    place = draw.draw(st.integers(0, len(packet) - 1))
    packet[place] ^= draw.draw(st.integers(1, 255))
    with pytest.raises(PacketError):
        telecommand.parse(bytes(packet))
