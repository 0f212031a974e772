"""The deterministic executive: rate groups, bounded queues, containment; one thread, no clock."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from flight.framework.component import Component
from flight.framework.invocation import Invocation
from flight.framework.ports import Port, Stepped, TelemetrySink, Work
from flight.framework.time_units import SECOND
from flight.framework.work_queue import WhenFull, WorkQueue

NEVER = 1 << 63
MOST_RESTARTS = 3
RESTART_WINDOW = 60 * SECOND
DRAIN_LIMIT = 256
"""Work items done in one step before rate groups get their turn again."""

AnyComponent = Component[Any, Any]
C_co = TypeVar("C_co", covariant=True)
"""What is plugged in: a component's class, or a protocol that it satisfies."""
ComponentT = TypeVar("ComponentT", bound=AnyComponent)


class Observer(Protocol):
    """What the executive tells of its own troubles; implemented by the executive monitor."""

    def contained(self, name: str, error: BaseException, restarts: int) -> None: ...

    def stopped(self, name: str, is_critical: bool) -> None: ...

    def slipped(self, group: str, cycles: int) -> None: ...


@dataclass(frozen=True)
class RateGroup:
    """A name and a period in nanoseconds; members are stepped on multiples of the period."""

    name: str
    period: int


class Slot(Generic[C_co]):
    """One component as it is plugged into the executive; outlives the component's restarts.

    `component` is the instance that runs now: ask the slot each time, and never keep it.
    """

    def __init__(
        self,
        name: str,
        apid: int,
        factory: Callable[[Port], C_co],
        telemetry: TelemetrySink,
        inbox: WorkQueue,
        is_critical: bool,
        clock: Callable[[], int],
    ) -> None:
        self.name, self.apid, self.is_critical = name, apid, is_critical
        self.inbox = inbox
        self.current: Invocation | None = None
        self.pending: dict[Invocation, None] = {}  # a set in order: runs must repeat
        self.due = 0
        self.is_stopped = False
        self.restarts: deque[int] = deque()
        self._clock = clock
        self._factory = factory
        self._telemetry = telemetry
        self._generation = 0
        self.component = self._build()

    def _build(self) -> C_co:
        return self._factory(
            Port(
                self.name,
                self.apid,
                self._telemetry,
                self.post,
                self._wake,
                self._defer,
                self._clock,
                self._answer_poster(),
            )
        )

    def post(self, work: Work) -> bool:
        """Queue work for this component; False when it is stopped or its queue is full."""
        return not self.is_stopped and self.inbox.put(work)

    def tell(self, work: Callable[[C_co], object]) -> bool:
        """Queue work on whichever instance runs when it is its turn; as `post`."""
        return self.post(lambda: work(self.component))

    def ping(self, key: int, answer: Callable[[int], None]) -> bool:
        """Queue a ping, answered with its key when the component comes to it."""
        return self.post(lambda: answer(key))

    def rebuild(self) -> None:
        """A new instance in place of one that raised; work queued for the old one is discarded."""
        self._generation += 1
        self.inbox.clear()
        self.current = None
        for invocation in list(self.pending):
            invocation.abandon()
        self.component = self._build()
        self.due = 0

    def _wake(self) -> None:
        self.due = 0

    def _defer(self) -> Invocation:
        if self.current is None:
            raise RuntimeError("defer() is only valid inside a command or request handler")
        self.current.is_deferred = True
        return self.current

    def _answer_poster(self) -> Callable[[Work], None]:
        generation = self._generation

        def post_answer(work: Work) -> None:
            if generation == self._generation and not self.is_stopped:
                self.inbox.put_answer(work)

        return post_answer


@dataclass
class _Group:
    rate: RateGroup
    due: int = 0
    members: list[Slot[AnyComponent]] = field(default_factory=list)


