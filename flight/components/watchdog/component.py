"""The watchdog: pings every component, listens for every worker, strokes the hardware's own."""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Protocol

from flight.framework.component import (
    Component,
    FailureCode,
    Pending,
    Port,
    Refused,
    Severity,
    command,
    event,
    report,
)
from flight.framework.ports import HardwareWatchdog, Supervisor, Worker
from flight.framework.time_units import SECOND
from icd.fields import F32, U8, U16, U32, Count, Flag, Limits, Text32, Text64, Unit, Wire

MOST_WORKERS = 6
LONGEST_NS = 600 * SECOND
"""How far the limit of a worker's silence grows."""
HEALTHY_NS = 60 * SECOND
"""A worker that beats for so long has got over its troubles: its attempts count anew."""


class Target(Protocol):
    """A component that can be pinged through its own queue."""

    name: str
    apid: int
    is_critical: bool

    def ping(self, key: int, answer: Callable[[int], None]) -> bool:
        """Have `answer(key)` called from the component's queue; False when the queue is full."""
        ...


@enum.unique
class Health(enum.IntEnum):
    """How a watched part is."""

    WELL = 0
    STARTING = 1
    SILENT = 2
    GIVEN_UP = 3


@dataclass(eq=False)
class _Pinged:
    """One component as the watchdog sees it."""

    target: Target
    key: int | None = None
    """The key of the ping that is under way."""
    sent_ns: int = 0
    missed: int = 0
    missed_ever: int = 0
    has_answered: bool = False
    """Since the last stroke."""
    answer: Callable[[int], None] = lambda _key: None

    @property
    def health(self) -> Health:
        return Health.SILENT if self.missed else Health.WELL


@dataclass(eq=False)
class _Heard:
    """One worker as the watchdog sees it."""

    worker: Worker
    is_critical: bool
    pid: int = 0
    since_ns: int = 0
    """When this process was first seen, or its replacement was asked for."""
    well_since_ns: int = 0
    attempts: int = 0
    doublings: int = 0
    """Replacements in a row before this process."""
    replaced: int = 0
    next_attempt_ns: int = 0
    silence_ns: int = 0
    health: Health = Health.STARTING
    is_busy_told: bool = False


@dataclass(frozen=True)
class Watched:
    """How many parts are watched."""

    rows: Annotated[U8, "reports named watched that follow"]


@dataclass
class WatchdogHousekeeping:
    pings: Annotated[U32, "pings sent"] = 0
    answers: Annotated[U32, "pings answered in time"] = 0
    late: Annotated[U32, "pings not answered in time"] = 0
    undelivered: Annotated[U32, "pings that found the component's queue full"] = 0
    stale_answers: Annotated[U32, "answers refused: answered before, or too late"] = 0
    silent_components: Annotated[U8, "components that missed their last ping"] = 0
    silent_workers: Annotated[U8, "workers without a beat in time"] = 0
    strokes: Annotated[U32, "strokes of the hardware watchdog"] = 0
    stroke_failures: Annotated[U32, "strokes that the hardware watchdog did not take"] = 0
    replaced: Annotated[
        tuple[int, ...], Wire("H"), Count(MOST_WORKERS), "replacements, by worker in status order"
    ] = (0,) * MOST_WORKERS


@dataclass(frozen=True)
class WatchdogParameters:
    period_s: Annotated[
        F32, "time between two pings, and two strokes", Unit("s"), Limits(0.1, 5)
    ] = 1.0
    deadline_s: Annotated[F32, "time in which it must answer", Unit("s"), Limits(0.1, 60)] = 2.0
    silence_s: Annotated[F32, "time a worker may go without a beat", Unit("s"), Limits(1, 60)] = 1.5
    startup_s: Annotated[F32, "time a new worker has for its first beat", Unit("s"), Limits(1)] = (
        10.0
    )
    most_missed: Annotated[
        U8, "pings a critical component may miss before the executive is restarted", Limits(1)
    ] = 3
    most_attempts: Annotated[
        U8, "replacements in a row before a worker is given up", Limits(1, 20)
    ] = 5


