"""Builds telemetry packets and holds one bounded priority queue a station, paced by its credit."""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable, Iterator

from flight.framework.time_units import SECOND
from flight.link.event_filter import EventFilter
from icd import identity, link, reports, space_packet, telemetry
from icd.dictionary import Severity
from icd.identity import Identity
from icd.link import Heartbeat, Kind, LinkMessage
from icd.reports import Service, Stage

LOSS_OF_SIGNAL = 5 * SECOND
FORGET_STATION = 600 * SECOND
MOST_STATIONS = 16


@enum.unique
class Priority(enum.IntEnum):
    """In the order in which they are sent; each has its own bound."""

    VERIFICATION = 0
    ALERT = 1
    EVENT = 2
    HOUSEKEEPING = 3
    BULK = 4


DEPTH = (2048, 512, 1024, 512, 256)
"""The bound of each priority, in their order."""
_DROPS_OLDEST = (False, False, True, True, False)


class PriorityQueue:
    """Packets by priority. A full level drops its oldest (verification and alerts its newest),
    says so by returning False, and counts it."""

    def __init__(self) -> None:
        self._levels = [deque[bytes]() for _ in Priority]
        self.dropped = [0 for _ in Priority]
        """By priority."""

    def __len__(self) -> int:
        return sum(map(len, self._levels))

    def room(self, priority: Priority) -> int:
        """How many more fit without loss."""
        return DEPTH[priority] - len(self._levels[priority])

    def put(self, priority: Priority, packet: bytes) -> bool:
        """Queue one packet; False when that cost one."""
        level = self._levels[priority]
        if len(level) < DEPTH[priority]:
            level.append(packet)
            return True
        self.dropped[priority] += 1
        if _DROPS_OLDEST[priority]:
            level.popleft()
            level.append(packet)
        return False

    def take(self) -> bytes | None:
        """The oldest packet of the most urgent level."""
        for level in self._levels:
            if level:
                return level.popleft()
        return None

    def put_back(self, packet: bytes) -> None:
        """Return what could not be sent; it goes first next time."""
        self._levels[Priority.VERIFICATION].appendleft(packet)


class Station:
    """One ground station that is or was in contact."""

    def __init__(self, number: int, queue: PriorityQueue) -> None:
        self.number = number
        self.queue = queue
        self.routing = b""
        self.sent = 0
        self.received = 0
        self.window = 0
        self.heard = 0

    @property
    def credit(self) -> int:
        """How many messages may be sent now."""
        return self.window - (self.sent - self.received)


