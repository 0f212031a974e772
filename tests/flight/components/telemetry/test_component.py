"""The telemetry sender: housekeeping periodic, on demand and on change; time; held-back events."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from flight.components.telemetry.component import Telemetry
from flight.framework.executive import RateGroup
from flight.framework.time_units import SECOND
from flight.link.downlink import FORGET_STATION, Downlink
from icd import reports, telemetry
from icd.dictionary import Severity
from icd.failures import FailureCode
from icd.link import Heartbeat
from icd.reports import Stage
from tests.flight.support.small_executive import GADGET, START, Craft

TELEMETRY = 2
PERIOD_S = 10


class Ship(Craft):
    """The small craft with a telemetry sender and a real downlink."""

    def __init__(self) -> None:
        super().__init__()
        self.downlink = Downlink(1, lambda: self.executive.now)
        self.sender = self.executive.plug(
            "telemetry",
            TELEMETRY,
            lambda port: Telemetry(
                port, self.executive.slots, self.downlink, lambda _name: PERIOD_S * SECOND
            ),
            RateGroup("fast", SECOND // 10),
        )
        self.commands.component.start(self.now)
        self.sender.component.start(self.now)
        self.station()
        self.step()
        self.received()

    def station(self, number: int = 1) -> None:
        """Be heard."""
        self.downlink.heard(bytes([number]), Heartbeat(number, 0, 1 << 20), self.now)

    def received(self) -> list[bytes]:
        """Every packet since the last call."""
        self.station()
        return [packet for _, packet, _ in self.downlink.outgoing(self.now)]

    def housekeeping(self, apid: int = GADGET) -> list[tuple[float, bytes]]:
        """(seconds since the start, packed fields) of the gadget's packets since the last call."""
        packets = [telemetry.parse(p) for p in self.received() if p[0] & 8]
        return [
            (round((p.time_ns - START) / SECOND, 1), p.data[2:])
            for p in packets
            if (p.apid, p.service) == (apid, 3)
        ]

    def wait(self, seconds: float) -> None:
        """Let time pass, stepping whenever something is due."""
        end = self.now + round(seconds * SECOND)
        while (due := self.executive.step(self.now)) <= end:
            self.now = due
        self.now = end

    def ask(self, subtype: int, body: bytes, **options: Any) -> bytes:
        return self.request(3, subtype, body, **options)

    def ends_well(self, request: bytes) -> bool:
        return self.stages(request)[-1] is Stage.COMPLETED


@pytest.fixture
def ship() -> Ship:
    return Ship()


class TestHousekeeping:
    @pytest.mark.verifies("VA-TLM-01")
    def test_it_is_sent_every_period(self, ship: Ship) -> None:
        ship.wait(35)
        assert ship.housekeeping() == [(10.0, bytes(4)), (20.0, bytes(4)), (30.0, bytes(4))]

    @pytest.mark.verifies("VA-TLM-01")
    def test_it_is_sent_once_on_demand(self, ship: Ship) -> None:
        ship.wait(3)
        ship.gadget.hk.calls = 258
        assert ship.ends_well(ship.ask(27, reports.structure_request()))
        assert ship.housekeeping() == [(3.0, bytes.fromhex("00000102"))]

    @pytest.mark.verifies("VA-TLM-01")
    def test_it_can_be_disabled_and_enabled(self, ship: Ship) -> None:
        assert ship.ends_well(ship.ask(6, reports.structure_request()))
        ship.wait(30)
        assert ship.housekeeping() == []
        assert ship.ends_well(ship.ask(5, reports.structure_request()))
        ship.wait(25)
        assert [at for at, _ in ship.housekeeping()] == [40.0, 50.0]

    @pytest.mark.verifies("VA-TLM-01")
    def test_its_period_can_be_changed(self, ship: Ship) -> None:
        assert ship.ends_well(ship.ask(31, reports.structure_request(500)))
        ship.wait(2.2)
        assert [at for at, _ in ship.housekeeping()] == [0.5, 1.0, 1.5, 2.0]

    @pytest.mark.verifies("VA-TLM-01")
    def test_on_change_is_no_more_often_than_the_shortest_and_no_more_seldom_than_the_longest(
        self, ship: Ship
    ) -> None:
        ship.ask(6, reports.structure_request())
        assert ship.ends_well(ship.ask(128, reports.on_change_request(500, 4000)))
        ship.wait(0.1)
        ship.housekeeping()
        for _ in range(10):  # changes every tenth of a second for one second
            ship.gadget.hk.calls += 1
            ship.wait(0.1)
        assert len(ship.housekeeping()) == 2
        ship.wait(14)
        quiet = [at for at, _ in ship.housekeeping()]
        assert [round(b - a, 1) for a, b in pairwise(quiet)] == [4.0, 4.0]
        assert ship.ends_well(ship.ask(128, reports.on_change_request(0, 0)))
        ship.gadget.hk.calls += 1
        ship.wait(10)
        assert ship.housekeeping() == []

    @pytest.mark.verifies("VA-TLM-01")
    @pytest.mark.parametrize(
        ("subtype", "body", "code"),
        [
            (5, b"", FailureCode.ARGUMENT_LENGTH),
            (5, bytes.fromhex("01 0002"), FailureCode.ARGUMENT_LENGTH),
            (6, bytes.fromhex("02 0001"), FailureCode.ARGUMENT_LENGTH),
            (27, bytes.fromhex("01 0001 00"), FailureCode.ARGUMENT_LENGTH),
            (31, bytes.fromhex("01 0001"), FailureCode.ARGUMENT_LENGTH),
            (31, reports.structure_request(99), FailureCode.ARGUMENT_RANGE),
            (31, reports.structure_request(86_400_001), FailureCode.ARGUMENT_RANGE),
            (128, b"", FailureCode.ARGUMENT_LENGTH),
            (128, bytes.fromhex("0002 00000064 000003e8"), FailureCode.ARGUMENT_LENGTH),
            (128, reports.on_change_request(99, 1000), FailureCode.ARGUMENT_RANGE),
            (128, reports.on_change_request(1000, 999), FailureCode.ARGUMENT_RANGE),
        ],
    )
    def test_a_bad_request_is_refused_and_changes_nothing(
        self, ship: Ship, subtype: int, body: bytes, code: FailureCode
    ) -> None:
        assert ship.failure(ship.ask(subtype, body))[0] is code
        ship.wait(15)
        assert [at for at, _ in ship.housekeeping()] == [10.0]

    @pytest.mark.verifies("VA-TLM-04")
    def test_a_counter_beyond_its_type_stays_at_its_highest(self, ship: Ship) -> None:
        ship.gadget.hk.calls = 1 << 40
        ship.wait(10)
        assert ship.housekeeping() == [(10.0, b"\xff\xff\xff\xff")]

    def test_a_stopped_component_sends_none(self, ship: Ship) -> None:
        ship.slot.is_stopped = True
        ship.wait(30)
        assert ship.housekeeping() == []

    @pytest.mark.verifies("VA-EXE-03")
    def test_housekeeping_that_cannot_be_packed_costs_its_own_component_only(
        self, ship: Ship
    ) -> None:
        ship.gadget.hk.calls = None  # type: ignore[assignment]
        ship.wait(25)
        assert ship.housekeeping() == []
        ship.wait(10)
        assert [at for at, _ in ship.housekeeping(TELEMETRY)] == [30.0]
        (held,) = ship.events(ship.sender, "housekeeping_held")
        assert held[0] == GADGET

    def test_its_own_shows_what_the_downlink_counted(self, ship: Ship) -> None:
        ship.wait(10)
        hk = ship.sender.component.hk
        assert (hk.dropped, hk.stations, hk.suppressed) == (0, 0, 0)
        assert hk.packets > 0


