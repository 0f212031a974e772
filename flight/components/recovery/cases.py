"""One recovery from its cause to its end."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from flight.components.recovery.fault_table import Level, Row
from flight.components.recovery.stimuli import Process
from flight.components.recovery.strikes import Cause


@enum.unique
class Phase(enum.IntEnum):
    """Where a recovery is; numbers are for ever."""

    IDLE = 0
    """There is none."""
    GATHERING = 1
    """It waits for what tells how bad the fault is."""
    QUEUED = 2
    """Another recovery goes first."""
    CLEARING = 3
    """Our processes leave the GPU."""
    SAVING = 4
    """What will be done becomes durable, because it may end this computer."""
    ACTING = 5
    VERIFYING = 6
    """The action is done; it is awaited that the readings are valid again."""
    CLOSED = 7


AT_WORK = (Phase.CLEARING, Phase.SAVING, Phase.ACTING, Phase.VERIFYING)
"""Only one recovery at a time is in any of these."""


@dataclass(eq=False)
class Case:
    """One recovery of one device; a further fault on the device joins it."""

    cause: Cause
    row: Row
    level: Level
    opened: int
    reason: str
    phase: Phase = Phase.QUEUED
    due: int = 0
    order: int | None = None
    """The telecommand that asked for it: exactly this level, and nothing further."""
    floor: Level = Level.LOG
    """What faults that joined while it was at work call for."""
    joined: list[Cause] = field(default_factory=list)
    deciders: list[Cause] = field(default_factory=list)
    """Of those, the ones that tell how bad its own fault is."""
    boundary: Level = Level.LOG
    """What it and joined faults ask for at the next job boundary."""
    jobs: frozenset[Process] = frozenset()
    """Our processes when it struck, later: those that were told to end."""
    action: int = 0
    """Number of the action under way."""
    acted: int = 0
    """When it was done: only younger readings tell whether it helped."""
    slot: int | None = None
    """The boot slot that ran before the other one was booted, where the board tells."""
    is_holding: bool = False

    @property
    def device(self) -> int:
        return self.cause.device


@dataclass(frozen=True)
class Deferral:
    """What is due once these processes have ended."""

    cause: Cause
    level: Level
    jobs: frozenset[Process]
