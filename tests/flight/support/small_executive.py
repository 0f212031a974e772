"""A small craft for tests of the core: the real executive and command handler, and a gadget that
does, refuses, defers and raises on command; what it sends is kept and taken apart."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any

from flight.components.commanding.component import CommandHandler
from flight.components.executive_monitor.component import ExecutiveMonitor, NoMeter
from flight.framework.component import (
    Component,
    FailureCode,
    Mode,
    Pending,
    Port,
    Refused,
    Severity,
    command,
    event,
    request,
)
from flight.framework.executive import Executive, RateGroup, Slot
from flight.framework.modes import Modes
from flight.framework.time_units import SECOND
from flight.framework.work_queue import WhenFull
from icd import reports, telecommand
from icd.codec import Codec
from icd.fields import F32, U8, U16, U32, Limits, Segment, Text128, Unit
from icd.reports import Service, Stage, Verification

COMMANDS, GADGET, MONITOR = 1, 9, 7
START = 2_000_000_000 * SECOND
PERIOD = SECOND // 10


class Colour(enum.IntEnum):
    RED = 1
    BLUE = 2


@dataclass
class GadgetHousekeeping:
    calls: Annotated[U32, "commands carried out"] = 0


@dataclass(frozen=True)
class GadgetParameters:
    gain: Annotated[F32, "amplification", Limits(0.0, 10.0)] = 1.0
    colour: Annotated[Colour, "colour"] = Colour.RED
    note: Annotated[U16, "seven makes parameters_changed raise"] = 0


@dataclass
class Sum:
    total: U32


class Gadget(Component[GadgetHousekeeping, GadgetParameters]):
    """Does what tests need."""

    def __init__(self, port: Port, calls: list[tuple[Any, ...]]) -> None:
        super().__init__(port)
        self.calls = calls
        self.waiting: list[Pending[Any]] = []
        self.runs: list[int] = []
        self.next_run: int | None = None
        self.raises_in_run = False

    def start(self, now: int) -> None:
        self.calls.append(("start", now))

    def run(self, now: int) -> int | None:
        self.runs.append(now)
        if self.raises_in_run:
            raise RuntimeError("in run")
        return self.next_run

    def parameters_changed(self) -> None:
        if self.parameters.note == 7:
            raise RuntimeError("seven")

    @command(1)
    def add(self, one: Annotated[U16, "a", Unit("m"), Limits(1, 100)], other: U16) -> Sum:
        """Add two numbers."""
        self.calls.append(("add", one, other))
        return Sum(one + other)

    @command(2)
    def paint(self, colour: Colour) -> None:
        """Paint it."""
        self.calls.append(("paint", colour))

    @command(3, timeout_s=2.0)
    def later(self) -> Pending[Sum]:
        """Answer later."""
        self.calls.append(("later",))
        self.waiting.append(self.defer())
        return self.waiting[-1]

    @command(4)
    def refuse(self) -> None:
        """Refuse."""
        raise Refused("not now; wait", FailureCode.NOT_FOUND)

    @command(5)
    def explode(self) -> None:
        """Raise."""
        raise RuntimeError("boom")

    @command(6, critical=True)
    def fire(self) -> None:
        """Only when armed."""
        self.calls.append(("fire",))

    @command(7, modes=(Mode.NOMINAL,))
    def work(self) -> None:
        """Only in nominal mode."""
        self.calls.append(("work",))

    @command(8)
    def load(self, data: Segment) -> None:
        """Take octets."""
        self.calls.append(("load", data))

    @command(9)
    def answer_badly(self) -> Sum:
        """Give back something without its declared field."""
        return None  # type: ignore[return-value]

    @request(200, 1)
    def custom(self, apid: int, body: bytes) -> None:
        """A request of a service of its own."""
        self.calls.append(("custom", apid, body))

    @event(1, Severity.INFO)
    def noted(self, number: U8, text: Text128) -> None:
        """Noted {number}: {text}."""


@dataclass(frozen=True)
class Sent:
    """One report that left the command handler."""

    service: int
    subtype: int
    body: bytes
    station: int

    @property
    def verification(self) -> Verification:
        return reports.parse_verification(Stage(self.subtype), self.body)


class Craft:
    """The executive with command handler, gadget and monitor, on a clock moved by hand."""

    def __init__(
        self,
        *,
        depth: int = 64,
        when_full: WhenFull = WhenFull.REJECT_NEW,
        observers: Iterable[int] = (),
    ) -> None:
        self.sent: list[Sent] = []
        self.told: list[tuple[int, int, Severity, bytes]] = []
        self.calls: list[tuple[Any, ...]] = []
        self.modes = Modes()
        self.executive = executive = Executive(self)
        self._count = -1
        fast, slots = RateGroup("fast", PERIOD), executive.slots

        self.commands = executive.plug(
            "commands",
            COMMANDS,
            lambda port: CommandHandler(port, slots, self, self.modes, observers),
            fast,
            is_critical=True,
        )
        self.slot = executive.plug(
            "gadget",
            GADGET,
            lambda port: Gadget(port, self.calls),
            fast,
            depth=depth,
            when_full=when_full,
        )
        self.monitor_slot = executive.plug("executive", MONITOR, self._monitor, fast)
        self.now = START
        executive.start(self.now)
        executive.step(self.now)

    def _monitor(self, port: Port) -> ExecutiveMonitor:
        self.executive.observer = monitor = ExecutiveMonitor(
            port, self.executive.slots, NoMeter(), 1
        )
        return monitor

    @property
    def handler(self) -> CommandHandler:
        component = self.commands.component
        assert isinstance(component, CommandHandler)
        return component

    @property
    def gadget(self) -> Gadget:
        component = self.slot.component
        assert isinstance(component, Gadget)
        return component

    # --- what the craft is given as its ways out ---

    def verification(self, _apid: int, stage: Stage, body: bytes, station: int) -> None:
        self.sent.append(Sent(Service.VERIFICATION, stage, body, station))

    def answer(self, _apid: int, service: int, subtype: int, body: bytes, station: int) -> None:
        self.sent.append(Sent(service, subtype, body, station))

    def event(self, apid: int, number: int, severity: Severity, packed: bytes) -> None:
        self.told.append((apid, number, severity, packed))

    def report(self, _apid: int, _number: int, _packed: bytes, _station: int | None) -> bool:
        return True

    def bulk_room(self, _station: int | None) -> int:
        return 100

    # --- what tests do ---

    def take(self, packet: bytes, station: int | None = None, *, drain: bool = True) -> None:
        """A packet arrives."""
        self.executive.now = self.now
        self.executive.do_now(self.commands, lambda _: self.handler.take(packet, station))
        if drain:
            self.executive.drain()

    def request(
        self,
        service: int,
        subtype: int,
        data: bytes = b"",
        *,
        apid: int = GADGET,
        source: int = 1,
        ack: int = 15,
        station: int | None = None,
        drain: bool = True,
    ) -> bytes:
        """Send one telecommand; its request id."""
        self._count += 1
        packet = telecommand.build(
            apid, self._count, service, subtype, data, source=source, ack=ack
        )
        self.take(packet, station, drain=drain)
        return packet[:4]

    def do(self, name: str, *values: Any, slot: Slot | None = None, **options: Any) -> bytes:
        """Send a command of the gadget (or another slot's) by name; its request id."""
        slot = slot or self.slot
        plans = slot.component.declaration.commands.values()
        plan = next(plan for plan in plans if plan.method_name == name)
        body = reports.function(plan.entry.opcode, plan.codec.pack(values))
        return self.request(8, 1, body, apid=slot.apid, **options)

    def step(self, seconds: float = 0.0) -> int:
        """Step, let time pass, then step again: what a loop does that waits until the next due."""
        self.executive.step(self.now)
        self.now += round(seconds * SECOND)
        return self.executive.step(self.now)

    def stages(self, request_id: bytes) -> list[Stage]:
        """The verification stages reported for a telecommand, in order."""
        return [
            Stage(sent.subtype)
            for sent in self.sent
            if sent.service == Service.VERIFICATION and sent.body[:4] == request_id
        ]

    def failure(self, request_id: bytes) -> tuple[FailureCode, str]:
        """Code and reason of a telecommand's one failure report."""
        (found,) = [
            sent.verification
            for sent in self.sent
            if sent.service == Service.VERIFICATION
            and sent.body[:4] == request_id
            and Stage(sent.subtype).is_failure
        ]
        return FailureCode(found.code), found.reason

    def events(self, slot: Slot, name: str) -> list[tuple[Any, ...]]:
        """The arguments of every event of that name."""
        entry = next(e for e in slot.component.declaration.events if e.name == name)
        return [
            Codec(entry.arguments).unpack(packed)
            for apid, number, _, packed in self.told
            if (apid, number) == (slot.apid, entry.number)
        ]
