"""Speed of the executive's hot paths, against the goals of the design, and of simulated time.

Goals: a telecommand decoded and dispatched to its method 6 us (HMAC beside it), an event 10 us, a
housekeeping packet 15 us, a simulated idle day 5 s.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flight.deployment.simulated import KEY, STATION, SimulatedPayload
from flight.framework.executive import Executive, RateGroup
from flight.framework.ports import Port
from flight.framework.time_units import SECOND
from flight.link.downlink import Downlink
from icd import link, reports, telecommand
from icd.dictionary import Severity
from icd.link import Heartbeat, Kind, LinkMessage
from icd.reports import Stage
from tests.flight.support.small_executive import GADGET, START, Craft, Gadget

PAINT = reports.function(2, b"\x02")
ADD = reports.function(1, b"\x00\x02\x00\x03")
BETWEEN_RUNS = 64
"""Telecommands between two runs of the command handler's own rate group."""


class Quiet(Craft):
    """The small craft, whose reports are counted and thrown away."""

    reported = 0

    def verification(self, _apid: int, _stage: Stage, _body: bytes, _station: int) -> None:
        self.reported += 1

    def answer(self, *_: Any) -> None:
        self.reported += 1


class Reporting(Craft):
    """The small craft, whose telemetry goes through a real downlink to one station."""

    def __init__(self) -> None:
        self.downlink = Downlink(1, lambda: START)
        self.downlink.heard(b"s", Heartbeat(1, 0, 1 << 40), START)
        super().__init__()

    def verification(self, apid: int, stage: Stage, body: bytes, station: int) -> None:
        self.downlink.verification(apid, stage, body, station)

    def answer(self, apid: int, service: int, subtype: int, body: bytes, station: int) -> None:
        self.downlink.answer(apid, service, subtype, body, station)

    def event(self, apid: int, number: int, severity: Severity, packed: bytes) -> None:
        self.downlink.event(apid, number, severity, packed)

    def flush(self) -> None:
        """Let the station have what waits, so that no queue fills."""
        for _ in self.downlink.outgoing(START):
            pass


def commanding(craft: Craft, body: bytes, ack: int) -> Callable[[], None]:
    """From the octets of a telecommand to the end of its method and its account."""
    packet = telecommand.build(GADGET, 5, 8, 1, body, source=1, ack=ack)
    handler, executive = craft.handler, craft.executive
    executive.now = START
    taken = 0

    def take() -> None:
        nonlocal taken
        handler.take(packet, 1)
        executive.drain()
        taken += 1
        if taken % BETWEEN_RUNS == 0:
            handler.run(START)

    return take


def test_telecommand_decoded_dispatched_and_carried_out(benchmark: Any, goal: Any) -> None:
    """Goal: 6 us. One argument, an enumeration; no report asked for."""
    craft = Quiet()
    benchmark(commanding(craft, PAINT, ack=0))
    assert craft.handler.hk.completed > 1000
    assert craft.handler.hk.pending == 0
    goal("telecommand decoded and dispatched", _us(benchmark), at_most=6, unit="us")


def test_telecommand_with_a_result(benchmark: Any) -> None:
    """Two integers with a range, and a result report."""
    craft = Quiet()
    benchmark(commanding(craft, ADD, ack=0))
    assert craft.reported > 1000


def test_telecommand_with_all_its_reports_made_and_sent(benchmark: Any) -> None:
    craft = Reporting()
    take = commanding(craft, PAINT, ack=15)

    def once() -> None:
        take()
        craft.flush()

    benchmark(once)
    assert craft.downlink.packets > 3000
    assert craft.downlink.dropped == 0


def test_telecommand_through_the_authenticated_link(benchmark: Any) -> None:
    """The whole way of the deployed executive: MAC, anti-replay, ping, pong, three reports."""
    payload = SimulatedPayload()
    payload.advance(1)
    payload.contact()
    deployment = payload.deployment
    ping = telecommand.build(1, 0, 17, 1, source=STATION)
    frames = [
        link.pack(LinkMessage(Kind.TELECOMMAND, 1, STATION, 2 + n, ping), KEY)
        for n in range(20_000)
    ]
    left = iter(frames)

    def once() -> None:
        deployment.link.receive(b"s", next(left))
        payload.storage.settle()
        for _ in deployment.downlink.outgoing(payload.now):
            pass

    benchmark.pedantic(once, rounds=15_000)
    assert deployment.downlink.dropped == 0


def test_event(benchmark: Any, goal: Any) -> None:
    """Goal: 10 us, from the call to the queue. It is not held back: HIGH never is."""
    craft = Reporting()
    downlink, packed = craft.downlink, b"\x07" + b"something happened".ljust(128, b"\0")

    def send() -> None:
        downlink.event(GADGET, 1, Severity.HIGH, packed)
        downlink.stations[1].queue.take()

    benchmark(send)
    assert downlink.dropped == 0
    goal("event", _us(benchmark), at_most=10, unit="us")


def test_event_method_called_with_its_arguments(benchmark: Any) -> None:
    """Goal: 10 us, the packing of a number and a text of 128 octets included."""
    craft = Reporting()
    noted, station = craft.gadget.noted, craft.downlink.stations[1]
    full_at = craft.downlink.filter._full_at

    def send() -> None:
        noted(7, "something happened")
        full_at.clear()
        station.queue.take()

    benchmark(send)
    assert craft.downlink.filter.total_suppressed == 0


def test_housekeeping_packet(benchmark: Any, goal: Any) -> None:
    """Goal: 15 us. The command handler's twelve fields, packed, stamped and queued."""
    craft = Reporting()
    handler, downlink = craft.handler, craft.downlink
    station = downlink.stations[1]

    def send() -> None:
        downlink.housekeeping(1, handler.housekeeping())
        station.queue.take()

    benchmark(send)
    assert downlink.dropped == 0
    goal("housekeeping packet", _us(benchmark), at_most=15, unit="us")


def test_idle_step_of_seven_components(benchmark: Any) -> None:
    """One cycle of a rate group in which every component runs and does nothing."""
    executive = Executive(Downlink(1, lambda: START))
    calls: list[tuple[Any, ...]] = []

    def build(port: Port) -> Gadget:
        gadget = Gadget(port, calls)
        gadget.run = lambda now: now + 1  # type: ignore[method-assign]
        return gadget

    for apid in range(7):
        executive.plug(f"part-{apid}", apid, build, RateGroup("fast", SECOND // 10))
    now = START

    def step() -> None:
        nonlocal now
        now = executive.step(now)

    benchmark(step)
    assert executive.ends_because is None


def test_a_simulated_idle_hour(benchmark: Any, goal: Any) -> None:
    """Goal: 5 s a day, so 0.21 s an hour."""
    payload = SimulatedPayload()
    payload.advance(60)

    def hour() -> None:
        benchmark.extra_info["steps"] = payload.advance(3600)
        payload.contact()
        payload.packets.clear()

    benchmark.pedantic(hour, rounds=5)
    day = 24 * benchmark.stats.stats.median
    goal("simulated idle day of the executive", day, at_most=5, unit="s")


def _us(benchmark: Any) -> float:
    return float(benchmark.stats.stats.median * 1e6)
