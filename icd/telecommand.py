"""PUS-C telecommand packets (E-ST-70-41C, 7.4.4): secondary header and request id."""

from __future__ import annotations

import enum
import struct
from typing import NamedTuple

from icd import space_packet
from icd.space_packet import PacketError, PacketFault

SECONDARY = struct.Struct(">BBBH")
PUS_VERSION = 2
_DATA = space_packet.HEADER.size + SECONDARY.size
_KIND = space_packet.TELECOMMAND | space_packet.SECONDARY


class Ack(enum.IntFlag):
    """Which successful stages the source wants reported; failures are always reported."""

    NONE = 0
    COMPLETION = 1
    PROGRESS = 2
    START = 4
    ACCEPTANCE = 8
    ALL = 15


class Telecommand(NamedTuple):
    """One telecommand, taken apart; `request_id` is its first four octets."""

    apid: int
    sequence_count: int
    ack: int
    service: int
    subtype: int
    source: int
    data: bytes
    request_id: bytes


def build(
    apid: int,
    count: int,
    service: int,
    subtype: int,
    data: bytes = b"",
    *,
    source: int = 0,
    ack: int = Ack.ALL,
) -> bytes:
    """A whole telecommand packet; `source` is the id of the station that sends it."""
    head = SECONDARY.pack(PUS_VERSION << 4 | ack, service, subtype, source)
    return space_packet.build(apid, count, head + data, telecommand=True)


def parse(packet: bytes) -> Telecommand:
    """Check a whole packet and take the telecommand apart; raises PacketError."""
    word, sequence = space_packet.check_words(packet)
    if word & _KIND != _KIND:
        raise PacketError(PacketFault.HEADER, "not a telecommand with a PUS-C secondary header")
    if len(packet) < _DATA + 2:
        raise PacketError(PacketFault.LENGTH, "too short for a PUS-C telecommand header")
    first, service, subtype, source = SECONDARY.unpack_from(packet, 6)
    if first >> 4 != PUS_VERSION:
        raise PacketError(PacketFault.HEADER, f"PUS version {first >> 4}; give 2 (PUS-C)")
    return Telecommand(
        word & space_packet.APID_LAST,
        sequence & space_packet.SEQUENCE_MASK,
        first & 15,
        service,
        subtype,
        source,
        packet[_DATA:-2],
        packet[:4],
    )
