"""Packets to values: headers as icd reads them, limits, labels, events, damage."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ground.server.decode import Decoder, Plan, Quality
from icd import cuc, reports, telemetry
from icd.codec import Codec
from icd.dictionary import EventEntry, Severity
from icd.fields import Field
from icd.reports import Service, Stage
from icd.space_packet import PacketError
from tests.ground.support.dictionaries import BOARD, DICTIONARY

TIME = 2_000_000_000_123_456_789


def housekeeping(*values: object) -> bytes:
    body = reports.housekeeping(Codec(BOARD.housekeeping).pack(values))
    return telemetry.build(4, 77, 3, reports.HK_REPORT, body, TIME)


def event(number: int, severity: int, packed: bytes) -> bytes:
    return telemetry.build(4, 1, 5, severity, reports.numbered(number, packed), TIME)


@given(st.integers(0, 2045), st.integers(0, 0x3FFF), st.integers(0, 255), st.integers(0, cuc.LAST))
def test_the_fast_header_reads_as_icd_does(apid: int, count: int, subtype: int, time: int) -> None:
    packet = telemetry.build(apid, count, 200, subtype, b"body", time, destination=9)
    fast, slow = Decoder().decode(packet), telemetry.parse(packet)
    assert (fast.apid, fast.sequence_count, fast.service, fast.subtype) == slow[:4]
    assert (fast.destination, fast.time_ns) == (slow.destination, slow.time_ns)


def test_values_come_with_labels_flags_units_and_limits() -> None:
    decoded = Decoder(DICTIONARY).decode(housekeeping(450.0, 20.0, 7, 1, True))
    rows = {row["name"]: row for row in decoded.rows()}
    assert not decoded.is_within
    assert (rows["board.power"]["limit"], rows["board.power"]["unit"]) == ("high", "W")
    assert rows["board.temperature"]["limit"] == ""
    assert (rows["board.state"]["raw"], rows["board.state"]["value"]) == (1, "BUSY")
    assert rows["board.enabled"]["value"] is True


@pytest.mark.parametrize(
    ("temperature", "limit"),
    [(-40.0, ""), (-40.5, "low"), (90.0, ""), (90.5, "high"), (math.nan, "not a number")],
)
def test_limits_are_inclusive_and_a_nan_breaks_them(temperature: float, limit: str) -> None:
    decoded = Decoder(DICTIONARY).decode(housekeeping(1.0, temperature, 0, 0, False))
    assert decoded.is_within == (limit == "")
    assert decoded.rows()[1]["limit"] == limit


def test_an_unknown_label_is_said_and_not_guessed() -> None:
    decoded = Decoder(DICTIONARY).decode(housekeeping(1.0, 1.0, 0, 5, False))
    assert decoded.rows()[3]["value"] == "unknown 5"


def test_an_event_is_put_into_words_with_its_labels() -> None:
    packed = Codec(BOARD.events[0].arguments).pack((3, 95.25, 7))
    decoded = Decoder(DICTIONARY).decode(event(1, 4, packed))
    assert decoded.plan is not None
    assert decoded.plan.text(decoded.values) == "3 at 95.2 °C is LOST"


def test_an_event_whose_format_wants_the_number_gets_the_number() -> None:
    decoded = Decoder(DICTIONARY).decode(event(2, 1, b"\x07"))
    assert decoded.plan is not None
    assert decoded.plan.text(decoded.values) == "state 0x7"


def test_without_a_dictionary_verification_and_ping_are_still_read() -> None:
    body = reports.verification(Stage.COMPLETED, b"\x18\x01\xc0\x00")
    for service, subtype, data in ((1, 7, body), (17, 2, b"")):
        decoded = Decoder().decode(telemetry.build(1, 0, service, subtype, data, TIME))
        assert decoded.quality == Quality.GOOD
    unknown = Decoder().decode(housekeeping(1.0, 1.0, 0, 0, False))
    assert (unknown.quality, unknown.rows()) == (Quality.UNDECODED, [])


def test_a_body_that_does_not_fit_is_marked_and_kept() -> None:
    packet = telemetry.build(4, 0, 3, reports.HK_REPORT, b"\0\1short", TIME)
    assert Decoder(DICTIONARY).decode(packet).quality == Quality.MISFIT


def test_the_time_report_is_read_though_it_has_no_secondary_header() -> None:
    decoded = Decoder().decode(reports.time_packet(5, 4, TIME))
    assert (decoded.service, decoded.sequence_count) == (Service.TIME, 5)
    assert abs(decoded.time_ns - TIME) < 60


def test_a_damaged_packet_is_refused() -> None:
    packet = bytearray(housekeeping(1.0, 1.0, 0, 0, False))
    packet[25] ^= 1
    with pytest.raises(PacketError):
        Decoder(DICTIONARY).decode(bytes(packet))


@given(st.binary(max_size=200))
def test_random_octets_are_decoded_or_refused(octets: bytes) -> None:
    try:
        Decoder(DICTIONARY).decode(octets)
    except PacketError:
        return


@given(st.integers(0, 255), st.integers(0, 255), st.integers(0, 8), st.binary(max_size=80))
def test_any_body_is_decoded_or_marked(service: int, subtype: int, apid: int, body: bytes) -> None:
    packet = telemetry.build(apid or 1, 0, service, subtype, body, TIME)
    decoded = Decoder(DICTIONARY).decode(packet)
    assert decoded.quality in (Quality.GOOD, Quality.UNDECODED, Quality.MISFIT)
    decoded.rows()


def test_a_text_cannot_speak_to_the_operators_terminal() -> None:
    field = Field("reason", "s", 32)
    entry = EventEntry(1, "failed", Severity.HIGH, "It failed: {reason}.", (field,))
    plan = Plan("jobs", "event", "failed", (field,), 2, event=entry)
    values = plan.unpack(b"\x1b[2Jgone\r\n\xe2\x9c\x93".ljust(32, b"\0"))
    assert plan.text(values) == "It failed: \ufffd[2Jgone\ufffd\ufffd✓."
    assert values == ("\x1b[2Jgone\r\n✓",)
