"""Speed of the codec: packets built, checked and taken apart; spacepackets and HMAC beside it."""

from __future__ import annotations

from typing import Any

from spacepackets.ecss import PusTc, PusTm

from icd import cuc, link, telecommand, telemetry
from icd.codec import Codec
from icd.fields import Field
from icd.link import Kind, LinkMessage

TIME = 2_000_000_000_123_456_789
KEY = bytes(range(32))
BODY = bytes(40)
TC = telecommand.build(9, 5, 8, 1, b"\x01\x00\x02\x00\x03", source=1)
TM = telemetry.build(9, 5, 3, 25, BODY, TIME)
FRAME = link.pack(LinkMessage(Kind.TELECOMMAND, 1, 1, 7, TC), KEY)
ROW = Codec([Field(f"f{n}", "HIfB"[n % 4]) for n in range(20)])
VALUES = tuple(range(20))


def test_build_a_telemetry_packet(benchmark: Any) -> None:
    benchmark(telemetry.build, 9, 5, 3, 25, BODY, TIME)


def test_build_a_telemetry_packet_with_spacepackets(benchmark: Any) -> None:
    stamp = cuc.encode(TIME)
    benchmark(lambda: PusTm(3, 25, stamp, source_data=BODY, apid=9, seq_count=5).pack())


def test_parse_a_telemetry_packet(benchmark: Any) -> None:
    assert benchmark(telemetry.parse, TM).data == BODY


def test_parse_a_telemetry_packet_with_spacepackets(benchmark: Any) -> None:
    assert benchmark(PusTm.unpack, TM, cuc.SIZE).tm_data == BODY


def test_parse_a_telecommand(benchmark: Any) -> None:
    assert benchmark(telecommand.parse, TC).apid == 9


def test_parse_a_telecommand_with_spacepackets(benchmark: Any) -> None:
    assert benchmark(PusTc.unpack, TC).apid == 9


def test_take_a_link_message_apart(benchmark: Any) -> None:
    assert benchmark(link.unpack, FRAME)[0].sequence == 7


def test_verify_the_mac_of_a_telecommand(benchmark: Any) -> None:
    assert benchmark(link.verify, FRAME, KEY)


def test_pack_a_row_of_twenty_fields(benchmark: Any) -> None:
    benchmark(ROW.pack, VALUES)


def test_unpack_a_row_of_twenty_fields(benchmark: Any) -> None:
    assert len(benchmark(ROW.unpack, ROW.pack(VALUES))) == 20
