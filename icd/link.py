"""Link messages: one packet or heartbeat between station and payload, with its authentication."""

from __future__ import annotations

import enum
import hmac
import struct
from typing import NamedTuple

HEADER = struct.Struct(">BBHHQ")
HEARTBEAT = struct.Struct(">HQI")
VERSION = 1
MAC_SIZE = 16
LARGEST = HEADER.size + 4096 + MAC_SIZE
CLEAR = 0
"""The key slot of messages that carry no MAC."""
KEY_SIZE = 32


@enum.unique
class Kind(enum.IntEnum):
    """What a link message carries."""

    TELECOMMAND = 1
    TELEMETRY = 2
    HEARTBEAT = 3
    IDENTITY = 4


@enum.unique
class LinkFault(enum.Enum):
    """Why a link message is not taken."""

    LENGTH = "length"
    VERSION = "version"
    KIND = "kind"
    MAC = "mac"


class LinkError(ValueError):
    """Octets that are not a link message for us; the message says why."""

    def __init__(self, fault: LinkFault, message: str) -> None:
        super().__init__(message)
        self.fault = fault


class LinkMessage(NamedTuple):
    """One link message, taken apart. `sequence` rises strictly for each key slot and direction."""

    kind: Kind
    payload_id: int
    key_slot: int
    sequence: int
    body: bytes


class Heartbeat(NamedTuple):
    """What a station says of itself: its id, the telemetry messages it has received since it
    connected, and how many more than that may be under way."""

    station: int
    received: int
    window: int


_KINDS = {kind.value: kind for kind in Kind}


def pack(message: LinkMessage, key: bytes | None = None) -> bytes:
    """The octets of a link message; with a key, authenticated by HMAC-SHA-256 cut to 16 octets."""
    head = HEADER.pack(
        VERSION, message.kind, message.payload_id, message.key_slot, message.sequence
    )
    octets = head + message.body
    return octets if key is None else octets + hmac.digest(key, octets, "sha256")[:MAC_SIZE]


def unpack(octets: bytes) -> tuple[LinkMessage, bytes]:
    """Take a link message apart: the message and its MAC (empty in the clear slot).

    Raises LinkError. Nothing is authenticated yet: call `verify` with the slot's key.
    """
    size = len(octets)
    if not HEADER.size <= size <= LARGEST:
        raise LinkError(LinkFault.LENGTH, f"{size} octets; a message has 14 … {LARGEST}")
    version, number, payload_id, slot, sequence = HEADER.unpack_from(octets)
    if version != VERSION:
        raise LinkError(LinkFault.VERSION, f"link version {version}; this speaks {VERSION}")
    kind = _KINDS.get(number)
    if kind is None:
        raise LinkError(LinkFault.KIND, f"link message kind {number} is unknown")
    end = size if slot == CLEAR else size - MAC_SIZE
    if end < HEADER.size:
        raise LinkError(LinkFault.LENGTH, "too short for the MAC its key slot asks for")
    message = LinkMessage(kind, payload_id, slot, sequence, octets[HEADER.size : end])
    return message, octets[end:]


def verify(octets: bytes, key: bytes) -> bool:
    """True when the last 16 octets are the MAC of the rest; compares in constant time."""
    expected = hmac.digest(key, octets[:-MAC_SIZE], "sha256")[:MAC_SIZE]
    return hmac.compare_digest(expected, octets[-MAC_SIZE:])
