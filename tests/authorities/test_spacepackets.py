"""Every PUS packet byte for byte against spacepackets, an independent implementation."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from spacepackets.ccsds.spacepacket import SpacePacketHeader
from spacepackets.ecss import PusTc, PusTm, RequestId, check_pus_crc
from spacepackets.ecss.fields import PacketFieldEnum
from spacepackets.ecss.pus_1_verification import FailureNotice, Service1Tm, VerificationParams
from spacepackets.ecss.pus_3_hk import MessageSubtype as Hk
from spacepackets.ecss.pus_5_event import MessageSubtype as Event
from spacepackets.ecss.pus_17_test import MessageSubtype as OnBoard
from spacepackets.ecss.pus_17_test import Service17Tm
from spacepackets.ecss.tm import MiscParams

from icd import cuc, reports, space_packet, telecommand, telemetry
from icd.dictionary import Severity
from icd.reports import Service, Stage

pytestmark = pytest.mark.verifies("VA-LINK-02")

U8, U16 = st.integers(0, 255), st.integers(0, 65535)
APID = st.integers(0, 2046)
COUNT = st.integers(0, 16383)
TIME = st.integers(0, cuc.LAST)
STAMP = 2_097_152_000_000_000_000


@given(APID, COUNT, U8, U8, U16, st.integers(0, 15), st.binary(max_size=300))
def test_telecommands_are_what_spacepackets_makes(
    apid: int, count: int, service: int, subtype: int, source: int, ack: int, data: bytes
) -> None:
    ours = telecommand.build(apid, count, service, subtype, data, source=source, ack=ack)
    theirs = PusTc(
        service, subtype, apid=apid, app_data=data, seq_count=count, source_id=source, ack_flags=ack
    )
    assert ours == bytes(theirs.pack())


@given(APID, COUNT, U8, U8, U16, st.integers(0, 15), st.binary(max_size=300))
def test_telecommands_that_spacepackets_makes_are_read(
    apid: int, count: int, service: int, subtype: int, source: int, ack: int, data: bytes
) -> None:
    theirs = PusTc(
        service, subtype, apid=apid, app_data=data, seq_count=count, source_id=source, ack_flags=ack
    )
    packet = bytes(theirs.pack())
    read = telecommand.parse(packet)
    assert read == (apid, count, ack, service, subtype, source, data, packet[:4])
    assert read.request_id == RequestId.from_pus_tc(theirs).pack()


@given(APID, COUNT, U8, U8, U16, U16, st.integers(0, 15), TIME, st.binary(max_size=300))
def test_telemetry_is_what_spacepackets_makes_and_reads(
    apid: int,
    count: int,
    service: int,
    subtype: int,
    number: int,
    destination: int,
    status: int,
    time: int,
    data: bytes,
) -> None:
    ours = telemetry.build(
        apid,
        count,
        service,
        subtype,
        data,
        time,
        message_count=number,
        destination=destination,
        time_status=status,
    )
    theirs = PusTm(
        service,
        subtype,
        cuc.encode(time),
        source_data=data,
        apid=apid,
        seq_count=count,
        message_counter=number,
        destination_id=destination,
        misc_params=MiscParams(spacecraft_time_ref=status),
    )
    assert ours == bytes(theirs.pack())
    assert check_pus_crc(ours)
    read = PusTm.unpack(ours, timestamp_len=cuc.SIZE)
    assert (read.apid, read.seq_count, read.service, read.message_subtype, read.source_data) == (
        (apid, count, service, subtype, data)
    )


def _verification(stage: Stage, step: int | None, code: int | None, text: bytes) -> bytes:
    """A whole PUS 1 report of spacepackets, about telecommand 1 of APID 6."""
    telecommand_of = RequestId.from_pus_tc(PusTc(8, 1, apid=6, seq_count=1))
    parameters = VerificationParams(
        telecommand_of,
        None if step is None else PacketFieldEnum.with_byte_size(2, step),
        None
        if code is None
        else FailureNotice(PacketFieldEnum.with_byte_size(2, code), bytes([len(text)]) + text),
    )
    return bytes(Service1Tm(1, stage, cuc.encode(STAMP), parameters, destination_id=9).pack())


@pytest.mark.parametrize("stage", list(Stage))
def test_verification_reports_are_what_spacepackets_makes(stage: Stage) -> None:
    has_step = stage in (Stage.PROGRESS, Stage.PROGRESS_FAILED)
    step = 300 if has_step else None
    code, reason = (7, "give 4 octets") if stage.is_failure else (None, "")
    request_id = telecommand.build(6, 1, 8, 1)[:4]
    body = reports.verification(stage, request_id, step=step or 0, code=code or 0, reason=reason)
    ours = telemetry.build(1, 0, Service.VERIFICATION, stage, body, STAMP, destination=9)
    assert ours == _verification(stage, step, code, reason.encode())


def test_a_pong_is_what_spacepackets_makes() -> None:
    theirs = Service17Tm(1, OnBoard.TM_REPLY, cuc.encode(STAMP), ssc=5, destination_id=3)
    ours = telemetry.build(1, 5, Service.TEST, reports.PONG, b"", STAMP, destination=3)
    assert ours == bytes(theirs.pack())


def test_service_and_subtype_numbers_are_those_of_spacepackets() -> None:
    assert (reports.HK_ENABLE, reports.HK_DISABLE, reports.HK_ONE_SHOT, reports.HK_PERIOD) == (
        Hk.TC_ENABLE_PERIODIC_HK_GEN,
        Hk.TC_DISABLE_PERIODIC_HK_GEN,
        Hk.TC_GENERATE_ONE_PARAMETER_REPORT,
        Hk.TC_MODIFY_PARAMETER_REPORT_COLLECTION_INTERVAL,
    )
    assert reports.HK_REPORT == Hk.TM_HK_REPORT
    assert [Severity.INFO, Severity.LOW, Severity.MEDIUM, Severity.HIGH] == [
        Event.TM_INFO_EVENT,
        Event.TM_LOW_SEVERITY_EVENT,
        Event.TM_MEDIUM_SEVERITY_EVENT,
        Event.TM_HIGH_SEVERITY_EVENT,
    ]
    assert (reports.EVENT_ENABLE, reports.EVENT_DISABLE) == (
        Event.TC_ENABLE_EVENT_REPORTING,
        Event.TC_DISABLE_EVENT_REPORTING,
    )
    assert (reports.PING, reports.PONG) == (OnBoard.TC_PING, OnBoard.TM_REPLY)


@given(APID, COUNT, st.binary(min_size=1, max_size=200))
def test_the_primary_header_of_a_bare_packet_agrees(apid: int, count: int, data: bytes) -> None:
    ours = space_packet.build(apid, count, data, secondary=False)
    theirs = SpacePacketHeader.tm(apid=apid, seq_count=count, data_len=len(data) + 2 - 1)
    assert ours[:6] == bytes(theirs.pack())
