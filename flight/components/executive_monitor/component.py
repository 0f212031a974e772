"""Reports the executive's own troubles: raising components, slipped cycles, full queues."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Protocol

from flight.components.executive_monitor.reset_cause import BootCause
from flight.framework.component import Component, Port, Severity, event
from flight.framework.time_units import SECOND
from flight.framework.work_queue import WorkQueue
from icd.fields import F32, F64, U8, U16, U32, Limits, Text32, Text128, Unit

STEP_NS = SECOND // 2
"""A date that moved by so much between two looks was set; less is a clock that is steered."""


class Target(Protocol):
    """A plugged-in component, as the monitor sees it."""

    name: str
    inbox: WorkQueue
    is_stopped: bool


class Meter(Protocol):
    """What the entry point measures of its own process."""

    def rss_mib(self) -> float: ...

    def cpu_percent(self) -> float: ...


class NoMeter:
    """The meter of a simulated executive."""

    def rss_mib(self) -> float:
        return 0.0

    def cpu_percent(self) -> float:
        return 0.0


@dataclass
class ExecutiveHousekeeping:
    raised: Annotated[U32, "times a component raised since boot"] = 0
    slips: Annotated[U32, "rate-group cycles missed since boot"] = 0
    queue_drops: Annotated[U32, "work that full queues cost since boot"] = 0
    stopped: Annotated[U8, "components stopped after raising again and again"] = 0
    fullest: Annotated[U16, "most work that ever waited in one queue"] = 0
    boots: Annotated[U32, "boot count of this payload"] = 0
    boot_cause: Annotated[BootCause, "why it started last"] = BootCause.UNKNOWN
    rss: Annotated[F32, "resident memory", Unit("MiB"), Limits(high=60.0)] = 0.0
    cpu: Annotated[F32, "share of one core since the last report", Unit("%"), Limits(high=50.0)] = (
        0.0
    )


@dataclass(frozen=True)
class ExecutiveParameters:
    pass


class ExecutiveMonitor(Component[ExecutiveHousekeeping, ExecutiveParameters]):
    """Keeps the account of contained errors, cycle slips and full queues."""

    def __init__(
        self,
        port: Port,
        targets: Mapping[int, Target],
        meter: Meter,
        boots: int,
        date: Callable[[], int] | None = None,
    ) -> None:
        """`date` tells how far the computer's date is ahead of on-board time, in ns."""
        super().__init__(port)
        self._date = date or (lambda: 0)
        self._ahead: int | None = None
        self._targets = targets
        self._meter = meter
        self._dropped: dict[str, int] = {}
        self.hk.boots = boots

    def run(self, now: int) -> int | None:
        """Look at the date, at queues and at the process itself, once in five seconds."""
        self._look_at_date()
        self._look_at_process()
        return now + 5 * SECOND

    def _look_at_date(self) -> None:
        """Nothing on board goes by the date; that somebody set it is worth knowing on ground."""
        ahead, before = self._date(), self._ahead
        self._ahead = ahead
        if before is not None and abs(ahead - before) >= STEP_NS:
            self.clock_stepped((ahead - before) / SECOND)

    def _look_at_process(self) -> None:
        drops = 0
        for target in self._targets.values():
            dropped = target.inbox.dropped
            if new := dropped - self._dropped.get(target.name, 0):
                self.queue_overflowed(target.name, new)
            self._dropped[target.name] = dropped
            drops += dropped
            self.hk.fullest = max(self.hk.fullest, target.inbox.high_water)
        self.hk.queue_drops = drops
        self.hk.rss, self.hk.cpu = self._meter.rss_mib(), self._meter.cpu_percent()

    def contained(self, name: str, error: BaseException, restarts: int) -> None:
        """A component raised and is rebuilt."""
        self.hk.raised += 1
        self.component_raised(name, restarts, f"{type(error).__name__}: {error}")

    def stopped(self, name: str, is_critical: bool) -> None:
        """A component raised too often."""
        self.hk.stopped += 1
        self.component_stopped(name)
        if is_critical:
            self.restarting(name)

    def slipped(self, group: str, cycles: int) -> None:
        """A rate group missed cycles."""
        self.hk.slips += cycles
        self.cycles_slipped(group, cycles)

    def unkillable(self, name: str, pid: int) -> None:
        """The supervisor killed a worker, and it did not end."""
        self.worker_unkillable(name, pid)

    @event(1, Severity.HIGH)
    def component_raised(self, name: Text32, times: U8, error: Text128) -> None:
        """{name} raised and was rebuilt, {times} times in a minute: {error}."""

    @event(2, Severity.HIGH)
    def component_stopped(self, name: Text32) -> None:
        """{name} raised too often and is stopped; its commands are rejected."""

    @event(3, Severity.HIGH)
    def restarting(self, name: Text32) -> None:
        """{name} is critical: the executive ends and is started again."""

    @event(4, Severity.LOW)
    def cycles_slipped(self, group: Text32, cycles: U32) -> None:
        """Rate group {group} came {cycles} cycles late."""

    @event(5, Severity.MEDIUM)
    def queue_overflowed(self, name: Text32, count: U32) -> None:
        """The queue of {name} was full; {count} items were not taken."""

    @event(6, Severity.INFO)
    def booted(self, boots: U32, reason: Text128) -> None:
        """Executive started, boot {boots}: {reason}."""

    @event(7, Severity.HIGH)
    def worker_unkillable(self, name: Text32, pid: U32) -> None:
        """Process {pid} of worker {name} does not end when killed; only its power can end it."""

    @event(8, Severity.HIGH)
    def state_lost(self, what: Text128) -> None:
        """Lost from the state directory: {what}."""

    @event(9, Severity.MEDIUM)
    def watchdog_reset(self) -> None:
        """The hardware watchdog reset this computer: nobody had stroked it in time."""

    @event(10, Severity.LOW)
    def clock_stepped(self, step: Annotated[F64, Unit("s")]) -> None:
        """The computer's clock was set by {step:+.1f} s; on-board time goes on as before."""
