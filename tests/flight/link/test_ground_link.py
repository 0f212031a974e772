"""The payload's side of the link: what a station's messages lead to."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flight.link.downlink import Downlink
from flight.link.ground_link import GroundLink
from flight.link.uplink import Rejection
from icd import identity, link, reports, telecommand
from icd.identity import Identity
from icd.link import Kind, LinkMessage
from icd.reports import Stage
from tests.flight.support.small_executive import COMMANDS, GADGET, START, Craft

PAYLOAD = 7
KEYS = {n: bytes([n]) * 32 for n in range(1, 20)}
WHO = Identity(PAYLOAD, 3, "vanallen", "00" * 8, "11" * 8)


class Station:
    """Stations of many key slots, a small craft and the link between them."""

    def __init__(self, *, accept_clear: bool = False) -> None:
        self.craft = Craft()
        self.craft.executive.now = START
        self.downlink = Downlink(PAYLOAD, lambda: self.craft.executive.now)
        self.answers: list[tuple[bytes, Identity]] = []
        self.link = GroundLink(
            self.craft.executive,
            self.craft.commands,
            self.downlink,
            WHO,
            KEYS,
            {},
            lambda _slot, _ceiling, done: done(),
            accept_clear=accept_clear,
        )
        self.link.answer = self._answer
        self._sequence = 0

    def _answer(self, routing: bytes, octets: bytes) -> None:
        self.answers.append((routing, identity.parse(link.unpack(octets)[0].body)))

    def send(self, kind: Kind, body: bytes, slot: int = 1) -> None:
        self._sequence += 1
        message = LinkMessage(kind, PAYLOAD, slot, self._sequence, body)
        self.link.receive(b"route", link.pack(message, KEYS.get(slot)))

    def beat(self, station: int = 1, slot: int = 1) -> None:
        self.send(Kind.HEARTBEAT, link.HEARTBEAT.pack(station, 0, 100), slot)

    def command(self, packet: bytes, slot: int = 1) -> list[Stage]:
        self.send(Kind.TELECOMMAND, packet, slot)
        return self.craft.stages(packet[:4])

    def rejections(self) -> list[Rejection]:
        events = self.craft.events(self.craft.commands, "link_message_rejected")
        return [Rejection(why) for (why,) in events]


@pytest.fixture
def station() -> Station:
    return Station()


@pytest.mark.verifies("VA-LINK-07")
def test_a_heartbeat_registers_its_station_and_is_answered_with_the_identity(
    station: Station,
) -> None:
    station.beat()
    assert station.answers == [(b"route", WHO)]
    assert station.downlink.in_contact(START) == 1
    assert station.downlink.stations[1].routing == b"route"


@pytest.mark.verifies("VA-CMD-07")
def test_a_telecommand_is_carried_out_at_once(station: Station) -> None:
    assert station.command(telecommand.build(GADGET, 0, 17, 1, source=1))[-1] is Stage.COMPLETED


@pytest.mark.verifies("VA-CMD-05", "VA-SEC-01")
def test_a_station_speaks_for_itself_only(station: Station) -> None:
    assert station.command(telecommand.build(GADGET, 0, 17, 1, source=2)) == [Stage.REJECTED]
    station.beat(station=2, slot=1)
    assert station.answers == []
    assert station.rejections() == [Rejection.NOT_AUTHENTIC]


@pytest.mark.verifies("VA-SEC-04")
def test_in_clear_a_station_may_say_who_it_is() -> None:
    station = Station(accept_clear=True)
    station.beat(station=4, slot=0)
    assert list(station.downlink.stations) == [4]
    ping = telecommand.build(GADGET, 0, 17, 1, source=9)
    assert station.command(ping, slot=0)[-1] is Stage.COMPLETED


@pytest.mark.parametrize("body", [b"", bytes(13), bytes(15)])
def test_a_heartbeat_of_a_wrong_length_is_counted(station: Station, body: bytes) -> None:
    station.send(Kind.HEARTBEAT, body)
    assert station.rejections() == [Rejection.MALFORMED]


def test_one_station_too_many_is_counted_and_not_answered(station: Station) -> None:
    for number in range(1, 18):
        station.beat(number, number)
    assert len(station.answers) == 16
    assert station.rejections() == [Rejection.TOO_MANY_STATIONS]


@pytest.mark.verifies("VA-CMD-04")
def test_an_arming_and_its_command_may_arrive_together(station: Station) -> None:
    arm = reports.function(1, bytes([0, GADGET, 6]))
    station.command(telecommand.build(COMMANDS, 0, 8, 1, arm, source=1))
    fire = telecommand.build(GADGET, 1, 8, 1, reports.function(6, b""), source=1)
    assert station.command(fire)[-1] is Stage.COMPLETED


@pytest.mark.verifies("VA-LINK-05")
@given(st.lists(st.binary(max_size=50), max_size=10))
def test_octets_of_any_kind_are_counted_and_the_next_ping_is_answered(noise: list[bytes]) -> None:
    station = Station()
    for octets in noise:
        station.link.receive(b"route", octets)
    assert station.craft.handler.hk.frames_rejected == len(noise)
    assert station.command(telecommand.build(GADGET, 0, 17, 1, source=1))[-1] is Stage.COMPLETED


@pytest.mark.verifies("VA-LINK-05")
@given(st.lists(st.tuples(st.sampled_from(Kind), st.binary(max_size=50)), max_size=10))
def test_authentic_messages_with_any_body_do_no_worse(messages: list[tuple[Kind, bytes]]) -> None:
    station = Station()
    for kind, body in messages:
        station.send(kind, body)
    hk = station.craft.handler.hk
    counted: Any = hk.frames_rejected + hk.accepted + hk.rejected + len(station.answers)
    assert counted == len(messages)