class Downlink:
    """Every packet that leaves the payload: numbered, stamped, queued by priority.

    With no station in contact packets wait, bounded, for the first that comes.
    """

    def __init__(self, payload_id: int, clock: Callable[[], int]) -> None:
        self._payload_id = payload_id
        self._clock = clock
        self._counts: dict[int, int] = {}
        self._backlog = PriorityQueue()
        self._message_counts: dict[int, int] = {}
        self.stations: dict[int, Station] = {}
        self.filter = EventFilter(clock)
        self.dropped = 0
        self.packets = 0

    def send(
        self,
        apid: int,
        service: int,
        subtype: int,
        body: bytes,
        priority: Priority,
        station: int | None = None,
        destination: int = 0,
    ) -> bool:
        """Queue one packet for a station, or for all; False when that cost a packet.

        `destination` is the station whose request it answers; the others may listen.
        """
        kind = service << 8 | subtype
        count = self._message_counts.get(kind, 0)
        self._message_counts[kind] = count + 1 & 0xFFFF
        packet = telemetry.build(
            apid,
            self._count(apid),
            service,
            subtype,
            body,
            self._clock(),
            message_count=count,
            destination=station or destination,
        )
        return self._queue(packet, priority, station)

    def housekeeping(self, apid: int, packed: bytes) -> bool:
        """Queue a housekeeping report."""
        body = reports.housekeeping(packed)
        priority = Priority.HOUSEKEEPING
        return self.send(apid, Service.HOUSEKEEPING, reports.HK_REPORT, body, priority)

    def send_time(self, rate_exponent: int) -> None:
        """Queue a time report."""
        packet = reports.time_packet(
            self._count(space_packet.APID_TIME), rate_exponent, self._clock()
        )
        self._queue(packet, Priority.HOUSEKEEPING, None)

    def event(self, apid: int, number: int, severity: Severity, packed: bytes) -> None:
        """Queue an event report, unless its filter holds it back (HIGH is never held back)."""
        if self.filter.admits(apid, number, severity):
            body = reports.numbered(number, packed)
            urgent = severity >= Severity.MEDIUM
            priority = Priority.ALERT if urgent else Priority.EVENT
            self.send(apid, Service.EVENT, severity, body, priority)

    def report(self, apid: int, number: int, packed: bytes, station: int | None) -> bool:
        """Queue a component report, or return False when there is no room.

        One for all goes out when anybody has room for it; whoever has none loses it, counted: a
        station that takes nothing holds up no other.
        """
        if self.bulk_room(station) < 1:
            return False
        body = reports.numbered(number, packed)
        self.send(
            apid, Service.COMPONENT_REPORT, reports.COMPONENT_REPORT, body, Priority.BULK, station
        )
        return True

    def bulk_room(self, station: int | None) -> int:
        """How many component reports fit now: for that station, or for whoever has most room."""
        return max((q.room(Priority.BULK) for q in self._queues(station)), default=0)

    def verification(self, apid: int, stage: Stage, body: bytes, station: int) -> None:
        """Queue a verification report for the source and everybody who listens."""
        priority = Priority.VERIFICATION
        self.send(apid, Service.VERIFICATION, stage, body, priority, destination=station)

    def answer(self, apid: int, service: int, subtype: int, body: bytes, station: int) -> None:
        """Queue the answer to a request, as urgent as its verification."""
        self.send(apid, service, subtype, body, Priority.VERIFICATION, destination=station)

    def _queues(self, station: int | None) -> list[PriorityQueue]:
        if station is None:
            return [s.queue for s in self.stations.values()] or [self._backlog]
        known = self.stations.get(station)
        return [] if known is None else [known.queue]

    def _count(self, apid: int) -> int:
        count = self._counts.get(apid, 0)
        self._counts[apid] = count + 1 & space_packet.SEQUENCE_MASK
        return count

    def _queue(self, packet: bytes, priority: Priority, station: int | None) -> bool:
        self.packets += 1
        lost = 0
        for queue in self._queues(station):
            lost += not queue.put(priority, packet)
        self.dropped += lost
        return not lost

    def heard(self, routing: bytes, beat: Heartbeat, now: int) -> bool:
        """A station's heartbeat: note its credit. False when there is no place for one more."""
        station = self.stations.get(beat.station)
        if station is None:
            if len(self.stations) >= MOST_STATIONS:
                return False
            queue = PriorityQueue() if self.stations else self._backlog
            station = self.stations[beat.station] = Station(beat.station, queue)
        if routing != station.routing:
            station.routing, station.sent = routing, beat.received
        station.received = min(beat.received, station.sent)
        station.window = beat.window
        station.heard = now
        return True

    def forget_silent(self, now: int) -> list[int]:
        """Forget stations not heard for ten minutes; the last one's queue is the backlog again."""
        gone = [s for s in self.stations.values() if now - s.heard > FORGET_STATION]
        for station in gone:
            del self.stations[station.number]
            if self.stations:
                self.dropped += len(station.queue)
            else:
                self._backlog = station.queue
        return [station.number for station in gone]

    def in_contact(self, now: int) -> int:
        """How many stations were heard in the last five seconds."""
        return sum(now - s.heard <= LOSS_OF_SIGNAL for s in self.stations.values())

    def waiting(self) -> int:
        """Packets that wait in all queues."""
        return sum(len(s.queue) for s in self.stations.values()) or len(self._backlog)

    def outgoing(self, now: int) -> Iterator[tuple[Station, bytes, bytes]]:
        """(station, packet, link message) for all that credit allows now."""
        for station in list(self.stations.values()):
            if now - station.heard > LOSS_OF_SIGNAL:
                continue
            while station.credit > 0 and (packet := station.queue.take()) is not None:
                message = LinkMessage(
                    Kind.TELEMETRY, self._payload_id, link.CLEAR, station.sent + 1, packet
                )
                station.sent += 1
                yield station, packet, link.pack(message)

    def not_sent(self, station: Station, packet: bytes) -> None:
        """The transport did not take it: it goes first after the station's next heartbeat, and
        until then nothing else goes there, so that a station that is gone holds up no other."""
        station.sent -= 1
        station.window = 0
        station.queue.put_back(packet)

    def identity_message(self, who: Identity) -> bytes:
        """The link message that answers a heartbeat."""
        packet = identity.build(who, self._count(space_packet.APID_IDENTITY))
        return link.pack(LinkMessage(Kind.IDENTITY, self._payload_id, link.CLEAR, 0, packet))
