"""One payload as ground knows it: its link, decoder, current values, events and telecommands."""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ground.errors import CommandRefused
from ground.server import archive as tables
from ground.server.archive import Archive
from ground.server.commanding import Catalogue, Request
from ground.server.decode import Decoded, Decoder, Plan, Quality, body_of
from ground.server.dictionaries import DictionaryStore
from ground.server.gaps import ApidGaps
from ground.server.link import PayloadLink
from ground.server.verification import CommandRecord, Tracker
from ground.server.wakeup import Wakeup
from icd import reports, telecommand
from icd.dictionary import Dictionary
from icd.identity import Identity
from icd.reports import Service, Stage
from icd.space_packet import PacketError
from icd.telecommand import Ack

EVENTS_KEPT = 10_000
REPORTS_KEPT = 4096
MOST_PENDING = 4096
_VERIFICATION, _EVENT, _FUNCTION, _REPORT = (
    int(Service.VERIFICATION),
    int(Service.EVENT),
    int(Service.FUNCTION),
    int(Service.COMPONENT_REPORT),
)
_HK = int(Service.HOUSEKEEPING)
_DAMAGED = int(Quality.DAMAGED)
_LAST_COUNT = 0x3FFF
_new = tuple.__new__
_STAGES = {stage.value: stage for stage in Stage}


@dataclass
class Numbers:
    """What all payloads of a server share, and what goes on after a restart."""

    wall_ns: Callable[[], int]
    cursor: int = 1
    command_id: int = 1
    counts: dict[tuple[int, int], int] = field(default_factory=dict)


class Latest(NamedTuple):
    """The last packet of its kind: when it came, and what was in it."""

    cursor: int
    received_ns: int
    decoded: Decoded


