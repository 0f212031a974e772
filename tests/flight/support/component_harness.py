"""What surrounds one component under test: a clock moved by hand, telemetry that is kept."""

from __future__ import annotations

from collections import deque
from typing import Any

from flight.framework.component import Component
from flight.framework.ports import Port, Refused, Work
from icd.codec import Codec
from icd.dictionary import Severity
from icd.failures import FailureCode


class Asker:
    """The Pending of one telecommand."""

    def __init__(self, source: int = 1) -> None:
        self.source = source
        self.result: Any = None
        self.is_done = False
        self.failure: tuple[str, FailureCode] | None = None

    @property
    def is_answered(self) -> bool:
        return self.is_done or self.failure is not None

    @property
    def code(self) -> FailureCode | None:
        return self.failure[1] if self.failure else None

    @property
    def reason(self) -> str:
        return self.failure[0] if self.failure else ""

    def progress(self, step: int) -> None:
        pass

    def complete(self, result: Any = None) -> bool:
        if self.is_answered:
            return False
        self.result, self.is_done = result, True
        return True

    def fail(self, reason: str, code: FailureCode = FailureCode.REFUSED) -> bool:
        if self.is_answered:
            return False
        self.failure = reason, code
        return True


class Bench:
    """One component plugged into nothing but this bench."""

    def __init__(self, name: str = "unit", apid: int = 6) -> None:
        self.now = 1_000_000_000_000
        self.room = 1_000
        self.sent: list[tuple[int, int, tuple[Any, ...], int | None]] = []
        self.told: list[tuple[int, Severity, tuple[Any, ...]]] = []
        self.work: deque[Work] = deque()
        self.is_queue_full = False
        self.is_woken = False
        self.source = 1
        self.port = Port(
            name, apid, self, self.post, self._wake, self._defer, lambda: self.now, self.work.append
        )
        self.component: Any = None
        self._asker: Asker | None = None

    def plug(self, component: Component[Any, Any]) -> None:
        """Start a component on this bench."""
        self.component = component
        component.start(self.now)

    def do(self, command: str, *args: Any, source: int = 1) -> Asker:
        """Carry out a telecommand the way the executive does, arguments over the wire."""
        plan = next(
            plan
            for plan in self.component.declaration.commands.values()
            if plan.method_name == command
        )
        arguments = plan.decode(plan.codec.pack(args))
        self._asker = asker = Asker(source)
        try:
            result = getattr(self.component, command)(*arguments)
        except Refused as refused:
            asker.fail(refused.reason, refused.code)
        else:
            if result is not asker:
                asker.complete(result)
        self._asker = None
        return asker

    def step(self, seconds: float = 0.0) -> int | None:
        """Move the clock, do the queued work, then run the component once."""
        self.now += round(seconds * 1e9)
        self.drain()
        self.is_woken = False
        due: int | None = self.component.run(self.now)
        return due

    def drain(self) -> None:
        """Do the work in the component's queue."""
        while self.work:
            self.work.popleft()()

    def events(self, name: str | None = None) -> list[tuple[Any, ...]]:
        """The arguments of every event sent, or of those of one name."""
        numbers = {entry.number: entry.name for entry in self.component.declaration.events}
        return [
            (numbers[number], *values) if name is None else values
            for number, _, values in self.told
            if name in (None, numbers[number])
        ]

    def severity(self, name: str) -> Severity:
        """With which severity an event was last sent."""
        entry = next(e for e in self.component.declaration.events if e.name == name)
        return next(severity for number, severity, _ in self.told[::-1] if number == entry.number)

    def reports(self, name: str, station: int | None = None) -> list[tuple[Any, ...]]:
        """The values of the reports of one name sent to one station, or to any."""
        number = next(e.number for e in self.component.declaration.reports if e.name == name)
        return [
            values for _, sent, values, to in self.sent if sent == number and station in (None, to)
        ]

    def post(self, work: Work) -> bool:
        if self.is_queue_full:
            return False
        self.work.append(work)
        return True

    def event(self, _apid: int, number: int, severity: Severity, packed: bytes) -> None:
        entry = next(e for e in self.component.declaration.events if e.number == number)
        self.told.append((number, severity, Codec(entry.arguments).unpack(packed)))

    def report(self, apid: int, number: int, packed: bytes, station: int | None) -> bool:
        if self.room <= 0:
            return False
        self.room -= 1
        entry = next(e for e in self.component.declaration.reports if e.number == number)
        self.sent.append((apid, number, Codec(entry.fields).unpack(packed), station))
        return True

    def bulk_room(self, _station: int | None) -> int:
        return self.room

    def _wake(self) -> None:
        self.is_woken = True

    def _defer(self) -> Asker:
        assert self._asker is not None, "defer() outside a telecommand"
        return self._asker
