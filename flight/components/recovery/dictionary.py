"""What ground sees of the recovery component: housekeeping, parameters, events and reports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from flight.components.board.places import Place
from flight.components.recovery.cases import Phase
from flight.components.recovery.fault_table import Kind, Level
from flight.components.recovery.stimuli import Policy
from flight.framework.component import Port, Severity, event, report
from flight.framework.lifecycle import Counters
from flight.framework.time_units import SECOND
from icd.fields import F32, U8, U16, U32, Count, Flag, Limits, Text32, Text64, Text160, Unit, Wire

Device = Annotated[U8, "number of the GPU, from 0; 253: an unknown one; 255: the whole board"]


@dataclass(frozen=True)
class Listed:
    """The answer to a list."""

    rows: Annotated[U16, "reports named strikes that follow"]


@dataclass(frozen=True)
class Forgotten:
    """The answer to a reset."""

    causes: Annotated[U16, "causes whose strikes were forgotten"]


@dataclass
class RecoveryHousekeeping:
    is_enabled: Annotated[Flag, "faults are acted upon without telecommand"] = True
    max_level: Annotated[Level, "highest level that the configuration allows"] = Level.RESTART_JOB
    phase: Annotated[Phase, "of the recovery at work"] = Phase.IDLE
    level: Annotated[Level, "of the recovery at work"] = Level.LOG
    device: Annotated[
        U8, "of the recovery at work: a GPU; 253: an unknown one; 255: the whole board"
    ] = 0
    waiting: Annotated[U16, "recoveries that wait for their turn, or for a companion"] = 0
    deferred: Annotated[U16, "actions due when the jobs that run have ended"] = 0
    faults: Annotated[U32, "faults heard of"] = 0
    duplicates: Annotated[U32, "faults that were told twice"] = 0
    actions: Annotated[
        tuple[int, ...], Wire("I"), Count(8), "actions begun since the last start, by level"
    ] = (0,) * 8
    recovered: Annotated[U32, "actions after which the readings were valid again"] = 0
    failed: Annotated[U32, "actions that did not help"] = 0
    withheld: Annotated[U32, "actions called for and not allowed"] = 0
    given_up: Annotated[U32, "recoveries that ended without success"] = 0
    budget: Annotated[U16, "actions that may still be taken now"] = 0
    heavy_budget: Annotated[U16, "of these, at level L3 and above"] = 0
    stale: Annotated[U32, "answers to nothing that is waited for"] = 0
    last_s: Annotated[F32, "from fault to recovery, the last time", Unit("s")] = 0.0


@dataclass(frozen=True)
class RecoveryParameters:
    decay_s: Annotated[
        F32, "time after which a strike is forgotten", Unit("s"), Limits(60, 31_536_000)
    ] = 86_400.0
    most_actions: Annotated[U16, "actions in one window", Limits(0, 1000)] = 24
    window_s: Annotated[F32, "that window", Unit("s"), Limits(60, 31_536_000)] = 3_600.0
    most_heavy: Annotated[U16, "actions of L3 and above in one window", Limits(0, 1000)] = 8
    heavy_window_s: Annotated[F32, "that window", Unit("s"), Limits(60, 31_536_000)] = 86_400.0

    def policy(self, max_level: Level, period_s: float) -> Policy:
        """The same, as the lifecycle takes it."""
        return Policy(
            max_level=max_level,
            decay=_ns(self.decay_s),
            most=self.most_actions,
            window=_ns(self.window_s),
            most_heavy=self.most_heavy,
            heavy_window=_ns(self.heavy_window_s),
            period=_ns(period_s),
        )


@dataclass(frozen=True)
class RecoverySettings:
    """What the configuration says: how far recovery may go, and how often readings come."""

    max_level: Level = Level.RESTART_JOB
    period_s: float = 1.0


def _ns(seconds: float) -> int:
    return round(seconds * SECOND)


LevelNumber = Annotated[U8, "level of the ladder, 0 … 7"]


class RecoveryEvents:
    """The events and reports of `Recovery`."""

    port: Port

    @event(1, Severity.INFO)
    def fault_noted(self, device: Place, reason: Text160) -> None:
        """{device}, nothing to do: {reason}."""

    @event(2, Severity.LOW)
    def action_started(
        self, device: Place, level: LevelNumber, action: Text32, reason: Text160
    ) -> None:
        """{device}: {action}, because of {reason}."""

    @event(3, Severity.HIGH)
    def heavy_action_started(
        self, device: Place, level: LevelNumber, action: Text32, reason: Text160
    ) -> None:
        """{device}: {action}, because of {reason}."""

    @event(4, Severity.INFO)
    def recovered(
        self,
        device: Place,
        level: LevelNumber,
        action: Text32,
        seconds: Annotated[F32, "since the fault", Unit("s")],
    ) -> None:
        """{device} is well {seconds:.1f} s after the fault, through {action}."""

    @event(5, Severity.MEDIUM)
    def action_failed(
        self, device: Place, level: LevelNumber, action: Text32, reason: Text160
    ) -> None:
        """{device}: {action} did not help: {reason}."""

    @event(6, Severity.HIGH)
    def withheld(self, device: Place, level: LevelNumber, action: Text32, enable: Text160) -> None:
        """{device}: {action} is called for, but withheld: {enable}."""

    @event(7, Severity.HIGH)
    def given_up(self, device: Place, reason: Text160) -> None:
        """{device} is not recovered: {reason}."""

    @event(8, Severity.MEDIUM)
    def deferred(self, device: Place, level: LevelNumber, action: Text32, reason: Text160) -> None:
        """{device}: {action} when the jobs that run now have ended: {reason}."""

    @event(9, Severity.INFO)
    def fault_joined(self, device: Place, fault: Text32, other: Text32) -> None:
        """{device}: {fault} is taken as part of {other}."""

    @event(10, Severity.LOW)
    def taken_as_software(self, device: Place, code: U32) -> None:
        """{device}: XID {code} again in the same job: taken as its own, left to its retries."""

    @event(11, Severity.MEDIUM)
    def attention(self, device: Place, fault: Text32, advice: Text160) -> None:
        """{device}, {fault}: {advice}."""

    @event(12, Severity.HIGH)
    def resumed(self, device: Place, level: LevelNumber, action: Text32, fault: Text32) -> None:
        """The executive restarted during {action} of {device} ({fault}); it is verified."""

    @event(13, Severity.INFO)
    def switched(self, state: Text32) -> None:
        """Automatic recovery is {state}."""

    @event(14, Severity.INFO)
    def strikes_reset(self, causes: U16) -> None:
        """Strikes of {causes} causes are forgotten."""

    @event(15, Severity.INFO)
    def slot_confirmed(self) -> None:
        """The boot loader was told that the running slot booted well."""

    @event(16, Severity.MEDIUM)
    def slot_not_confirmed(self, reason: Text160) -> None:
        """The boot loader was not told that the running slot booted well: {reason}."""

    @event(17, Severity.LOW)
    def passed_on(self, device: Place, fault: Text32, what: Text64) -> None:
        """{device}, {fault}: another part of the payload is asked {what}."""

    @report(1)
    def strikes(  # type: ignore[empty-body]
        self,
        device: Place,
        kind: Kind,
        code: Annotated[U32, "XID, or event code"],
        meaning: Text64,
        count: Annotated[U16, "strikes within the decay time"],
        next_level: Annotated[Level, "where the next one begins"],
        age_s: Annotated[F32, "since the last one", Unit("s")],
    ) -> bool:
        """How often one cause struck one GPU lately."""


COUNTERS = Counters(
    RecoveryHousekeeping,
    {
        RecoveryEvents.recovered: "recovered",
        RecoveryEvents.action_failed: "failed",
        RecoveryEvents.withheld: "withheld",
        RecoveryEvents.given_up: "given_up",
    },
)