class Payload:
    """Everything about one payload. Packets go in by `ingest`, telecommands out by `send`."""

    def __init__(
        self,
        name: str,
        payload_id: int,
        archive: Archive,
        numbers: Numbers,
        dictionaries: DictionaryStore,
        published: Callable[[str, str, dict[str, Any]], None],
    ) -> None:
        self.name, self.payload_id = name, payload_id
        self.link: PayloadLink | None = None
        self.identity: Identity | None = None
        self.dictionary: Dictionary | None = None
        self.decoder = Decoder()
        self.catalogue = Catalogue(None)
        self.gaps = ApidGaps()
        self.changed = Wakeup()
        self.housekeeping: dict[str, Latest] = {}
        self.parameters: dict[str, Latest] = {}
        self.events: deque[dict[str, Any]] = deque(maxlen=EVENTS_KEPT)
        self.reports: deque[tuple[int, int, Decoded]] = deque(maxlen=REPORTS_KEPT)
        self.tables: dict[str, dict[Any, tuple[int, Decoded]]] = {}
        self.qualities: Counter[str] = Counter()
        self.packets = 0
        self.boots_seen = 0
        self.tracker = Tracker(self._command_changed)
        self.records: dict[int, CommandRecord] = {}
        self._archive, self.numbers = archive, numbers
        self._first_cursor = numbers.cursor - 1
        self._dictionaries = dictionaries
        self._published = published

    @property
    def events_since(self) -> int:
        """`events` holds every event after this cursor."""
        is_full = len(self.events) == EVENTS_KEPT
        return int(self.events[0]["cursor"]) if is_full else self._first_cursor

    # ---- who it is

    def identified(self, who: Identity) -> None:
        """Take an identity packet: choose the dictionary, note a restart."""
        before, self.identity = self.identity, who
        if self.dictionary is None or before is None or before.wire_hash != who.wire_hash:
            self._choose_dictionary(who)
        if before == who:
            return
        if before is None or before.boot_count != who.boot_count:
            self.gaps.restart()
            self.boots_seen += 1
        row = (self.numbers.wall_ns(), who.payload_id, who.boot_count, who.software,
               who.wire_hash, who.text_hash)  # fmt: skip
        self._archive.add(tables.IDENTITIES, [row])
        self._published(self.name, "identity", who._asdict())
        self.changed.fire()

    def _choose_dictionary(self, who: Identity) -> None:
        found = self._dictionaries.find(who.wire_hash, who.text_hash)
        if found is not self.dictionary:
            self.dictionary = found
            self.decoder = Decoder(found)
            self.catalogue = Catalogue(found)
            self.housekeeping.clear()
            self.changed.fire()

    # ---- telemetry

    def ingest(self, packets: list[bytes]) -> None:
        """Check, decode, count, file and archive packets in the order they came."""
        received_ns = self.numbers.wall_ns()
        cursor = self.numbers.cursor
        decode, counters = self.decoder.decode, self.gaps.counters
        payload_id, name, housekeeping = self.payload_id, self.name, self.housekeeping
        cells: list[Any] = []
        for packet in packets:
            try:
                decoded = decode(packet)
            except PacketError as error:
                self.qualities[f"damaged: {error.fault.value}"] += 1
                cells += (received_ns, cursor, payload_id, None, None, None, None, None,
                          name, _DAMAGED, packet)  # fmt: skip
                cursor += 1
                continue
            apid, count, service, subtype, _, time_ns, quality, plan, _, _ = decoded
            counter = counters.get(apid)
            if counter is not None and counter.expected == count < _LAST_COUNT:
                counter.expected = count + 1
                counter.received += 1
            else:
                self.gaps.see(apid, count)
            cells += (received_ns, cursor, payload_id, time_ns, apid, service, subtype, count,
                      name, quality, packet)  # fmt: skip
            if quality:
                self.qualities[Quality(quality).name.lower()] += 1
            if service == _HK and plan is not None:
                housekeeping[plan.component] = _new(Latest, (cursor, received_ns, decoded))
            else:
                self._file(cursor, received_ns, decoded, packet)
            cursor += 1
        self.packets += len(packets)
        self.numbers.cursor = cursor
        self._archive.add_packets(cells)
        self._published(self.name, "packets", {"count": len(packets)})
        self.changed.fire()

    def _file(self, cursor: int, received_ns: int, decoded: Decoded, packet: bytes) -> None:
        service = decoded.service
        if service == _VERIFICATION:
            self._take_verification(decoded, packet, received_ns)
        elif service == _EVENT:
            self._take_event(cursor, received_ns, decoded)
        elif service == _FUNCTION and decoded.subtype == reports.FUNCTION_RESULT:
            found = self.decoder.result(body_of(packet))
            if found is not None:
                self.tracker.take_result(found[0], decoded.destination, found[1])
        elif decoded.plan is None:
            return
        elif service == _REPORT:
            self._take_report(cursor, decoded.plan, decoded)
        elif decoded.plan.kind == "parameters":
            self.parameters[decoded.plan.component] = Latest(cursor, received_ns, decoded)

    def _take_verification(self, decoded: Decoded, packet: bytes, received_ns: int) -> None:
        stage = _STAGES.get(decoded.subtype)
        if stage is None:
            self.qualities["misfit"] += 1
            return
        try:
            report = reports.parse_verification(stage, body_of(packet))
        except ValueError:
            self.qualities["misfit"] += 1
            return
        self.tracker.verify(stage, report, decoded.destination, received_ns)

    def _take_event(self, cursor: int, received_ns: int, decoded: Decoded) -> None:
        plan = decoded.plan
        if plan is None or plan.event is None:
            return
        shown = plan.named(decoded.values)
        event = {
            "cursor": cursor,
            "payload": self.payload_id,
            "received_ns": received_ns,
            "time_ns": decoded.time_ns,
            "severity": int(plan.event.severity),
            "name": f"{plan.component}.{plan.name}",
            "text": plan.text(decoded.values),
            "arguments": shown,
        }
        self.events.append(event)
        row = (cursor, self.payload_id, received_ns, decoded.time_ns, event["severity"],
               event["name"], event["text"], json.dumps(shown, default=_plain))  # fmt: skip
        self._archive.add(tables.EVENTS, [row])
        self._published(self.name, "event", event)

    def _take_report(self, cursor: int, plan: Plan, decoded: Decoded) -> None:
        name = f"{plan.component}.{plan.name}"
        self.reports.append((cursor, decoded.destination, decoded))
        if decoded.values and not any(f.code == "o" for f in plan.fields):
            table = self.tables.setdefault(name, {})
            table.pop(decoded.values[0], None)
            table[decoded.values[0]] = (cursor, decoded)
            while len(table) > 1000:
                del table[next(iter(table))]

    # ---- questions

    def values(self, component: str | None = None, after: int = 0) -> list[dict[str, Any]]:
        """Current housekeeping values, of one component or all, newer than the cursor `after`."""
        return self._rows(self.housekeeping, component, after)

    def parameter_values(self, component: str, after: int = 0) -> list[dict[str, Any]]:
        """A component's parameters as it last reported them, if that was after the cursor."""
        return self._rows(self.parameters, component, after)

    def _rows(
        self, kept: dict[str, Latest], component: str | None, after: int
    ) -> list[dict[str, Any]]:
        is_alive = self.link is not None and self.link.is_alive
        rows = []
        for name, latest in sorted(kept.items()):
            if component in (None, name) and latest.cursor > after:
                about = {
                    "time_ns": latest.decoded.time_ns,
                    "received_ns": latest.received_ns,
                    "cursor": latest.cursor,
                    "validity": "valid" if is_alive else "stale",
                }
                rows += [row | about for row in latest.decoded.rows()]
        return rows

    def table(self, name: str, after: int = 0) -> list[dict[str, Any]]:
        """The latest row for each key (its first field) of a component report."""
        return [
            {"cursor": cursor, "time_ns": decoded.time_ns} | decoded.plan.named(decoded.values)
            for cursor, decoded in self.tables.get(name, {}).values()
            if cursor > after and decoded.plan is not None
        ]

    def forget_rows(self, name: str, before: int, expected: int) -> None:
        """Drop table rows not told again since a cursor, once all the expected ones were."""
        table = self.tables.get(name, {})
        fresh = {key: row for key, row in table.items() if row[0] > before}
        if len(fresh) >= expected:
            self.tables[name] = fresh

    def reports_after(self, name: str, after: int) -> list[tuple[int, dict[str, Any]]]:
        """(cursor, named values) of the component reports of one name, oldest first."""
        found: list[tuple[int, dict[str, Any]]] = []
        for cursor, destination, decoded in reversed(self.reports):
            if cursor <= after:
                break
            plan = decoded.plan
            if plan is None or f"{plan.component}.{plan.name}" != name:
                continue
            if destination in (0, self.station):
                found.append((cursor, plan.named(decoded.values)))
        return found[::-1]

    def has_report_after(self, name: str, after: int) -> bool:
        """Whether a component report of that name came after a cursor."""
        for cursor, _, decoded in reversed(self.reports):
            if cursor <= after:
                return False
            if decoded.plan is not None and f"{decoded.plan.component}.{decoded.plan.name}" == name:
                return True
        return False

    @property
    def station(self) -> int:
        return self.link.settings.station if self.link else 0

    # ---- telecommands

    def request(self, name: str, arguments: Mapping[str, Any]) -> Request:
        """Check a command against the dictionary; raises CommandRefused."""
        if self.dictionary is None and name not in self.catalogue.known:
            raise CommandRefused(f"{name} cannot be sent: {self.why_no_dictionary()}")
        return self.catalogue.request(name, arguments)

    def why_no_dictionary(self) -> str:
        """What to do so that this payload's packets can be decoded."""
        if self.identity is None:
            return f"payload '{self.name}' has not said yet which dictionary it speaks"
        return (
            f"no dictionary with wire hash {self.identity.wire_hash} is known; start the server "
            "with --dictionary FILE of that payload (its flight writes dictionary.json)"
        )

    def send(
        self, request: Request, *, quiet: bool = False, timeout_s: float | None = None
    ) -> CommandRecord:
        """Send a checked telecommand and follow it; raises LinkDown or CommandRefused."""
        if self.link is None or self.tracker.pending >= MOST_PENDING:
            raise CommandRefused(f"{MOST_PENDING} telecommands are under way; wait for some")
        numbers = self.numbers
        now = numbers.wall_ns()
        key = (self.payload_id, request.apid)
        count = (numbers.counts.get(key, -1) + 1) & 0x3FFF
        packet = telecommand.build(
            request.apid,
            count,
            request.service,
            request.subtype,
            request.data,
            source=self.station,
            ack=Ack.COMPLETION if quiet else Ack.ALL,
        )
        deadline = now + int((timeout_s or request.timeout_s) * 1e9)
        record = CommandRecord(
            numbers.command_id, self.payload_id, request.name, request.arguments, request.apid,
            count, self.station, now, deadline, cursor=numbers.cursor - 1,
            has_result=request.has_result, is_quiet=quiet,
        )  # fmt: skip
        record.stages.append(("queued", now))
        numbers.command_id += 1
        self.link.send(packet)
        numbers.counts[key] = count
        self.records[record.id] = record
        while len(self.records) > 2 * MOST_PENDING:
            del self.records[next(iter(self.records))]
        self.tracker.open(record, packet[:4])
        self.tracker.advance(record, "sent", numbers.wall_ns())
        return record

    def resume(self, record: CommandRecord) -> None:
        """Follow on a telecommand that was under way when the server ended."""
        word = 0x1800 | record.apid
        self.records[record.id] = record
        self.tracker.open(record, (word << 16 | 0xC000 | record.count).to_bytes(4, "big"))

    def _command_changed(self, record: CommandRecord) -> None:
        if not record.is_quiet:
            row = (record.id, record.payload, record.apid, record.count, record.name,
                   record.queued_ns, record.state,
                   json.dumps(record.as_dict(), default=_plain))  # fmt: skip
            self._archive.add(tables.COMMANDS, [row])
            self._published(self.name, "command", record.as_dict())
        self.changed.fire()

    def status(self) -> dict[str, Any]:
        """Link, identity, counts: everything an operator asks first."""
        counts = self.link.counts if self.link else None
        return {
            "name": self.name,
            "payload_id": self.payload_id,
            "endpoint": self.link.settings.endpoint if self.link else "",
            "station": self.station,
            "is_alive": bool(self.link and self.link.is_alive),
            "age_s": self.link.age_s if self.link else None,
            "identity": self.identity._asdict() if self.identity else None,
            "has_dictionary": self.dictionary is not None,
            "hint": "" if self.dictionary else self.why_no_dictionary(),
            "packets": self.packets,
            "qualities": dict(self.qualities),
            "link": {} if counts is None else vars(counts) | {"rejected": dict(counts.rejected)},
            "missing": self.gaps.missing,
            "gaps": {str(apid): counted for apid, counted in self.gaps.summary().items()},
            "commands": vars(self.tracker.counts) | {"pending": self.tracker.pending},
            "cursor": self.numbers.cursor - 1,
        }


def _plain(value: Any) -> Any:
    """What JSON lacks: octets as hexadecimal digits."""
    return value.hex() if isinstance(value, bytes) else str(value)