class Executive:
    """Steps components when they are due and hands them their work the moment it arrives.

    `step(now)` does everything that is due at `now` and returns when the next thing is: the same
    code runs a real second or a simulated year. A component that raises is contained: reported,
    rebuilt, and after three times in a minute stopped; a stopped critical one ends the executive,
    which its supervisor starts again.
    """

    def __init__(self, telemetry: TelemetrySink) -> None:
        self.now = 0
        self.slots: dict[int, Slot[AnyComponent]] = {}
        self.observer: Observer | None = None
        self.ends_because: str | None = None
        self.steps = 0
        self._telemetry = telemetry
        self._groups: dict[str, _Group] = {}
        self._beside: list[Stepped] = []
        self._beside_due = 0

    def plug(
        self,
        name: str,
        apid: int,
        factory: Callable[[Port], ComponentT],
        group: RateGroup,
        *,
        depth: int = 64,
        when_full: WhenFull = WhenFull.REJECT_NEW,
        is_critical: bool = False,
    ) -> Slot[ComponentT]:
        """Build a component and give it a queue and a place in a rate group."""
        inbox = WorkQueue(depth, when_full)
        slot = Slot(name, apid, factory, self._telemetry, inbox, is_critical, lambda: self.now)
        self.slots[apid] = slot
        self._groups.setdefault(group.name, _Group(group)).members.append(slot)
        return slot

    def beside(self, stepped: Stepped) -> None:
        """Step something that is no component (storage time-outs, simulated hardware) as well."""
        self._beside.append(stepped)

    def wake_beside(self) -> None:
        """Step what is beside at once: it has something to do."""
        self._beside_due = 0

    def start(self, now: int) -> None:
        """Start every component, in the order in which they were plugged in."""
        self.now = now
        for slot in self.slots.values():
            self._guard(slot, lambda slot=slot: slot.component.start(now))  # type: ignore[misc]
        self.drain()

    def step(self, now: int) -> int:
        """Do all that is due at `now` (on-board ns); the time at which to call again."""
        self.now = now
        self.steps += 1
        if self._beside and now >= self._beside_due:
            self._beside_due = NEVER
            due = min(b.run(now) or NEVER for b in self._beside)
            self._beside_due = min(self._beside_due, due)  # one may have woken another
        left = self.drain()
        for group in self._groups.values():
            if now >= group.due:
                self._run_group(group, now)
        left = self.drain() or left
        if left:
            return now
        return min(self._next_due(), self._beside_due if self._beside else NEVER)

    def do_now(self, slot: Slot[C_co], work: Callable[[C_co], object]) -> None:
        """Do work of a component the moment it arrives, contained like all its work."""
        if not slot.is_stopped:
            self._guard(slot, lambda: work(slot.component))

    def drain(self) -> bool:
        """Do queued work, a fair turn each; True when some is left for the next step."""
        done = 0
        busy = True
        while busy and done < DRAIN_LIMIT:
            busy = False
            for slot in self.slots.values():
                if slot.inbox.waiting:
                    self._guard(slot, slot.inbox.take())
                    done += 1
                    busy = True
        return busy

    def _next_due(self) -> int:
        soonest = NEVER
        for group in self._groups.values():
            due = min((slot.due for slot in group.members if not slot.is_stopped), default=NEVER)
            if due < NEVER:
                period = group.rate.period
                due = max(-(-due // period) * period, self.now - self.now % period + period)
            group.due = due
            soonest = min(soonest, due)
        return soonest

    def _run_group(self, group: _Group, now: int) -> None:
        if group.due > 0 and (late := (now - group.due) // group.rate.period) and self.observer:
            self.observer.slipped(group.rate.name, late)
        for slot in group.members:
            if now >= slot.due and not slot.is_stopped:
                slot.due = NEVER
                self._guard(slot, lambda slot=slot: self._run(slot, now))  # type: ignore[misc]

    def _run(self, slot: Slot[AnyComponent], now: int) -> None:
        due = slot.component.run(now)
        if due is not None:
            slot.due = min(slot.due, max(due, now + 1))

    def _guard(self, slot: Slot[Any], work: Callable[[], object]) -> None:
        try:
            work()
        except Exception as error:
            self._contain(slot, error)

    def _contain(self, slot: Slot[Any], error: Exception) -> None:
        slot.restarts.append(self.now)
        while slot.restarts[0] < self.now - RESTART_WINDOW:
            slot.restarts.popleft()
        if self.observer:
            self.observer.contained(slot.name, error, len(slot.restarts))
        if len(slot.restarts) > MOST_RESTARTS:
            self._stop(slot)
            return
        try:
            slot.rebuild()
            slot.component.start(self.now)
        except Exception as again:
            self._contain(slot, again)

    def _stop(self, slot: Slot[Any]) -> None:
        slot.is_stopped = True
        slot.inbox.clear()
        for invocation in list(slot.pending):
            invocation.abandon()
        if self.observer:
            self.observer.stopped(slot.name, slot.is_critical)
        if slot.is_critical:
            self.ends_because = f"critical component {slot.name} kept raising"
