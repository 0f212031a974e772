"""The identity packet: who a payload is and which dictionary it speaks; fixed for ever."""

from __future__ import annotations

import struct
from typing import NamedTuple

from icd import space_packet
from icd.space_packet import PacketError, PacketFault

_BODY = struct.Struct(">BHI16s8s8s")
VERSION = 1


class Identity(NamedTuple):
    """Hashes are 16 hexadecimal digits, the software version at most 16 octets of UTF-8."""

    payload_id: int
    boot_count: int
    software: str
    wire_hash: str
    text_hash: str


def build(identity: Identity, count: int) -> bytes:
    """The whole packet, outside the dictionary: APID 2046, no secondary header."""
    body = _BODY.pack(
        VERSION,
        identity.payload_id,
        identity.boot_count,
        identity.software.encode()[:16],
        bytes.fromhex(identity.wire_hash),
        bytes.fromhex(identity.text_hash),
    )
    return space_packet.build(space_packet.APID_IDENTITY, count, body, secondary=False)


def parse(packet: bytes) -> Identity:
    """Check a whole identity packet and take it apart; raises PacketError."""
    header = space_packet.check(packet)
    body = packet[space_packet.HEADER.size : -2]
    if header.apid != space_packet.APID_IDENTITY or len(body) != _BODY.size:
        raise PacketError(PacketFault.HEADER, "not an identity packet")
    version, payload_id, boots, software, wire, text = _BODY.unpack(body)
    if version != VERSION:
        raise PacketError(PacketFault.HEADER, f"identity version {version}; this reads {VERSION}")
    return Identity(
        payload_id,
        boots,
        software.rstrip(b"\0").decode(errors="replace"),
        wire.hex(),
        text.hex(),
    )
