"""Bodies of PUS reports and requests, octet by octet."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icd import failures, reports
from icd.failures import FailureCode
from icd.reports import Stage

pytestmark = pytest.mark.portable

REQUEST = bytes.fromhex("1801c005")


@pytest.mark.parametrize(
    ("body", "octets"),
    [
        (reports.verification(Stage.ACCEPTED, REQUEST), "1801c005"),
        (reports.verification(Stage.PROGRESS, REQUEST, step=300), "1801c005 012c"),
        (
            reports.verification(Stage.REJECTED, REQUEST, code=9, reason="no"),
            "1801c005"  # request id: packet id and sequence control of the telecommand
            "0009"  # failure code 9: argument range
            "02 6e6f",  # two octets of reason
        ),
        (reports.numbered(258, b"\xff"), "0102 ff"),
        (reports.function(7, b"\x01"), "07 01"),
        (reports.result(REQUEST, 7, b"\x01"), "1801c005 07 01"),
        (reports.housekeeping(b"\xaa"), "0001 aa"),
        (reports.structure_request(), "01 0001"),
        (reports.structure_request(1000), "01 0001 000003e8"),
        (reports.on_change_request(100, 60_000), "0001 00000064 0000ea60"),
        (reports.event_numbers([1, 258]), "02 0001 0102"),
    ],
)
def test_bodies_have_these_octets(body: bytes, octets: str) -> None:
    assert body == bytes.fromhex(octets)


@given(st.sampled_from(Stage), st.integers(0, 65535), st.integers(0, 65535), st.text(max_size=300))
def test_a_verification_report_comes_back(stage: Stage, step: int, code: int, reason: str) -> None:
    body = reports.verification(stage, REQUEST, step=step, code=code, reason=reason)
    read = reports.parse_verification(stage, body)
    has_step = stage in (Stage.PROGRESS, Stage.PROGRESS_FAILED)
    assert read.request_id == REQUEST
    assert read.step == (step if has_step else 0)
    assert read.code == (code if stage.is_failure else 0)
    assert reason.startswith(read.reason)
    assert len(body) <= 4 + 2 + 3 + reports.LONGEST_REASON


def test_a_reason_that_is_no_unicode_is_still_reported() -> None:
    body = reports.verification(Stage.FAILED, REQUEST, code=41, reason="file \udcff")
    assert reports.parse_verification(Stage.FAILED, body).reason == "file ?"


@pytest.mark.parametrize(
    ("stage", "octets"),
    [
        (Stage.ACCEPTED, "1801c0"),
        (Stage.PROGRESS, "1801c005 01"),
        (Stage.FAILED, "1801c005 0009"),
        (Stage.FAILED, "1801c005 0009 05 6e6f"),
    ],
)
def test_a_verification_report_cut_short_is_refused(stage: Stage, octets: str) -> None:
    with pytest.raises(ValueError, match="cut short"):
        reports.parse_verification(stage, bytes.fromhex(octets))


def test_numbered_reports_come_back() -> None:
    assert reports.parse_numbered(bytes.fromhex("0102ff")) == (258, b"\xff")
    with pytest.raises(ValueError, match="at least two octets"):
        reports.parse_numbered(b"\x01")


@pytest.mark.parametrize("octets", ["", "01", "01 00", "01 0001 00", "02 0001"])
def test_event_numbers_of_a_wrong_length_are_refused(octets: str) -> None:
    with pytest.raises(ValueError, match="give a count octet"):
        reports.parse_event_numbers(bytes.fromhex(octets))


@given(st.lists(st.integers(0, 65535), max_size=255))
def test_event_numbers_come_back(numbers: list[int]) -> None:
    assert reports.parse_event_numbers(reports.event_numbers(numbers)) == tuple(numbers)


def test_a_time_report_of_a_wrong_length_is_refused() -> None:
    with pytest.raises(ValueError, match="16 octets, not 3"):
        reports.parse_time_packet(b"abc")


def test_stages_know_whether_they_end_a_telecommand() -> None:
    final = {Stage.REJECTED, Stage.START_FAILED, Stage.COMPLETED, Stage.FAILED}
    assert {stage for stage in Stage if stage.is_final} == final
    assert {int(stage) for stage in Stage if stage.is_failure} == {2, 4, 6, 8}


def test_failure_codes_have_words_and_unknown_ones_their_number() -> None:
    assert failures.label(FailureCode.NOT_ARMED) == "not armed"
    assert failures.label(999) == "failure 999"


def test_failure_codes_are_the_ones_ground_has_always_known() -> None:
    """A code may be added or retired; none may be given another meaning."""
    assert [(code.name, int(code)) for code in FailureCode][:15] == [
        ("BAD_CHECKSUM", 1),
        ("BAD_LENGTH", 2),
        ("BAD_PACKET", 3),
        ("UNKNOWN_APID", 4),
        ("UNKNOWN_SERVICE", 5),
        ("UNKNOWN_OPCODE", 6),
        ("ARGUMENT_LENGTH", 7),
        ("ARGUMENT_TYPE", 8),
        ("ARGUMENT_RANGE", 9),
        ("ARGUMENT_ENUM", 10),
        ("WRONG_MODE", 20),
        ("NOT_ARMED", 21),
        ("SOURCE_REFUSED", 22),
        ("QUEUE_FULL", 23),
        ("TOO_MANY_PENDING", 24),
    ]
