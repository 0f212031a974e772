"""What the recovery lifecycle is told, and what it asks for in return."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flight.components.board.notifications import Condition
from flight.components.recovery.fault_table import Ask, Level
from flight.components.recovery.strikes import Cause
from flight.framework.time_units import HOUR, SECOND

Process = tuple[int, int]
"""A job and its attempt: one process of ours."""


@dataclass(frozen=True)
class Policy:
    """What the lifecycle decides by; times in ns."""

    max_level: Level = Level.RESTART_JOB
    decay: int = 24 * HOUR
    most: int = 24
    window: int = HOUR
    most_heavy: int = 8
    heavy_window: int = 24 * HOUR
    period: int = SECOND
    """Time between two readings: an action is not judged before the second one could come."""


# ---------------------------------------------------------------- stimuli


@dataclass(frozen=True)
class Fault:
    """Something happened to a device.

    Who counts it and its number there tell two alike from one told twice.
    """

    cause: Cause
    text: str
    origin: int
    sequence: int


@dataclass(frozen=True)
class Readings:
    """Readings of a device came at `received`.

    `guidance` is NVML's field 230 and `slot` the boot slot that runs, where the board tells.
    """

    device: int
    received: int
    condition: Condition
    guidance: int | None
    slot: int | None = None


@dataclass(frozen=True)
class Back:
    """A device that was lost answers again."""

    device: int


@dataclass(frozen=True)
class Running:
    """The processes of our jobs, and the jobs whose last process failed and that wait for more."""

    processes: frozenset[Process] = frozenset()
    failed: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Silent:
    """No readings come any more (or again, when not)."""

    is_silent: bool


@dataclass(frozen=True)
class Done:
    """An action ended, as whoever did it says."""

    action: int
    ok: bool
    text: str


@dataclass(frozen=True)
class Saved:
    """What was to be durable before an action is."""

    action: int


@dataclass(frozen=True)
class Order:
    """Ground wants one action; `number` names the telecommand."""

    level: Level
    device: int
    number: int


@dataclass(frozen=True)
class Enable:
    is_enabled: bool


@dataclass(frozen=True)
class ForgetStrikes:
    """Of a device and an XID or event code; None stands for any."""

    device: int | None
    code: int | None


@dataclass(frozen=True)
class SetPolicy:
    policy: Policy


@dataclass(frozen=True)
class Restore:
    """What the last executive saved."""

    saved: Mapping[str, Any]


@dataclass(frozen=True)
class Tick: ...


Directive = Order | Enable | ForgetStrikes | SetPolicy | Restore
"""What ground wants, and what an executive begins with."""
Stimulus = Fault | Readings | Back | Running | Silent | Done | Saved | Directive | Tick

# ---------------------------------------------------------------- instructions


@dataclass(frozen=True)
class HoldJobs:
    reason: str


@dataclass(frozen=True)
class ReleaseJobs: ...


@dataclass(frozen=True)
class RecallJobs:
    """End the processes of our jobs; each goes on from its last commit once jobs may run."""

    reason: str
    begun_by: int
    """Those begun later are let run; on-board ns."""


@dataclass(frozen=True)
class Act:
    """Carry out a level above L1; tell `Done` with the same number."""

    action: int
    level: Level
    device: int
    reason: str


@dataclass(frozen=True)
class Reboot:
    """Start this computer's software anew, for what was done needs that."""

    reason: str


@dataclass(frozen=True)
class ConfirmSlot:
    """Tell the boot loader that the running slot booted well, so that it stays with it."""

    device: int


@dataclass(frozen=True)
class AskOther:
    """Ask another part of the payload for something, because of a fault."""

    what: Ask
    device: int
    fault: str


@dataclass(frozen=True)
class Save:
    """Keep this for the next executive; tell `Saved` of an action when it is durable."""

    content: Mapping[str, Any]
    action: int | None = None


@dataclass(frozen=True)
class CountAction:
    """Count an action of that level as begun."""

    level: Level


@dataclass(frozen=True)
class KeepRecoveryTime:
    """Show `seconds` as the time from a fault to its recovery."""

    seconds: float


@dataclass(frozen=True)
class Answer:
    """Answer an order."""

    number: int
    ok: bool
    text: str


Instruction = (
    HoldJobs
    | ReleaseJobs
    | RecallJobs
    | Act
    | Reboot
    | ConfirmSlot
    | AskOther
    | Save
    | CountAction
    | KeepRecoveryTime
    | Answer
)
