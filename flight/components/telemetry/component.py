"""Sends housekeeping (periodic, on demand, on change), time reports, and accounts for events."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Protocol

from flight.framework.component import Component, Port, Refused, Severity, event, request
from flight.framework.time_units import SECOND
from flight.link.event_filter import EventFilter
from icd import reports
from icd.failures import FailureCode
from icd.fields import U8, U16, U32, Limits, Text128
from icd.reports import Service

MILLISECOND = 1_000_000
SHORTEST_PERIOD_MS = 100
LONGEST_PERIOD_MS = 86_400_000
SUPPRESSED_EVERY = 10 * SECOND


class Target(Protocol):
    """A plugged-in component, as the telemetry sender sees it."""

    name: str
    apid: int
    is_stopped: bool
    component: Component[Any, Any]


class Outlet(Protocol):
    """The part of the downlink that the telemetry sender needs."""

    dropped: int
    packets: int
    filter: EventFilter

    def housekeeping(self, apid: int, packed: bytes) -> bool: ...

    def send_time(self, rate_exponent: int) -> None: ...

    def in_contact(self, now: int) -> int: ...

    def waiting(self) -> int: ...

    def forget_silent(self, now: int) -> list[int]: ...


@dataclass
class _Structure:
    """When one component's housekeeping is due."""

    target: Target
    period: int
    due: int = 0
    is_enabled: bool = True
    shortest: int = 0
    longest: int = 0
    last: bytes = b""
    sent_at: int = 0
    look: int = 0
    """When to look at it again; 0 after a change of the above."""


@dataclass
class TelemetryHousekeeping:
    packets: Annotated[U32, "packets made since boot"] = 0
    dropped: Annotated[U32, "packets that a full queue cost since boot"] = 0
    waiting: Annotated[U32, "packets that wait for credit or contact"] = 0
    suppressed: Annotated[U32, "events held back by rate or by ground since boot"] = 0
    stations: Annotated[U8, "stations in contact"] = 0


@dataclass(frozen=True)
class TelemetryParameters:
    time_exponent: Annotated[U8, "a time report every 2**n seconds", Limits(0, 8)] = 4


