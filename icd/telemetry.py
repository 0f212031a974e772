"""PUS-C telemetry packets (E-ST-70-41C, 7.4.3): secondary header with an on-board time stamp."""

from __future__ import annotations

import enum
import struct
from typing import NamedTuple

from icd import cuc, space_packet
from icd.space_packet import PacketError, PacketFault

SECONDARY = struct.Struct(">BBBHH7s")
PUS_VERSION = 2
_DATA = space_packet.HEADER.size + SECONDARY.size
_KIND = space_packet.TELECOMMAND | space_packet.SECONDARY


@enum.unique
class TimeStatus(enum.IntEnum):
    """Whether on-board time is correlated with UTC."""

    FREE_RUNNING = 0
    CORRELATED = 1


class Telemetry(NamedTuple):
    """One telemetry packet, taken apart; times are on-board nanoseconds."""

    apid: int
    sequence_count: int
    service: int
    subtype: int
    message_count: int
    destination: int
    time_ns: int
    time_status: int
    data: bytes


def build(
    apid: int,
    count: int,
    service: int,
    subtype: int,
    data: bytes,
    time_ns: int,
    *,
    message_count: int = 0,
    destination: int = 0,
    time_status: int = TimeStatus.FREE_RUNNING,
) -> bytes:
    """A whole telemetry packet stamped with `time_ns` (TAI ns since 1958)."""
    head = SECONDARY.pack(
        PUS_VERSION << 4 | time_status,
        service,
        subtype,
        message_count & 0xFFFF,
        destination,
        cuc.encode(time_ns),
    )
    return space_packet.build(apid, count, head + data)


def parse(packet: bytes) -> Telemetry:
    """Check a whole packet and take it apart; raises PacketError."""
    word, sequence = space_packet.check_words(packet)
    if word & _KIND != space_packet.SECONDARY:
        raise PacketError(PacketFault.HEADER, "not telemetry with a PUS-C secondary header")
    if len(packet) < _DATA + 2:
        raise PacketError(PacketFault.LENGTH, "too short for a PUS-C telemetry header")
    first, service, subtype, message_count, destination, time = SECONDARY.unpack_from(packet, 6)
    if first >> 4 != PUS_VERSION:
        raise PacketError(PacketFault.HEADER, f"PUS version {first >> 4}; expected 2 (PUS-C)")
    return Telemetry(
        word & space_packet.APID_LAST,
        sequence & space_packet.SEQUENCE_MASK,
        service,
        subtype,
        message_count,
        destination,
        cuc.decode(time),
        first & 15,
        packet[_DATA:-2],
    )
