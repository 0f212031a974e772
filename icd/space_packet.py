"""CCSDS space packets (133.0-B-2): primary header and packet error control."""

from __future__ import annotations

import enum
import struct
from typing import NamedTuple

from icd.crc import crc16

HEADER = struct.Struct(">HHH")
CRC = struct.Struct(">H")
LARGEST = 4096
"""The most octets of one packet on this link, header and CRC included."""
APID_TIME = 0
APID_IDENTITY = 2046
APID_LAST = 2047
SEQUENCE_MASK = 0x3FFF
_UNSEGMENTED = 0xC000
TELECOMMAND = 0x1000
SECONDARY = 0x0800


@enum.unique
class PacketFault(enum.Enum):
    """What is wrong with octets that should be a packet."""

    LENGTH = "length"
    CHECKSUM = "checksum"
    HEADER = "header"


class PacketError(ValueError):
    """Octets that are not a packet of this link; the message says why."""

    def __init__(self, fault: PacketFault, message: str) -> None:
        super().__init__(message)
        self.fault = fault


class PrimaryHeader(NamedTuple):
    """The three header words, taken apart."""

    is_telecommand: bool
    has_secondary: bool
    apid: int
    sequence_count: int


def build(
    apid: int, count: int, data: bytes, *, telecommand: bool = False, secondary: bool = True
) -> bytes:
    """A whole packet around `data` (secondary header first): header, data, CRC.

    Raises ValueError for an APID beyond 11 bits, and when the packet would be empty or larger
    than this link carries.
    """
    if not 0 <= apid <= APID_LAST:
        raise ValueError(f"APID {apid}; give 0 … {APID_LAST}")
    length = len(data) + CRC.size
    if not data or length + HEADER.size > LARGEST:
        raise ValueError(
            f"a packet of {length + HEADER.size} octets; give 1 … "
            f"{LARGEST - HEADER.size - CRC.size} octets of data"
        )
    word = apid | TELECOMMAND * telecommand | SECONDARY * secondary
    packet = HEADER.pack(word, _UNSEGMENTED | (count & SEQUENCE_MASK), length - 1) + data
    return packet + CRC.pack(crc16(packet))


def check(packet: bytes) -> PrimaryHeader:
    """Check length, version, segmentation and CRC of one whole packet; raises PacketError."""
    word, sequence = check_words(packet)
    return PrimaryHeader(
        bool(word & TELECOMMAND), bool(word & SECONDARY), word & APID_LAST, sequence & SEQUENCE_MASK
    )


def check_words(packet: bytes) -> tuple[int, int]:
    """Like `check`, but the first two header words as they are: for the hot paths."""
    size = len(packet)
    if not HEADER.size + 1 + CRC.size <= size <= LARGEST:
        raise PacketError(
            PacketFault.LENGTH, f"{size} octets; a packet here has 9 … {LARGEST} octets"
        )
    word, sequence, length = HEADER.unpack_from(packet)
    if length + 1 + HEADER.size != size:
        raise PacketError(
            PacketFault.LENGTH, f"the header says {length + 7} octets and {size} arrived"
        )
    if crc16(packet):
        raise PacketError(PacketFault.CHECKSUM, "the CRC does not match")
    if word >> 13 or sequence & _UNSEGMENTED != _UNSEGMENTED:
        raise PacketError(PacketFault.HEADER, "packet version must be 0 and the packet unsegmented")
    return word, sequence
