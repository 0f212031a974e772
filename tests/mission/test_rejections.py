"""Every way in which a telecommand is not taken, seen by a station that sends wrong ones."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest

from ground.client.client import Client
from icd import link, reports
from icd.failures import FailureCode
from icd.link import Kind, LinkMessage
from icd.reports import Service, Stage
from tests.mission.station import Station
from tests.mission.watching import counters, rise, until

MakeStation = Callable[..., Station]
pytestmark = pytest.mark.xdist_group("rejections")
COMMANDS, JOBS, FILES = 1, 5, 6


def _rejected(own: Station, packet: bytes, code: FailureCode) -> str:
    stage, about = own.ask(packet)
    assert stage is Stage.REJECTED
    assert FailureCode(about.code) is code
    return about.reason


def test_a_station_of_the_tests_own_is_obeyed(station: MakeStation) -> None:
    own = station()
    assert own.ask(own.packet(COMMANDS, Service.TEST, reports.PING))[0] is Stage.COMPLETED
    assert own.ask(own.function(COMMANDS, 3))[0] is Stage.COMPLETED


@pytest.mark.verifies("VA-LINK-01", "VA-CMD-03")
def test_a_packet_with_a_wrong_checksum_is_rejected(station: MakeStation) -> None:
    own = station()
    packet = own.function(COMMANDS, 3)
    wrong = packet[:-1] + bytes([packet[-1] ^ 1])
    assert _rejected(own, wrong, FailureCode.BAD_CHECKSUM)


@pytest.mark.verifies("VA-LINK-01", "VA-CMD-03")
def test_a_packet_of_another_length_than_it_says_is_rejected(station: MakeStation) -> None:
    own = station()
    _rejected(own, own.function(COMMANDS, 3) + b"more", FailureCode.BAD_LENGTH)


@pytest.mark.verifies("VA-CMD-03")
def test_an_unknown_apid_is_rejected_naming_the_known_ones(station: MakeStation) -> None:
    own = station()
    assert "files" in _rejected(own, own.function(99, 3), FailureCode.UNKNOWN_APID)


@pytest.mark.verifies("VA-CMD-03")
def test_an_unknown_service_is_rejected(station: MakeStation) -> None:
    own = station()
    assert "77,1" in _rejected(own, own.packet(COMMANDS, 77, 1), FailureCode.UNKNOWN_SERVICE)


@pytest.mark.verifies("VA-CMD-03")
def test_an_unknown_opcode_is_rejected(station: MakeStation) -> None:
    own = station()
    assert "200" in _rejected(own, own.function(COMMANDS, 200), FailureCode.UNKNOWN_OPCODE)
    no_opcode = own.packet(COMMANDS, Service.FUNCTION, reports.FUNCTION_PERFORM)
    _rejected(own, no_opcode, FailureCode.UNKNOWN_OPCODE)


@pytest.mark.verifies("VA-CMD-03")
def test_arguments_too_short_and_too_long_are_rejected(station: MakeStation) -> None:
    own = station()
    _rejected(own, own.function(JOBS, 2, b"\0\0"), FailureCode.ARGUMENT_LENGTH)
    _rejected(own, own.function(JOBS, 2, bytes(5)), FailureCode.ARGUMENT_LENGTH)


@pytest.mark.verifies("VA-CMD-03", "VA-EXE-10")
def test_a_parameter_out_of_range_is_rejected_and_changes_nothing(
    payload: Client, station: MakeStation
) -> None:
    own = station()
    before = payload.parameters("commands")["commands.arming_s"].value
    body = b"\1" + struct.pack(">Hf", 0, 1e6)
    stage, about = own.ask(own.packet(COMMANDS, Service.PARAMETER, reports.PARAMETER_SET, body))
    assert stage.is_failure
    assert FailureCode(about.code) is FailureCode.ARGUMENT_RANGE
    assert "600" in about.reason
    assert payload.parameters("commands")["commands.arming_s"].value == before


@pytest.mark.verifies("VA-CMD-03")
def test_a_label_that_does_not_exist_is_rejected(station: MakeStation) -> None:
    own = station()
    assert "7" in _rejected(own, own.function(COMMANDS, 2, b"\7"), FailureCode.ARGUMENT_ENUM)


@pytest.mark.verifies("VA-CMD-03")
def test_text_that_is_no_text_is_rejected(station: MakeStation) -> None:
    own = station()
    _rejected(own, own.function(FILES, 9, b"\xff" * 128), FailureCode.ARGUMENT_TYPE)


@pytest.mark.verifies("VA-CMD-04")
def test_a_critical_command_armed_by_one_station_is_not_armed_for_another(
    payload: Client, station: MakeStation
) -> None:
    own = station()
    payload.send("commands.arm", {"apid": 1, "opcode": 2})
    assert "arm it first" in _rejected(own, own.function(COMMANDS, 2, b"\0"), FailureCode.NOT_ARMED)


@pytest.mark.verifies("VA-CMD-04")
def test_an_arming_expires(payload: Client, station: MakeStation) -> None:
    own = station()
    payload.send("commands.set", {"arming_s": 1.0})
    try:
        before = payload.cursor()
        assert own.ask(own.function(COMMANDS, 1, b"\0\1\2"))[0] is Stage.COMPLETED
        armed = payload.expect_event("commands.armed", after=before, timeout_s=90)
        over = armed.time_ns + 1_000_000_000
        until(
            lambda: any(value.time_ns > over for value in payload.values("board").values()),
            10.0,
            "a second on board",
        )
        _rejected(own, own.function(COMMANDS, 2, b"\0"), FailureCode.NOT_ARMED)
    finally:
        payload.send("commands.set", {"arming_s": 30.0})


@pytest.mark.verifies("VA-CMD-05")
def test_a_station_cannot_speak_for_another(payload: Client, station: MakeStation) -> None:
    own, cursor = station(), payload.cursor()
    named = payload.status()["payloads"][0]["station"]
    before = counters(payload)
    packet = own.packet(COMMANDS, Service.TEST, reports.PING, source=named)
    own.send_octets(own.frame(Kind.TELECOMMAND, packet))
    event = payload.expect_event("commands.telecommand_rejected", after=cursor)
    assert event.arguments["source"] == named
    assert event.arguments["code"] == FailureCode.SOURCE_REFUSED
    rose = rise(payload, before)
    assert (rose["accepted"], rose["rejected"]) == (0, 1)


@pytest.mark.verifies("VA-CMD-05")
def test_an_observer_may_look_and_not_command(station: MakeStation) -> None:
    observer = station(3)
    ping = observer.packet(COMMANDS, Service.TEST, reports.PING)
    assert observer.ask(ping)[0] is Stage.COMPLETED
    assert "observes" in _rejected(
        observer, observer.function(COMMANDS, 3), FailureCode.SOURCE_REFUSED
    )


def _frames(payload: Client, before: dict[str, int]) -> dict[str, int]:
    """By how much the counters of link messages that were not taken rose."""
    rose = rise(payload, before)
    return {name: rose[name] for name in rose if name.startswith("frames_")}


@pytest.mark.verifies("VA-SEC-01")
def test_a_telecommand_with_a_forged_code_is_dropped_counted_and_not_answered(
    payload: Client, station: MakeStation
) -> None:
    before = counters(payload)
    cursor = payload.cursor()
    forger = station(2, key=bytes(32))
    assert not forger.is_answered(0.2)
    forger.send_octets(forger.frame(Kind.TELECOMMAND, forger.function(COMMANDS, 3)))
    payload.expect_event(
        "commands.link_message_rejected", where={"why": "NOT_AUTHENTIC"}, after=cursor
    )
    assert station().is_answered()
    rose = _frames(payload, before)
    assert rose == {"frames_rejected": 2, "frames_not_authentic": 2, "frames_replayed": 0}


@pytest.mark.verifies("VA-SEC-02")
def test_a_replayed_telecommand_is_dropped_and_counted(
    payload: Client, station: MakeStation
) -> None:
    own = station()
    packet = own.function(COMMANDS, 3)
    own.heartbeat()
    frame = own.frame(Kind.TELECOMMAND, packet)
    own.send_octets(frame)
    assert own.is_answered()
    before = counters(payload)
    own.send_octets(frame)
    assert own.is_answered()
    rose = _frames(payload, before)
    assert rose == {"frames_rejected": 1, "frames_not_authentic": 0, "frames_replayed": 1}


@pytest.mark.verifies("VA-SEC-04", "VA-SEC-01")
def test_a_telecommand_in_clear_is_dropped_by_a_payload_that_did_not_ask_for_it(
    payload: Client, station: MakeStation
) -> None:
    before, cursor = counters(payload), payload.cursor()
    clear = station(0)
    clear.send_octets(clear.frame(Kind.TELECOMMAND, clear.function(COMMANDS, 3)))
    event = payload.expect_event("commands.link_message_rejected", after=cursor)
    assert event.arguments["why"] == "CLEAR_REFUSED"
    assert _frames(payload, before)["frames_rejected"] == 1


@pytest.mark.verifies("VA-LINK-04")
def test_a_link_message_for_another_payload_is_rejected_and_counted(
    payload: Client, station: MakeStation
) -> None:
    before, cursor = counters(payload), payload.cursor()
    own = station()
    stray = LinkMessage(
        Kind.TELECOMMAND, own.payload_id ^ 1, own.slot, own.sequence + 1, own.function(COMMANDS, 3)
    )
    own.send_octets(link.pack(stray, own.key))
    event = payload.expect_event("commands.link_message_rejected", after=cursor)
    assert event.arguments["why"] == "OTHER_PAYLOAD"
    assert _frames(payload, before)["frames_rejected"] == 1


@pytest.mark.verifies("VA-STO-03")
def test_a_file_for_which_there_is_no_space_is_refused_before_it_is_sent(
    payload: Client, station: MakeStation
) -> None:
    own = station()
    more = payload.send("files.free").result["free"] + (1 << 30)
    path = b"too-large.bin".ljust(128, b"\0")
    stage, about = own.ask(own.function(FILES, 1, struct.pack(">I128sQI", 77, path, more, 0)))
    assert stage.is_failure
    assert FailureCode(about.code) is FailureCode.NO_SPACE
