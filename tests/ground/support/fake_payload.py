"""A payload for tests, made from icd alone: a ROUTER that verifies telecommands and answers."""

from __future__ import annotations

import threading
import zlib
from collections import Counter, deque
from collections.abc import Callable
from typing import Any

import zmq

from icd import identity, link, reports, telecommand, telemetry
from icd.codec import Codec
from icd.dictionary import Dictionary
from icd.identity import Identity
from icd.link import Heartbeat, Kind, LinkMessage
from icd.reports import Service, Stage
from icd.telecommand import Telecommand
from tests.ground.support.dictionaries import DICTIONARY

KEY = bytes(range(32))
NOW = 2_000_000_000_000_000_000


class FakePayload:
    """Runs in a thread of its own; `close` it. Commands get every stage unless a handler of
    `handlers` (by full name) says otherwise."""

    def __init__(
        self,
        payload_id: int = 1,
        endpoint: str = "tcp://127.0.0.1:*",
        dictionary: Dictionary = DICTIONARY,
        ceiling: int = 0,
        boot_count: int = 1,
    ) -> None:
        self.payload_id, self.dictionary, self.boot_count = payload_id, dictionary, boot_count
        self.last_sequence = ceiling
        self.rejected: Counter[str] = Counter()
        self.taken: list[tuple[str, tuple[Any, ...]]] = []
        self.handlers: dict[str, Callable[[Telecommand, tuple[Any, ...]], None]] = {}
        self.files: dict[str, bytes] = {}
        self.puts: dict[int, dict[str, Any]] = {}
        self.gets: dict[int, bytes] = {}
        self.lose: Callable[[str, int], bool] = lambda _kind, _number: False
        self.double: Callable[[str, int], bool] = lambda _kind, _number: False
        self._numbers: Counter[str] = Counter()
        self._counts: Counter[int] = Counter()
        self._stations: dict[int, list[Any]] = {}
        self._outbox: deque[Callable[[], None]] = deque()
        self._commands = {
            (component.apid, entry.opcode): (
                f"{component.name}.{entry.name}",
                Codec(entry.arguments),
                Codec(entry.results),
            )
            for component in dictionary.components
            for entry in component.commands
        }
        self._context: zmq.Context[Any] = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.IPV6, int("[" in endpoint))
        self._socket.bind(endpoint)
        self.endpoint = self._socket.getsockopt_string(zmq.LAST_ENDPOINT)
        self._wake, self._waker = self._pair()
        self._lock = threading.Lock()
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name="fake payload")
        self._thread.start()

    def _pair(self) -> tuple[Any, Any]:
        one, other = self._context.socket(zmq.PAIR), self._context.socket(zmq.PAIR)
        one.bind(f"inproc://wake-{id(self)}")
        other.connect(f"inproc://wake-{id(self)}")
        return one, other

    def close(self) -> None:
        if self._thread.is_alive():
            self.do(lambda: setattr(self, "_is_closed", True))
            self._thread.join()
        self._context.destroy(linger=0)

    def do(self, work: Callable[[], None]) -> None:
        """Have the payload's thread do something."""
        with self._lock:
            self._outbox.append(work)
            self._waker.send(b"")

    def _run(self) -> None:
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        poller.register(self._wake, zmq.POLLIN)
        while not self._is_closed:
            ready = dict(poller.poll(1000))
            if self._wake in ready:
                self._wake.recv()
                self._outbox.popleft()()
            if self._socket in ready:
                self._take(*self._socket.recv_multipart())

    # ---- from the link

    def _take(self, routing: bytes, octets: bytes) -> None:
        message, mac = link.unpack(octets)
        if message.payload_id != self.payload_id:
            self.rejected["payload"] += 1
        elif message.key_slot and not (mac and link.verify(octets, KEY)):
            self.rejected["mac"] += 1
        elif message.sequence <= self.last_sequence:
            self.rejected["replay"] += 1
        else:
            self.last_sequence = message.sequence
            if message.kind is Kind.HEARTBEAT:
                self._heard(routing, Heartbeat(*link.HEARTBEAT.unpack(message.body)))
            else:
                self._obey(telecommand.parse(message.body))

    def _heard(self, routing: bytes, beat: Heartbeat) -> None:
        station = self._stations.setdefault(beat.station, [b"", 0])
        if station[0] != routing:
            station[:] = [routing, beat.received]
        who = Identity(
            self.payload_id,
            self.boot_count,
            "fake",
            self.dictionary.wire_hash,
            self.dictionary.text_hash,
        )
        packet = identity.build(who, 0)
        message = LinkMessage(Kind.IDENTITY, self.payload_id, 0, 0, packet)
        self._socket.send_multipart([routing, link.pack(message)])

    def _obey(self, tc: Telecommand) -> None:
        if tc.service != Service.FUNCTION:
            self.taken.append((f"{tc.service},{tc.subtype}", (tc.data,)))
            if (tc.service, tc.subtype) == (Service.PARAMETER, reports.PARAMETER_REPORT_REQUEST):
                packed = b"\2" + Codec(self.dictionary.component("board").parameters).pack((1.5, 4))
                subtype = reports.PARAMETER_REPORT
                self.report(tc.apid, Service.PARAMETER, subtype, packed, tc.source)
            self.stages(tc, Stage.ACCEPTED, Stage.STARTED, Stage.COMPLETED)
            return
        name, arguments, results = self._commands[tc.apid, tc.data[0]]
        values = arguments.unpack(tc.data[1:])
        self.taken.append((name, values))
        handler = self.handlers.get(name) or getattr(self, name.replace(".", "_"), None)
        if handler is not None:
            handler(tc, values)
        else:
            self.complete(tc, *(0 for _ in results.fields))

    # ---- answers

    def stages(self, tc: Telecommand, *stages: Stage, reason: str = "", step: int = 0) -> None:
        """Report stages that the source asked for; failures always."""
        wanted = {1: 8, 3: 4, 5: 2, 7: 1}
        for stage in stages:
            if stage.is_failure or tc.ack & wanted[int(stage)]:
                body = reports.verification(stage, tc.request_id, step=step, code=40, reason=reason)
                self.report(1, Service.VERIFICATION, stage, body, tc.source)

    def complete(self, tc: Telecommand, *result: Any) -> None:
        """Accept, start, give the result, complete."""
        self.stages(tc, Stage.ACCEPTED, Stage.STARTED)
        _, _, results = self._commands[tc.apid, tc.data[0]]
        if results.fields:
            body = reports.result(tc.request_id, tc.data[0], results.pack(result))
            self.report(1, Service.FUNCTION, reports.FUNCTION_RESULT, body, tc.source)
        self.stages(tc, Stage.COMPLETED)

    def fail(self, tc: Telecommand, reason: str) -> None:
        self.stages(tc, Stage.ACCEPTED, Stage.STARTED)
        self.stages(tc, Stage.FAILED, reason=reason)

    def report(self, apid: int, service: int, subtype: int, body: bytes, to: int = 0) -> None:
        """Send one telemetry packet to all stations, from the payload's own thread."""
        count = self._counts[apid]
        self._counts[apid] = count + 1 & 0x3FFF
        self.raw(telemetry.build(apid, count, service, subtype, body, NOW, destination=to))

    def raw(self, packet: bytes) -> None:
        for station in self._stations.values():
            station[1] += 1
            message = LinkMessage(Kind.TELEMETRY, self.payload_id, 0, station[1], packet)
            self._socket.send_multipart([station[0], link.pack(message)])

    def octets(self, octets: bytes) -> None:
        """Send any octets as one message."""
        for station in self._stations.values():
            self._socket.send_multipart([station[0], octets])

    def component_report(self, name: str, *values: Any) -> None:
        """Send a component report by its full name."""
        owner, _, report = name.partition(".")
        component = self.dictionary.component(owner)
        entry = next(r for r in component.reports if r.name == report)
        body = reports.numbered(entry.number, Codec(entry.fields).pack(values))
        self.report(component.apid, Service.COMPONENT_REPORT, reports.COMPONENT_REPORT, body)

    def housekeeping(self, *values: Any) -> None:
        """Send the board's housekeeping."""
        component = self.dictionary.component("board")
        body = reports.housekeeping(Codec(component.housekeeping).pack(values))
        self.report(4, Service.HOUSEKEEPING, reports.HK_REPORT, body)

    def event(self, name: str, *values: Any) -> None:
        """Send an event by its full name."""
        owner, _, event = name.partition(".")
        component = self.dictionary.component(owner)
        entry = next(e for e in component.events if e.name == event)
        body = reports.numbered(entry.number, Codec(entry.arguments).pack(values))
        self.report(component.apid, Service.EVENT, entry.severity, body)

    # ---- the file store

    def _chance(self, kind: str) -> int:
        """How many times this one gets through: 0, 1 or 2."""
        self._numbers[kind] += 1
        number = self._numbers[kind]
        return 0 if self.lose(kind, number) else 2 if self.double(kind, number) else 1

    def files_put_begin(self, tc: Telecommand, values: tuple[Any, ...]) -> None:
        transaction, path, size, crc32 = values
        self.puts[transaction] = {"path": path, "size": size, "crc32": crc32, "data": bytearray()}
        self.complete(tc)

    def files_put_segment(self, tc: Telecommand, values: tuple[Any, ...]) -> None:
        transaction, offset, data = values
        for _ in range(self._chance("put")):
            put = self.puts.get(transaction)
            if put is None:
                self.fail(tc, "no such transaction")
            elif offset > len(put["data"]):
                self.fail(tc, f"octet {len(put['data'])} is next")
            else:
                put["data"][offset : offset + len(data)] = data
                self.complete(tc)

    def files_put_status(self, tc: Telecommand, values: tuple[Any, ...]) -> None:
        put = self.puts.get(values[0])
        if put is None:
            self.fail(tc, "no such transaction")
        else:
            self.complete(tc, len(put["data"]))

    def files_put_end(self, tc: Telecommand, values: tuple[Any, ...]) -> None:
        put = self.puts.pop(values[0], None)
        if put is None or zlib.crc32(put["data"]) != put["crc32"]:
            self.fail(tc, "the checksum does not match")
        else:
            self.files[put["path"]] = bytes(put["data"])
            self.complete(tc)

    def files_get_begin(self, tc: Telecommand, values: tuple[Any, ...]) -> None:
        transaction, path, offset = values
        if path not in self.files:
            self.fail(tc, f"no file {path}")
            return
        data = self.gets[transaction] = self.files[path]
        self.complete(tc, len(data), zlib.crc32(data))
        self._send_range(transaction, offset, len(data))

    def files_get_more(self, tc: Telecommand, values: tuple[Any, ...]) -> None:
        transaction, offset, length = values
        if transaction not in self.gets:
            self.fail(tc, "no such transaction")
            return
        self.complete(tc)
        self._send_range(transaction, offset, offset + length)

    def _send_range(self, transaction: int, first: int, end: int) -> None:
        data = self.gets[transaction]
        for offset in range(first, min(end, len(data)), 3072):
            segment = data[offset : min(offset + 3072, end)]
            for _ in range(self._chance("get")):
                self.component_report("files.segment", transaction, offset, segment)

    def files_list(self, tc: Telecommand, values: tuple[Any, ...]) -> None:
        self.stages(tc, Stage.ACCEPTED, Stage.STARTED)
        for path, data in self.files.items():
            if path.startswith(values[0]):
                self.component_report("files.entry", path, len(data))
        self.stages(tc, Stage.COMPLETED)