class Watchdog(Component[WatchdogHousekeeping, WatchdogParameters]):
    """Finds what no longer answers, has it replaced, and keeps the computer from being reset.

    `critical_workers` names those without which the hardware watchdog is not stroked.
    """

    def __init__(
        self,
        port: Port,
        targets: Sequence[Target],
        workers: Sequence[Worker],
        supervisor: Supervisor,
        hardware: HardwareWatchdog,
        critical_workers: Collection[str] = ("storage",),
    ) -> None:
        super().__init__(port)
        self.parameters_changed()
        self._supervisor = supervisor
        self._hardware = hardware
        self._pinged = [_Pinged(target) for target in targets]
        for pinged in self._pinged:
            pinged.answer = partial(self._answered, pinged)
        self._heard = [_Heard(worker, worker.name in critical_workers) for worker in workers]
        self._key = 0
        self._stroked_ns = 0
        self._due_ns = 0
        self._is_withheld = False
        self._has_asked_restart = False

    @command(1)
    def status(self) -> Pending[Watched]:
        """Report every watched part to the station that asks: reports named watched."""
        pending = self.defer()
        now, station = self.port.clock(), pending.source
        rows = [
            (p.target.name, False, p.target.is_critical, 0, 0.0, p.missed_ever, 0, p.health)
            for p in self._pinged
        ] + [
            (
                h.worker.name,
                True,
                h.is_critical,
                h.pid,
                self._silence_ns(h, now) / SECOND,
                h.attempts,
                h.replaced,
                h.health,
            )
            for h in self._heard
        ]
        if self.port.telemetry.bulk_room(station) < len(rows):
            raise Refused("the downlink has no room for the rows; send it again")
        for row in rows:
            self.watched(*row, station=station)  # type: ignore[call-arg]
        pending.complete(Watched(len(rows)))
        return pending

    @command(2, critical=True)
    def replace(self, worker: Annotated[Text32, "name of the worker, as status shows it"]) -> None:
        """Have a worker killed and started anew, also one that was given up."""
        heard = next((h for h in self._heard if h.worker.name == worker), None)
        if heard is None:
            known = ", ".join(h.worker.name for h in self._heard)
            raise Refused(f"no worker {worker!r}; known are {known}", FailureCode.NOT_FOUND)
        heard.attempts = 0
        self._replace(heard, self.port.clock())

    @event(1, Severity.MEDIUM)
    def component_silent(self, component: Text32, apid: U16, missed: U8) -> None:
        """Component {component} (APID {apid}) did not answer; {missed} in a row."""

    @event(2, Severity.INFO)
    def component_back(self, component: Text32) -> None:
        """Component {component} answers again."""

    @event(3, Severity.HIGH)
    def executive_restart_asked(self, component: Text32, missed: U8) -> None:
        """Critical component {component} missed {missed} pings: the executive is restarted."""

    @event(4, Severity.MEDIUM)
    def worker_silent(self, worker: Text32, pid: U32, silence: Annotated[F32, Unit("s")]) -> None:
        """Worker {worker} (process {pid}) has been silent for {silence:.1f} s."""

    @event(5, Severity.LOW)
    def worker_replaced(self, worker: Text32, attempt: U8) -> None:
        """Worker {worker} is replaced, attempt {attempt}."""

    @event(6, Severity.INFO)
    def worker_back(self, worker: Text32, pid: U32) -> None:
        """Worker {worker} (process {pid}) beats again."""

    @event(7, Severity.HIGH)
    def worker_given_up(self, worker: Text32, attempts: U8) -> None:
        """Worker {worker} stayed silent over {attempts} replacements; replace tries again."""

    @event(8, Severity.HIGH)
    def stroke_withheld(self, part: Text32) -> None:
        """The hardware watchdog is no longer stroked: {part} does not answer."""

    @event(9, Severity.MEDIUM)
    def stroke_failed(self, reason: Text64) -> None:
        """The hardware watchdog did not take a stroke: {reason}."""

    @event(10, Severity.INFO)
    def worker_busy(self, worker: Text32, pid: U32, doing: Text64) -> None:
        """Worker {worker} (process {pid}) {doing}; it beats meanwhile."""

    @report(1)
    def watched(  # type: ignore[empty-body]
        self,
        name: Text32,
        is_worker: Flag,
        is_critical: Flag,
        pid: U32,
        silence_s: Annotated[F32, "since the last beat of a worker", Unit("s")],
        missed: Annotated[U32, "pings missed since the last start, or replacements in a row"],
        replaced: Annotated[U32, "replacements asked for since the last start"],
        health: Health,
    ) -> bool:
        """One watched part: a component, or a worker process."""

    def parameters_changed(self) -> None:
        """Keep the limits of a worker that is up, and of one that starts or is busy, in ns."""
        silence_s, startup_s = self.parameters.silence_s, self.parameters.startup_s
        longer_s = max(startup_s, silence_s)
        self._limits_ns = int(silence_s * SECOND), int(longer_s * SECOND)

    def start(self, now: int) -> None:
        """Give every worker its time to start."""
        self._stroked_ns = self._due_ns = now
        for heard in self._heard:
            heard.pid, heard.since_ns = heard.worker.pid, now

    def run(self, now: int) -> int | None:
        """Ping and stroke once a period, listen also when a worker's silence would be too long.

        On-board ns in, next due time out.
        """
        for heard in self._heard:
            self._listen(heard, now)
        if now >= self._due_ns:
            deadline_ns = int(self.parameters.deadline_s * SECOND)
            for pinged in self._pinged:
                self._ping(pinged, now, deadline_ns)
            self._stroke(now, deadline_ns)
            self._due_ns = now + int(self.parameters.period_s * SECOND)
        return min(self._due_ns, self._next_silence(now))

    def _next_silence(self, now: int) -> int:
        """When the next worker that is well will have been silent for too long, unless it beats."""
        well = [h for h in self._heard if h.health is Health.WELL]
        ends = (now - h.silence_ns + self._limit_ns(h) + 1 for h in well)
        return min((end for end in ends if end > now), default=self._due_ns)

    def _ping(self, pinged: _Pinged, now: int, deadline_ns: int) -> None:
        if pinged.key is not None:
            if now - pinged.sent_ns < deadline_ns:
                return
            self._missed(pinged)
        self._key += 1
        pinged.key, pinged.sent_ns = self._key, now
        self.hk.pings += 1
        if not pinged.target.ping(self._key, pinged.answer):
            self.hk.undelivered += 1  # the deadline finds it, as it finds any other silence

    def _answered(self, pinged: _Pinged, key: int) -> None:
        if key != pinged.key:
            self.hk.stale_answers += 1
            return
        pinged.key = None
        pinged.has_answered = True
        self.hk.answers += 1
        if pinged.missed:
            pinged.missed = 0
            self._count_silent()
            self.component_back(pinged.target.name)

    def _missed(self, pinged: _Pinged) -> None:
        target = pinged.target
        pinged.missed += 1
        pinged.missed_ever += 1
        self.hk.late += 1
        self._count_silent()
        if pinged.missed == 1:
            self.component_silent(target.name, target.apid, pinged.missed)
        is_over = pinged.missed >= self.parameters.most_missed
        if is_over and target.is_critical and not self._has_asked_restart:
            self._has_asked_restart = True
            self.executive_restart_asked(target.name, pinged.missed)
            reason = f"{target.name} missed {pinged.missed} pings"
            self._supervisor.restart_executive(reason)

    def _listen(self, heard: _Heard, now: int) -> None:
        pid = heard.worker.pid
        if pid != heard.pid:
            heard.pid, heard.since_ns, heard.doublings = pid, now, heard.attempts
        heard.silence_ns = self._silence_ns(heard, now)
        has_beaten = heard.worker.last_beat is not None
        if heard.worker.doing or heard.is_busy_told:
            self._tell_busy(heard)
        if heard.silence_ns > self._limit_ns(heard):
            self._silent(heard, now)
        elif has_beaten:
            self._well(heard, now)

    def _limit_ns(self, heard: _Heard) -> int:
        """How long a worker may be silent: longer while it starts or is busy, and twice as long
        after each replacement in a row."""
        is_up = heard.worker.last_beat is not None and not heard.worker.doing
        limit_ns = self._limits_ns[not is_up]
        if not heard.doublings:
            return limit_ns
        return min(limit_ns << heard.doublings, max(LONGEST_NS, limit_ns))

    def _tell_busy(self, heard: _Heard) -> None:
        if heard.worker.doing and not heard.is_busy_told:
            self.worker_busy(heard.worker.name, heard.pid, heard.worker.doing)
        heard.is_busy_told = bool(heard.worker.doing)

    def _silence_ns(self, heard: _Heard, now: int) -> int:
        beat = heard.worker.last_beat
        return now - (heard.since_ns if beat is None else beat)

    def _silent(self, heard: _Heard, now: int) -> None:
        if heard.health in (Health.WELL, Health.STARTING):
            heard.health = Health.SILENT
            self._count_silent()
            self.worker_silent(heard.worker.name, heard.pid, heard.silence_ns / SECOND)
        if heard.health is Health.GIVEN_UP or now < heard.next_attempt_ns:
            return
        if heard.attempts >= self.parameters.most_attempts:
            heard.health = Health.GIVEN_UP
            self.worker_given_up(heard.worker.name, heard.attempts)
            return
        self._replace(heard, now)

    def _replace(self, heard: _Heard, now: int) -> None:
        """Ask for a replacement; each has twice the time of the one before to begin to beat."""
        startup_ns = int(self.parameters.startup_s * SECOND)
        heard.next_attempt_ns = now + (startup_ns << heard.attempts)
        heard.attempts += 1
        heard.replaced += 1
        heard.health = Health.SILENT
        counts = *(h.replaced for h in self._heard), *(0,) * MOST_WORKERS
        self.hk.replaced = counts[:MOST_WORKERS]
        self._count_silent()
        self.worker_replaced(heard.worker.name, heard.attempts)
        self._supervisor.replace(heard.worker.name)

    def _well(self, heard: _Heard, now: int) -> None:
        if heard.health is Health.WELL:
            if heard.attempts and now - heard.well_since_ns >= HEALTHY_NS:
                heard.attempts = heard.doublings = 0
            return
        was_silent = heard.health is not Health.STARTING
        heard.health, heard.well_since_ns = Health.WELL, now
        if was_silent:
            self._count_silent()
            self.worker_back(heard.worker.name, heard.pid)

    def _stroke(self, now: int, deadline_ns: int) -> None:
        """Stroke when every critical part was heard since the last stroke."""
        culprit = self._culprit()
        if culprit is None:
            for pinged in self._pinged:
                pinged.has_answered = False
            self._stroked_ns = now
            self._is_withheld = False
            self._stroke_hardware()
        elif now - self._stroked_ns > 2 * deadline_ns and not self._is_withheld:
            self._is_withheld = True
            self.stroke_withheld(culprit)

    def _culprit(self) -> str | None:
        for pinged in self._pinged:
            if pinged.target.is_critical and not pinged.has_answered:
                return pinged.target.name
        for heard in self._heard:
            if heard.is_critical and heard.health in (Health.SILENT, Health.GIVEN_UP):
                return heard.worker.name
        return None

    def _stroke_hardware(self) -> None:
        try:
            self._hardware.stroke()
        except OSError as error:
            self.hk.stroke_failures += 1
            if self.hk.stroke_failures == 1:
                self.stroke_failed(str(error))
        else:
            self.hk.strokes += 1

    def _count_silent(self) -> None:
        self.hk.silent_components = sum(p.missed > 0 for p in self._pinged)
        unwell = (Health.SILENT, Health.GIVEN_UP)
        self.hk.silent_workers = sum(h.health in unwell for h in self._heard)
