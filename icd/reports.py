"""Bodies of the PUS reports and requests that this stack uses, as functions from and to octets."""

from __future__ import annotations

import enum
import struct
from collections.abc import Iterable
from typing import NamedTuple

from icd import cuc, space_packet


@enum.unique
class Service(enum.IntEnum):
    """PUS service types; 130 is ours."""

    VERIFICATION = 1
    HOUSEKEEPING = 3
    EVENT = 5
    FUNCTION = 8
    TIME = 9
    TEST = 17
    PARAMETER = 20
    COMPONENT_REPORT = 130


@enum.unique
class Stage(enum.IntEnum):
    """Verification stages; the number is the PUS 1 subtype."""

    ACCEPTED = 1
    REJECTED = 2
    STARTED = 3
    START_FAILED = 4
    PROGRESS = 5
    PROGRESS_FAILED = 6
    COMPLETED = 7
    FAILED = 8

    @property
    def is_failure(self) -> bool:
        return not self & 1

    @property
    def is_final(self) -> bool:
        return self in (Stage.REJECTED, Stage.START_FAILED, Stage.COMPLETED, Stage.FAILED)


# Subtypes, service by service.
HK_ENABLE, HK_DISABLE, HK_REPORT, HK_ONE_SHOT, HK_PERIOD, HK_ON_CHANGE = 5, 6, 25, 27, 31, 128
EVENT_ENABLE, EVENT_DISABLE = 5, 6
FUNCTION_PERFORM, FUNCTION_RESULT = 1, 129
TIME_SET_RATE, TIME_REPORT = 1, 2
PING, PONG, ALIVE_REQUEST, ALIVE_REPORT = 1, 2, 3, 4
PARAMETER_REPORT_REQUEST, PARAMETER_REPORT, PARAMETER_SET = 1, 2, 3
COMPONENT_REPORT = 1
HK_STRUCTURE = 1
"""The structure id of a component's one housekeeping packet."""

_U8 = struct.Struct(">B")
_U16 = struct.Struct(">H")
_U32 = struct.Struct(">I")
_FAILURE = struct.Struct(">HB")
REQUEST_ID_SIZE = 4
LONGEST_REASON = 200


class Verification(NamedTuple):
    """A PUS 1 report, taken apart; `step` is 0 but for progress, `code` 0 but for failures."""

    request_id: bytes
    step: int
    code: int
    reason: str


def verification(
    stage: Stage, request_id: bytes, *, step: int = 0, code: int = 0, reason: str = ""
) -> bytes:
    """The body of a PUS 1 report: request id, [step], and for a failure its code and reason."""
    body = request_id
    if stage in (Stage.PROGRESS, Stage.PROGRESS_FAILED):
        body += _U16.pack(step & 0xFFFF)
    if stage.is_failure:
        text = reason.encode(errors="replace")[:LONGEST_REASON].decode(errors="ignore").encode()
        body += _FAILURE.pack(code, len(text)) + text
    return body


def parse_verification(stage: Stage, body: bytes) -> Verification:
    """Take a PUS 1 body apart; raises ValueError when it is cut short."""
    if len(body) < REQUEST_ID_SIZE:
        raise ValueError("verification report cut short: no request id")
    request_id, rest = body[:REQUEST_ID_SIZE], body[REQUEST_ID_SIZE:]
    try:
        step = code = 0
        reason = ""
        if stage in (Stage.PROGRESS, Stage.PROGRESS_FAILED):
            (step,) = _U16.unpack_from(rest)
            rest = rest[2:]
        if stage.is_failure:
            code, length = _FAILURE.unpack_from(rest)
            reason = rest[3 : 3 + length].decode(errors="replace")
            if len(rest) < 3 + length:
                raise ValueError("verification report cut short: reason incomplete")
    except struct.error as error:
        raise ValueError(f"verification report cut short: {error}") from None
    return Verification(request_id, step, code, reason)


def numbered(number: int, packed: bytes) -> bytes:
    """An event or component report body: its 16-bit number, then its packed arguments."""
    return _U16.pack(number) + packed


def parse_numbered(body: bytes) -> tuple[int, bytes]:
    """The number and the packed rest; raises ValueError when the number is missing."""
    if len(body) < 2:
        raise ValueError("a numbered report has at least two octets")
    return _U16.unpack_from(body)[0], body[2:]


def function(opcode: int, packed: bytes) -> bytes:
    """The body of a PUS 8 request: the relative opcode, then the packed arguments."""
    return _U8.pack(opcode) + packed


def result(request_id: bytes, opcode: int, packed: bytes) -> bytes:
    """The body of our result report (8, 129): whose, of which opcode, the packed results."""
    return request_id + _U8.pack(opcode) + packed


def housekeeping(packed: bytes) -> bytes:
    """The body of a PUS 3 report: structure id, then the packed fields."""
    return _U16.pack(HK_STRUCTURE) + packed


def structure_request(period_ms: int | None = None) -> bytes:
    """A PUS 3 request for the one structure of a component; with a period for (3, 31)."""
    body = _U8.pack(1) + _U16.pack(HK_STRUCTURE)
    return body if period_ms is None else body + _U32.pack(period_ms)


def on_change_request(shortest_ms: int, longest_ms: int) -> bytes:
    """Our (3, 128): report when a field changes, no more often than `shortest_ms`, no more
    seldom than `longest_ms`; 0, 0 ends it."""
    return _U16.pack(HK_STRUCTURE) + _U32.pack(shortest_ms) + _U32.pack(longest_ms)


def event_numbers(numbers: Iterable[int]) -> bytes:
    """The body of (5, 5) and (5, 6): a count, then event numbers."""
    listed = list(numbers)
    return _U8.pack(len(listed)) + b"".join(map(_U16.pack, listed))


def parse_event_numbers(body: bytes) -> tuple[int, ...]:
    """Event numbers of a (5, 5) or (5, 6) request; raises ValueError on a wrong length."""
    if not body or len(body) != 1 + 2 * body[0]:
        raise ValueError("give a count octet, then that many 16-bit event numbers")
    return struct.unpack(f">{body[0]}H", body[1:])


def time_packet(count: int, rate_exponent: int, time_ns: int) -> bytes:
    """A whole time report (9, 2): APID 0 without secondary header, as the standard wants it.

    It is sent every 2**`rate_exponent` time units of one second.
    """
    body = _U8.pack(rate_exponent) + cuc.encode(time_ns)
    return space_packet.build(space_packet.APID_TIME, count, body, secondary=False)


def parse_time_packet(packet: bytes) -> tuple[int, int]:
    """Rate exponent and on-board ns of a checked time report."""
    if len(packet) != 6 + 1 + cuc.SIZE + 2:
        raise ValueError(f"a time report has 16 octets, not {len(packet)}")
    return packet[6], cuc.decode(packet[7 : 7 + cuc.SIZE])
