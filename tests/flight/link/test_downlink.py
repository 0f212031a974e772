"""The downlink: numbered packets, bounded queues by priority, paced by each station's credit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flight.framework.time_units import SECOND
from flight.link.downlink import (
    DEPTH,
    FORGET_STATION,
    LOSS_OF_SIGNAL,
    MOST_STATIONS,
    Downlink,
    Priority,
    PriorityQueue,
)
from icd import identity, link, reports, telemetry
from icd.dictionary import Severity
from icd.identity import Identity
from icd.link import Heartbeat, Kind
from icd.reports import Stage

START = 2_000_000_000 * SECOND


class Pass:
    """A downlink, its clock, and stations that hear it."""

    def __init__(self) -> None:
        self.now = START
        self.downlink = Downlink(7, lambda: self.now)

    def beat(
        self, station: int = 1, received: int = 0, window: int = 1000, routing: bytes = b"a"
    ) -> bool:
        return self.downlink.heard(routing, Heartbeat(station, received, window), self.now)

    def bulk(self, number: int, station: int | None = None) -> bool:
        return self.downlink.report(6, number, b"", station)

    def heard(self, station: int = 1) -> list[telemetry.Telemetry]:
        """What a station gets now, taken apart."""
        out = [(s.number, packet) for s, packet, _ in self.downlink.outgoing(self.now)]
        return [telemetry.parse(packet) for number, packet in out if number == station]


@pytest.fixture
def contact() -> Pass:
    return Pass()


def numbers(packets: list[telemetry.Telemetry]) -> list[int]:
    """The report numbers of component reports."""
    return [reports.parse_numbered(packet.data)[0] for packet in packets]


class TestPackets:
    def test_each_kind_of_packet_is_what_it_says(self, contact: Pass) -> None:
        contact.beat()
        down = contact.downlink
        down.verification(1, Stage.ACCEPTED, b"\x18\x01\xc0\0", 5)
        down.answer(1, 17, 2, b"", 5)
        down.event(6, 3, Severity.HIGH, b"\x09")
        down.housekeeping(2, b"\xaa")
        down.report(6, 2, b"\xbb", None)
        seen = [(p.apid, p.service, p.subtype, p.data, p.destination) for p in contact.heard()]
        assert seen == [
            (1, 1, 1, b"\x18\x01\xc0\0", 5),
            (1, 17, 2, b"", 5),
            (6, 5, 4, b"\0\x03\x09", 0),
            (2, 3, 25, b"\0\x01\xaa", 0),
            (6, 130, 1, b"\0\x02\xbb", 0),
        ]

    @pytest.mark.verifies("VA-LINK-03")
    def test_sequence_counts_run_per_apid_and_message_counts_per_kind(self, contact: Pass) -> None:
        contact.beat()
        for apid in (1, 2, 1):
            contact.downlink.answer(apid, 17, 2, b"", 0)
        counted = [(p.apid, p.sequence_count, p.message_count) for p in contact.heard()]
        assert counted == [(1, 0, 0), (2, 0, 1), (1, 1, 2)]

    @pytest.mark.verifies("VA-LINK-03")
    def test_the_sequence_count_wraps(self, contact: Pass) -> None:
        contact.beat(window=20_000)
        for _ in range(16_384):
            contact.downlink.answer(1, 17, 2, b"", 0)
            for _packet in contact.downlink.outgoing(contact.now):
                pass
        contact.downlink.answer(1, 17, 2, b"", 0)
        assert [p.sequence_count for p in contact.heard()] == [0]

    def test_packets_carry_the_time_at_which_they_were_made(self, contact: Pass) -> None:
        contact.downlink.housekeeping(2, b"")
        contact.now += 3 * SECOND
        contact.beat()
        assert [p.time_ns for p in contact.heard()] == [START]

    def test_a_time_report_goes_out_as_housekeeping(self, contact: Pass) -> None:
        contact.beat()
        contact.downlink.send_time(4)
        ((_, packet, _),) = contact.downlink.outgoing(contact.now)
        assert reports.parse_time_packet(packet) == (4, START)

    @pytest.mark.verifies("VA-LINK-07")
    def test_the_identity_message_carries_who_it_is(self, contact: Pass) -> None:
        who = Identity(7, 3, "vanallen", "00" * 8, "11" * 8)
        message, mac = link.unpack(contact.downlink.identity_message(who))
        assert (message.kind, message.payload_id, mac) == (Kind.IDENTITY, 7, b"")
        assert identity.parse(message.body) == who

    @pytest.mark.verifies("VA-TLM-03")
    def test_a_flood_of_one_event_is_filtered(self, contact: Pass) -> None:
        contact.beat()
        for _ in range(100):
            contact.downlink.event(6, 1, Severity.LOW, b"")
        assert len(contact.heard()) == 32


class TestPriorities:
    @pytest.mark.verifies("VA-LINK-06")
    def test_the_most_urgent_goes_first_and_equals_in_order(self, contact: Pass) -> None:
        down = contact.downlink
        contact.bulk(1)
        contact.bulk(2)
        down.housekeeping(2, b"")
        down.event(6, 1, Severity.INFO, b"")
        down.event(6, 2, Severity.MEDIUM, b"")
        down.verification(1, Stage.ACCEPTED, b"", 1)
        contact.beat()
        assert [p.service for p in contact.heard()] == [1, 5, 5, 3, 130, 130]

    @pytest.mark.verifies("VA-LINK-06", "VA-EXE-04")
    @pytest.mark.parametrize("priority", list(Priority))
    def test_a_full_level_drops_by_its_policy_and_counts(self, priority: Priority) -> None:
        queue = PriorityQueue()
        packets = [n.to_bytes(4, "big") for n in range(DEPTH[priority] + 2)]
        results = [queue.put(priority, packet) for packet in packets]
        assert results == [True] * DEPTH[priority] + [False, False]
        assert queue.dropped[priority] == 2
        assert (len(queue), queue.room(priority)) == (DEPTH[priority], 0)
        kept = [queue.take() for _ in range(DEPTH[priority])]
        drops_oldest = priority in (Priority.EVENT, Priority.HOUSEKEEPING)
        assert kept == (packets[2:] if drops_oldest else packets[:-2])
        assert queue.take() is None

    @pytest.mark.verifies("VA-LINK-06")
    def test_every_drop_is_counted(self, contact: Pass) -> None:
        for _ in range(DEPTH[Priority.HOUSEKEEPING] + 10):
            contact.downlink.housekeeping(2, b"")
        assert contact.downlink.dropped == 10
        assert contact.downlink.packets == DEPTH[Priority.HOUSEKEEPING] + 10
        assert contact.downlink.waiting() == DEPTH[Priority.HOUSEKEEPING]

    def test_a_station_that_takes_nothing_holds_up_no_other(self, contact: Pass) -> None:
        contact.beat(1)
        contact.beat(2, window=0, routing=b"b")
        for number in range(DEPTH[Priority.BULK] + 10):
            assert contact.bulk(number)
            assert numbers(contact.heard(1)) == [number]
        assert contact.downlink.dropped == 10

    def test_what_is_meant_for_a_station_that_is_gone_goes_to_nobody(self, contact: Pass) -> None:
        contact.beat(1)
        assert contact.downlink.bulk_room(2) == 0
        assert not contact.bulk(1, station=2)
        assert contact.heard(1) == []

    def test_bulk_is_refused_rather_than_dropped(self, contact: Pass) -> None:
        contact.beat()
        while contact.bulk(0):
            pass
        assert contact.downlink.bulk_room(None) == 0
        assert contact.downlink.bulk_room(1) == 0
        assert contact.downlink.dropped == 0
        assert len(contact.heard()) == DEPTH[Priority.BULK]
        assert contact.downlink.bulk_room(None) == DEPTH[Priority.BULK]


class TestCredit:
    @pytest.mark.verifies("VA-LINK-06")
    def test_no_more_is_under_way_than_the_window_allows(self, contact: Pass) -> None:
        for number in range(10):
            contact.bulk(number)
        contact.beat(received=0, window=3)
        assert numbers(contact.heard()) == [0, 1, 2]
        contact.beat(received=2, window=3)
        assert numbers(contact.heard()) == [3, 4]
        contact.beat(received=2, window=0)
        assert contact.heard() == []

    def test_a_station_cannot_claim_more_than_was_sent(self, contact: Pass) -> None:
        contact.bulk(1)
        contact.beat(received=0)
        contact.heard()
        contact.beat(received=1_000_000, window=2)
        assert contact.downlink.stations[1].credit == 2

    def test_link_messages_are_numbered_from_one(self, contact: Pass) -> None:
        contact.bulk(1)
        contact.bulk(2)
        contact.beat()
        messages = [link.unpack(m)[0] for _, _, m in contact.downlink.outgoing(contact.now)]
        assert [(m.kind, m.payload_id, m.key_slot, m.sequence) for m in messages] == [
            (Kind.TELEMETRY, 7, 0, 1),
            (Kind.TELEMETRY, 7, 0, 2),
        ]

    def test_what_the_transport_did_not_take_goes_first_after_the_next_heartbeat(
        self, contact: Pass
    ) -> None:
        contact.bulk(1)
        contact.bulk(2)
        contact.beat()
        station, packet, _ = next(contact.downlink.outgoing(contact.now))
        contact.downlink.not_sent(station, packet)
        assert contact.heard() == []
        contact.beat()
        assert numbers(contact.heard()) == [1, 2]
        assert station.sent == 2

    def test_a_station_that_is_gone_does_not_hold_up_another(self, contact: Pass) -> None:
        contact.beat(1)
        contact.beat(2, routing=b"b")
        for number in range(3):
            contact.bulk(number)
        reached: list[int] = []
        for station, packet, _ in contact.downlink.outgoing(contact.now):
            if station.number == 1:
                contact.downlink.not_sent(station, packet)
            else:
                reached.append(station.number)
        assert reached == [2, 2, 2]


class TestStations:
    def test_what_waited_goes_to_the_first_station_that_comes(self, contact: Pass) -> None:
        contact.bulk(1)
        contact.beat(1)
        contact.beat(2, routing=b"b")
        contact.bulk(2)
        assert numbers(contact.heard(1)) == [1, 2]
        contact.bulk(3)
        assert numbers(contact.heard(2)) == [3]  # and 2 was taken by the call before

    def test_a_report_for_one_station_goes_to_no_other(self, contact: Pass) -> None:
        contact.beat(1)
        contact.beat(2, routing=b"b")
        contact.bulk(1, station=2)
        out = [s.number for s, _, _ in contact.downlink.outgoing(contact.now)]
        assert out == [2]

    def test_a_station_that_connects_anew_gets_what_waits_and_counts_anew(
        self, contact: Pass
    ) -> None:
        contact.beat(routing=b"a", window=2)
        for number in range(5):
            contact.bulk(number)
        assert numbers(contact.heard()) == [0, 1]
        contact.beat(routing=b"new", received=0, window=2)
        assert numbers(contact.heard()) == [2, 3]

    def test_after_five_silent_seconds_nothing_is_sent_and_it_waits(self, contact: Pass) -> None:
        contact.beat()
        contact.bulk(1)
        contact.now += LOSS_OF_SIGNAL + 1
        assert contact.downlink.in_contact(contact.now) == 0
        assert contact.heard() == []
        contact.beat()
        assert contact.downlink.in_contact(contact.now) == 1
        assert numbers(contact.heard()) == [1]

    def test_a_station_is_forgotten_after_ten_minutes_and_the_next_gets_its_packets(
        self, contact: Pass
    ) -> None:
        contact.beat(1)
        contact.bulk(1)
        contact.now += FORGET_STATION
        assert contact.downlink.forget_silent(contact.now) == []
        contact.now += 1
        assert contact.downlink.forget_silent(contact.now) == [1]
        contact.beat(2, routing=b"b")
        assert numbers(contact.heard(2)) == [1]

    @pytest.mark.verifies("VA-LINK-06")
    def test_what_a_forgotten_one_of_several_would_have_got_is_counted_as_dropped(
        self, contact: Pass
    ) -> None:
        contact.beat(1)
        contact.beat(2, routing=b"b")
        contact.bulk(1)
        contact.bulk(2)
        contact.now += FORGET_STATION + 1
        assert contact.downlink.forget_silent(contact.now) == [1, 2]
        assert contact.downlink.dropped == 2  # the other copy of both waits for the next station
        assert contact.downlink.waiting() == 2

    def test_there_is_place_for_sixteen_stations(self, contact: Pass) -> None:
        assert all(contact.beat(n, routing=bytes([n])) for n in range(1, MOST_STATIONS + 1))
        assert not contact.beat(99, routing=b"z")
        assert contact.beat(1, routing=b"\1")


ACTS = st.lists(
    st.one_of(
        st.tuples(st.just("make"), st.integers(1, 400), st.just(0)),
        st.tuples(st.just("beat"), st.integers(1, 3), st.integers(0, 50)),
        st.tuples(st.just("send"), st.just(0), st.just(0)),
    ),
    max_size=25,
)


@pytest.mark.verifies("VA-LINK-06")
@given(ACTS)
def test_every_packet_is_sent_waits_or_is_counted_and_credit_is_kept(
    acts: list[tuple[str, int, int]],
) -> None:
    contact = Pass()
    received = dict.fromkeys((1, 2, 3), 0)
    copies = 0
    for what, number, window in acts:
        if what == "make":
            for _ in range(number):
                contact.downlink.housekeeping(2, b"")
            copies += number * (len(contact.downlink.stations) or 1)
        elif what == "beat":
            contact.beat(number, received[number], window, bytes([number]))
        else:
            for station, _, _ in contact.downlink.outgoing(contact.now):
                received[station.number] += 1
        for station in contact.downlink.stations.values():
            assert received[station.number] == station.sent
    assert copies == sum(received.values()) + contact.downlink.waiting() + contact.downlink.dropped
