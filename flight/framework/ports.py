"""The contracts between a component and what it is plugged into; no behaviour of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from icd.dictionary import Severity
from icd.failures import FailureCode

Result = TypeVar("Result", covariant=True)
Work = Callable[[], object]


class Refused(Exception):
    """The telecommand is well formed, but the component will not carry it out now.

    The reason says what to do instead; ground sees it with the failure code.
    """

    def __init__(self, reason: str, code: FailureCode = FailureCode.REFUSED) -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code


class Pending(Protocol[Result]):
    """A telecommand whose answer comes later. Exactly one of `complete` and `fail` counts: a
    second answer, or one after the time-out, is refused and counted."""

    @property
    def source(self) -> int:
        """The id of the station that sent the telecommand."""
        ...

    def progress(self, step: int) -> None: ...

    def complete(self, result: Any = None) -> bool: ...

    def fail(self, reason: str, code: FailureCode = FailureCode.REFUSED) -> bool: ...


class TelemetrySink(Protocol):
    """Where packets go; implemented by the telemetry component's core."""

    def event(self, apid: int, number: int, severity: Severity, packed: bytes) -> None: ...

    def report(self, apid: int, number: int, packed: bytes, station: int | None) -> bool:
        """Queue a component report at bulk priority; False when there is no room now.

        `station` None is every station.
        """
        ...

    def bulk_room(self, station: int | None) -> int:
        """How many reports can be queued now; for all stations, by the one with most room."""
        ...


@dataclass(frozen=True)
class StorageResult:
    """What the storage worker answered. `error` is an errno name such as ENOSPC, or TIMEOUT."""

    ok: bool
    value: Any = None
    error: str = ""
    text: str = ""


class Storage(Protocol):
    """Durable files, done elsewhere; `done` is called later, in the executive, through the
    component's own queue. Paths start with `state/` or `run/`."""

    def submit(
        self, operation: str, done: Callable[[StorageResult], None], **arguments: Any
    ) -> bool:
        """Ask for one operation; False when the queue is full, and `done` is not called."""
        ...


@dataclass(frozen=True)
class WorkerMessage:
    """One validated-in-shape message of a worker process; its body is still to be checked."""

    worker: str
    kind: str
    body: Mapping[str, Any]


class Worker(Protocol):
    """One worker process as the executive sees it."""

    name: str

    def send(self, kind: str, body: Mapping[str, Any]) -> bool:
        """Send without waiting; False when it is gone or its queue is full."""
        ...

    @property
    def pid(self) -> int:
        """Its process id; 0 while there is none."""
        ...

    @property
    def last_beat(self) -> int | None:
        """On-board time of its last beat; None before the first."""
        ...

    @property
    def doing(self) -> str:
        """What takes long, as its last beat said; empty: nothing."""
        ...

    def on_message(self, handler: Callable[[WorkerMessage], None]) -> None:
        """Give its messages (other than beats) to `handler`, through the caller's queue."""
        ...


class Supervisor(Protocol):
    """What the executive may ask of its supervisor."""

    def replace(self, worker: str) -> None:
        """Kill that worker and start another."""
        ...

    def restart_executive(self, reason: str) -> None: ...

    def reboot(self, reason: str) -> None:
        """End every process of the payload, this one too, and start them all again."""
        ...


class HardwareWatchdog(Protocol):
    """Resets the computer unless it is stroked in time."""

    def stroke(self) -> None: ...


class Unpowered:
    """The hardware watchdog of a board that has none, or where it is not enabled by name."""

    def stroke(self) -> None:
        """Nothing to stroke."""


@dataclass
class Port:
    """Where one component instance is plugged in: its name, APID, and its ways out."""

    name: str
    apid: int
    telemetry: TelemetrySink
    post: Callable[[Work], bool] = lambda _work: False
    """Put work on the component's own queue; False when it is full (counted there)."""
    wake: Callable[[], None] = lambda: None
    """Have `run` called in the next cycle of its rate group, whatever it last returned."""
    defer: Callable[[], Pending[Any]] = field(default=lambda: _refuse_defer())
    clock: Callable[[], int] = lambda: 0
    """On-board ns of the current step."""
    post_answer: Callable[[Work], None] = lambda _work: None
    """Queue the answer to a question this component asked; it is never dropped for want of room,
    and is let go when the component was rebuilt meanwhile."""


def _refuse_defer() -> Pending[Any]:
    raise RuntimeError("defer() is only valid inside a command or request handler")


class Stepped(Protocol):
    """Anything a rate group can hold."""

    def run(self, now: int) -> int | None: ...


class Section(Protocol):
    """What one component keeps over restarts of the executive and power-offs."""

    def load(self) -> dict[str, object]:
        """What was kept last; empty when nothing was."""
        ...

    def keep(self, content: dict[str, object], done: Callable[[], None] | None = None) -> None:
        """Keep this instead; `done` is called once it is durable."""
        ...