class Telemetry(Component[TelemetryHousekeeping, TelemetryParameters]):
    """Collects the housekeeping of every component when it is due, and reports on-board time."""

    def __init__(
        self,
        port: Port,
        targets: Mapping[int, Target],
        outlet: Outlet,
        period_of: Callable[[str], int],
    ) -> None:
        super().__init__(port)
        self._targets = targets
        self._outlet = outlet
        self._period_of = period_of
        self._structures: dict[int, _Structure] = {}
        self._time_due = 0
        self._suppressed_due = 0

    def start(self, now: int) -> None:
        """Begin with every component's default period (ns), given by the deployment."""
        for target in self._targets.values():
            period = self._period_of(target.name)
            self._structures[target.apid] = _Structure(target, period, now + period)
        self._suppressed_due = now + SUPPRESSED_EVERY

    def run(self, now: int) -> int | None:
        """Send what is due; the time of the next."""
        if now >= self._time_due:
            self._outlet.send_time(self.parameters.time_exponent)
            self._time_due = now + (SECOND << self.parameters.time_exponent)
        if now >= self._suppressed_due:
            self._account(now)
        due = min(self._time_due, self._suppressed_due)
        for structure in self._structures.values():
            if now >= structure.look:
                structure.look = self._step(structure, now)
            if structure.look < due:
                due = structure.look
        return due

    def parameters_changed(self) -> None:
        """Report time at once, and then at the new rate."""
        self._time_due = 0
        self.port.wake()

    def _step(self, structure: _Structure, now: int) -> int:
        if structure.target.is_stopped:
            return now + SECOND
        due = now + 60 * SECOND
        if structure.longest:
            due = self._step_on_change(structure, now)
        if structure.is_enabled:
            if now >= structure.due:
                self._send(structure, now)
                structure.due = max(structure.due + structure.period, now + structure.period // 2)
            due = min(due, structure.due)
        return due

    def _step_on_change(self, structure: _Structure, now: int) -> int:
        packed = self._packed(structure)
        age = now - structure.sent_at
        changed = packed != structure.last and age >= structure.shortest
        if changed or age >= structure.longest:
            self._send(structure, now)
            age = 0
        look = structure.shortest - age if age < structure.shortest else structure.shortest
        return now + min(look, structure.longest - age)

    def _send(self, structure: _Structure, now: int) -> None:
        if structure.target.apid == self.port.apid:
            self._refresh(now)
        packed = self._packed(structure)
        structure.sent_at = now
        if packed is not None:
            structure.last = packed
            self._outlet.housekeeping(structure.target.apid, packed)

    def _packed(self, structure: _Structure) -> bytes | None:
        try:
            return structure.target.component.housekeeping()
        except Exception as error:  # another component's mistake must not cost all telemetry
            structure.is_enabled, structure.longest = False, 0
            self.housekeeping_held(structure.target.apid, f"{type(error).__name__}: {error}")
            return None

    def _refresh(self, now: int) -> None:
        outlet = self._outlet
        self.hk.packets, self.hk.dropped = outlet.packets, outlet.dropped
        self.hk.waiting = outlet.waiting()
        self.hk.suppressed = outlet.filter.total_suppressed
        self.hk.stations = outlet.in_contact(now)

    def _account(self, now: int) -> None:
        self._suppressed_due = now + SUPPRESSED_EVERY
        for (apid, number), count in self._outlet.filter.take_suppressed().items():
            self.events_suppressed(apid, number, count)
        for station in self._outlet.forget_silent(now):
            self.station_forgotten(station)

    def _structure_of(self, apid: int, body: bytes, size: int = 0) -> _Structure:
        expected = reports.structure_request()
        if body[:3] != expected or len(body) != 3 + size:
            raise Refused("give one structure id, 1", FailureCode.ARGUMENT_LENGTH)
        return self._structures[apid]

    @request(Service.HOUSEKEEPING, reports.HK_ENABLE)
    def enable_housekeeping(self, apid: int, body: bytes) -> None:
        """Send a component's housekeeping periodically (3,5)."""
        structure = self._structure_of(apid, body)
        structure.is_enabled, structure.look = True, 0
        structure.due = self.port.clock() + structure.period
        self.port.wake()

    @request(Service.HOUSEKEEPING, reports.HK_DISABLE)
    def disable_housekeeping(self, apid: int, body: bytes) -> None:
        """End a component's periodic housekeeping (3,6)."""
        self._structure_of(apid, body).is_enabled = False

    @request(Service.HOUSEKEEPING, reports.HK_ONE_SHOT)
    def send_housekeeping(self, apid: int, body: bytes) -> None:
        """Send a component's housekeeping once, now (3,27)."""
        self._send(self._structure_of(apid, body), self.port.clock())

    @request(Service.HOUSEKEEPING, reports.HK_PERIOD)
    def change_period(self, apid: int, body: bytes) -> None:
        """Change the period of a component's housekeeping (3,31), in milliseconds."""
        structure = self._structure_of(apid, body, size=4)
        period = _milliseconds(body[3:7])
        structure.period, structure.look = period, 0
        structure.due = self.port.clock() + period
        self.port.wake()

    @request(Service.HOUSEKEEPING, reports.HK_ON_CHANGE)
    def send_on_change(self, apid: int, body: bytes) -> None:
        """Send a component's housekeeping when it changes (3,128); 0, 0 ends that."""
        structure = self._structures[apid]
        if len(body) != 10 or body[:2] != reports.housekeeping(b""):
            raise Refused(
                "give structure id 1, shortest ms, longest ms", FailureCode.ARGUMENT_LENGTH
            )
        if not any(body[2:]):
            structure.longest = 0
            return
        shortest, longest = _milliseconds(body[2:6]), _milliseconds(body[6:10])
        if longest < shortest:
            raise Refused("the longest interval is below the shortest", FailureCode.ARGUMENT_RANGE)
        structure.shortest, structure.longest, structure.look = shortest, longest, 0
        self.port.wake()

    @request(Service.EVENT, reports.EVENT_ENABLE)
    def enable_events(self, apid: int, body: bytes) -> None:
        """Let events of a component pass (5,5)."""
        self._switch_events(apid, body, on=True)

    @request(Service.EVENT, reports.EVENT_DISABLE)
    def disable_events(self, apid: int, body: bytes) -> None:
        """Hold events of a component back (5,6); HIGH ones always pass."""
        self._switch_events(apid, body, on=False)

    def _switch_events(self, apid: int, body: bytes, *, on: bool) -> None:
        known = {entry.number for entry in self._targets[apid].component.declaration.events}
        try:
            numbers = reports.parse_event_numbers(body)
        except ValueError as error:
            raise Refused(str(error), FailureCode.ARGUMENT_LENGTH) from None
        if unknown := set(numbers) - known:
            raise Refused(
                f"no event {min(unknown)}; known are {sorted(known)}", FailureCode.NOT_FOUND
            )
        for number in numbers:
            self._outlet.filter.enable(apid, number, on)

    @request(Service.TIME, reports.TIME_SET_RATE)
    def set_time_rate(self, apid: int, body: bytes) -> None:  # noqa: ARG002
        """Send a time report every 2**n seconds (9,1), n from 0 to 8."""
        if len(body) != 1:
            raise Refused("give one octet, the exponent 0 … 8", FailureCode.ARGUMENT_LENGTH)
        self.set_parameters([(0, body[0])])

    @event(1, Severity.LOW)
    def events_suppressed(self, apid: U16, number: U16, count: U32) -> None:
        """{count} events {number} of APID {apid} were held back."""

    @event(3, Severity.MEDIUM)
    def housekeeping_held(self, apid: U16, error: Text128) -> None:
        """Housekeeping of APID {apid} cannot be packed and is disabled: {error}."""

    @event(2, Severity.INFO)
    def station_forgotten(self, station: U16) -> None:
        """Station {station} was silent for ten minutes and is forgotten."""


def _milliseconds(octets: bytes) -> int:
    value = int.from_bytes(octets, "big")
    if not SHORTEST_PERIOD_MS <= value <= LONGEST_PERIOD_MS:
        raise Refused(
            f"{value} ms; give {SHORTEST_PERIOD_MS} … {LONGEST_PERIOD_MS} ms",
            FailureCode.ARGUMENT_RANGE,
        )
    return value * MILLISECOND
