"""What the recovery component declares besides commands and events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from flight.recovery.cases import Phase
from flight.recovery.stimuli import Policy
from flight.recovery.table import SECOND, Level
from icd.fields import F32, U8, U16, U32, Count, Flag, Limits, Unit, Wire

Device = Annotated[U8, "number of the GPU, from 0; 255: the whole board"]


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
    device: Annotated[U8, "of the recovery at work"] = 0
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


COUNTER_OF = {
    "recovered": "recovered",
    "action_failed": "failed",
    "withheld": "withheld",
    "given_up": "given_up",
}
"""Event → the housekeeping field that counts it."""


def _ns(seconds: float) -> int:
    return round(seconds * SECOND)