class TestTimeReports:
    def reports(self, ship: Ship) -> list[tuple[int, int]]:
        """(seconds since the start, exponent) of the time reports since the last call."""
        found = [reports.parse_time_packet(p) for p in ship.received() if p[:2] == b"\0\0"]
        return [((time - START) // SECOND, exponent) for exponent, time in found]

    def test_time_is_reported_every_sixteen_seconds(self, ship: Ship) -> None:
        ship.wait(40)
        assert self.reports(ship) == [(0, 4), (16, 4), (32, 4)]

    def test_ground_sets_the_rate(self, ship: Ship) -> None:
        assert ship.ends_well(ship.request(9, 1, b"\x02", apid=TELEMETRY))
        ship.wait(9)
        assert [exponent for _, exponent in self.reports(ship)] == [2, 2, 2]
        assert ship.sender.component.parameters.time_exponent == 2

    def test_the_parameter_sets_it_as_well(self, ship: Ship) -> None:
        ship.request(20, 3, bytes.fromhex("01 0000 03"), apid=TELEMETRY)
        ship.wait(9)
        assert [exponent for _, exponent in self.reports(ship)] == [3, 3]

    @pytest.mark.parametrize(
        ("body", "code"),
        [
            (b"", FailureCode.ARGUMENT_LENGTH),
            (b"\1\1", FailureCode.ARGUMENT_LENGTH),
            (b"\x09", FailureCode.ARGUMENT_RANGE),
        ],
    )
    def test_a_bad_rate_is_refused(self, ship: Ship, body: bytes, code: FailureCode) -> None:
        assert ship.failure(ship.request(9, 1, body, apid=TELEMETRY))[0] is code


class TestEvents:
    def flood(self, ship: Ship, count: int) -> None:
        for _ in range(count):
            ship.downlink.event(GADGET, 1, Severity.LOW, b"\1")

    @pytest.mark.verifies("VA-TLM-03")
    def test_what_was_held_back_is_announced_once_with_its_number(self, ship: Ship) -> None:
        self.flood(ship, 40)
        ship.wait(25)
        assert ship.events(ship.sender, "events_suppressed") == [(GADGET, 1, 8)]

    @pytest.mark.verifies("VA-TLM-03")
    def test_ground_disables_and_enables_an_event(self, ship: Ship) -> None:
        assert ship.ends_well(ship.request(5, 6, reports.event_numbers([1])))
        self.flood(ship, 3)
        assert ship.downlink.filter.total_suppressed == 3
        assert ship.ends_well(ship.request(5, 5, reports.event_numbers([1])))
        self.flood(ship, 3)
        assert ship.downlink.filter.total_suppressed == 3

    @pytest.mark.parametrize(
        ("body", "code", "says"),
        [
            (reports.event_numbers([1, 9]), FailureCode.NOT_FOUND, "no event 9; known are [1]"),
            (b"\2\0\1", FailureCode.ARGUMENT_LENGTH, "give a count octet"),
            (b"", FailureCode.ARGUMENT_LENGTH, "give a count octet"),
        ],
    )
    def test_a_bad_list_of_events_is_refused(
        self, ship: Ship, body: bytes, code: FailureCode, says: str
    ) -> None:
        found = ship.failure(ship.request(5, 6, body))
        assert found[0] is code
        assert says in found[1]

    def test_a_station_silent_for_ten_minutes_is_said_to_be_forgotten(self, ship: Ship) -> None:
        ship.station(4)
        ship.wait(FORGET_STATION / SECOND + 20)
        assert (4,) in ship.events(ship.sender, "station_forgotten")
