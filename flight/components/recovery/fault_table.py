"""The recovery ladder, and for every fault the rung on which its recovery begins."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from flight.framework.time_units import SECOND
from hal.device import FaultKind

MILLISECOND = SECOND // 1_000


@enum.unique
class Level(enum.IntEnum):
    """The rungs of the ladder; each does more than the one before, and costs more."""

    LOG = 0
    RESTART_JOB = 1
    KILL_CONTEXTS = 2
    GPU_RESET = 3
    DRIVER_RELOAD = 4
    RAIL_POWER_CYCLE = 5
    OTHER_SLOT = 6
    SAFE_MODE = 7

    @property
    def words(self) -> str:
        """Such as: L3 GPU reset."""
        return f"L{int(self)} {_WORDS[self]}"


_WORDS = {
    Level.LOG: "log",
    Level.RESTART_JOB: "restart the job",
    Level.KILL_CONTEXTS: "kill contexts",
    Level.GPU_RESET: "GPU reset",
    Level.DRIVER_RELOAD: "driver reload",
    Level.RAIL_POWER_CYCLE: "rail power-cycle",
    Level.OTHER_SLOT: "boot the other slot",
    Level.SAFE_MODE: "safe mode",
}


@dataclass(frozen=True)
class Rung:
    """How one level is carried out; times in ns."""

    action: str
    """The board's control that does it; empty: it is no control of the board."""
    done: int
    """Time in which whoever does it must say so."""
    verify: int
    """Time from then on in which the readings must be valid again."""
    is_durable: bool = False
    """It may end this computer: that it was begun is on the disk before it is."""
    besides: tuple[str, ...] = ()
    """Further controls of the board that belong to it."""


RUNGS: Mapping[Level, Rung] = {
    Level.RESTART_JOB: Rung("", 0, 3 * SECOND),
    Level.KILL_CONTEXTS: Rung("kill_contexts", 3 * SECOND, 3 * SECOND),
    Level.GPU_RESET: Rung("gpu_reset", 65 * SECOND, 10 * SECOND),
    Level.DRIVER_RELOAD: Rung("driver_reload", 245 * SECOND, 20 * SECOND),
    Level.RAIL_POWER_CYCLE: Rung("rail_power_cycle", 125 * SECOND, 60 * SECOND, is_durable=True),
    Level.OTHER_SLOT: Rung(
        "other_slot", 155 * SECOND, 120 * SECOND, is_durable=True, besides=("confirm_slot",)
    ),
    Level.SAFE_MODE: Rung("", SECOND, 0),
}
CLEAR = 2 * SECOND
"""Time that our processes have to leave the GPU before it is reset under them."""
GATHER = 100 * MILLISECOND
"""How long after an XID its companions come, by NVIDIA's catalogue; NVML tells no order."""
POLL = 100 * MILLISECOND
"""How long the board server may keep a fault before it passes it on."""
SILENCE = 30 * SECOND
"""Readings that stay away for so long, through replaced board servers, call for rail power."""
STRIKE_CEILING = Level.RAIL_POWER_CYCLE
"""Strikes alone raise a recovery up to here; further only an action that did not help."""


@enum.unique
class Kind(enum.IntEnum):
    """What sort of cause a recovery has: `hal.device.FaultKind`, and what only we can see."""

    XID = FaultKind.XID.value
    ECC_CORRECTED = FaultKind.ECC_CORRECTED.value
    ECC_UNCORRECTED = FaultKind.ECC_UNCORRECTED.value
    LOST = FaultKind.LOST.value
    OTHER = FaultKind.OTHER.value
    OVERFLOW = 5
    """More faults came than were told; the code is how many were left out."""
    SILENT = 16
    """No readings for a long time."""
    UNKILLABLE = 17
    """The board server was killed and lives on: the driver holds it."""
    ORDER = 18
    """A telecommand."""
    JOB_UNKILLABLE = 19
    """A process of a job was killed and lives on: the driver holds it."""


@enum.unique
class Wait(enum.Enum):
    """What a fault waits for before it is acted upon."""

    NOTHING = "nothing"
    COMPANION = "companion"
    """Another XID tells how bad it is."""
    GUIDANCE = "guidance"
    """The driver's recommended action (NVML field 230)."""
    JOB_END = "job end"
    """A job of ours that died of it."""


WAITS: Mapping[Wait, int] = {
    Wait.COMPANION: GATHER + POLL,
    Wait.GUIDANCE: 3 * SECOND,
    Wait.JOB_END: SECOND,
}
"""How long, in ns."""


@enum.unique
class Ask(enum.Enum):
    """What another part of the payload is asked for besides the action."""

    PROTECTION = "to protect results better"
    GOLDEN = "to check memory, and to reload from golden what is lost"

    @property
    def by_ground(self) -> str:
        """What ground should do where nobody on board does."""
        return _BY_GROUND[self]


_BY_GROUND = {
    Ask.PROTECTION: "nobody on board raises protection now; submit jobs with a higher level",
    Ask.GOLDEN: "nobody on board checks memory now; verify its files, or restart the payload",
}


@dataclass(frozen=True)
class Row:
    """What one fault means and what is done about it."""

    meaning: str
    level: Level
    """Where recovery begins, when nothing that it waits for says otherwise."""
    wait: Wait = Wait.NOTHING
    companions: Mapping[int, Level] = field(default_factory=dict)
    """XID that decides for this one → the level then. With COMPANION and none named: any."""
    boundary: Level = Level.LOG
    """What is due besides, once the jobs that run now have ended."""
    strikes: int = 3
    """So many within the decay time raise the level by one; 0: never."""
    is_software_when_repeated: bool = False
    """The same again in the same job, at the same place, is the job's own mistake."""
    advice: str = ""
    """What ground should do besides."""
    ask: Ask | None = None
    """Who on board is asked for something besides."""


L = Level
_ECC: Mapping[int, Level] = {
    94: L.RESTART_JOB,
    95: L.GPU_RESET,
    63: L.RESTART_JOB,
    64: L.GPU_RESET,
}

# NVIDIA's XID catalogue (r580) gives meaning and immediate action; the level is ours.
XIDS: Mapping[int, Row] = {
    8: Row("engine idle timeout", L.RESTART_JOB),
    13: Row("graphics engine exception", L.RESTART_JOB, is_software_when_repeated=True),
    31: Row("GPU memory page fault", L.RESTART_JOB),
    32: Row("corrupted push buffer", L.RESTART_JOB),
    43: Row("a channel was reset", L.RESTART_JOB, Wait.JOB_END),
    45: Row("channel removed after another error", L.RESTART_JOB, Wait.COMPANION),
    46: Row("GPU stopped processing", L.GPU_RESET),
    48: Row("double-bit ECC error", L.GPU_RESET, Wait.COMPANION, companions=_ECC),
    61: Row("internal micro-controller breakpoint", L.GPU_RESET),
    62: Row("internal micro-controller halt", L.GPU_RESET),
    63: Row("row remapping recorded", L.LOG, boundary=L.GPU_RESET),
    64: Row(
        "row remapping failed",
        L.GPU_RESET,
        advice="no spare row is left, and nothing on board keeps jobs out of the bad one: submit "
        "small jobs, and none without protection",
    ),
    74: Row(
        "NVLink error",
        L.GPU_RESET,
        advice="jobs of this payload use one GPU each: submit none that needs several",
    ),
    79: Row("GPU has fallen off the bus", L.RAIL_POWER_CYCLE),
    92: Row(
        "high single-bit ECC error rate",
        L.LOG,
        advice="look whether the orbit explains it",
        ask=Ask.PROTECTION,
    ),
    94: Row("contained memory error", L.RESTART_JOB),
    95: Row("uncontained memory error", L.GPU_RESET, ask=Ask.GOLDEN),
    109: Row("context switch timeout", L.GPU_RESET),
    110: Row("security fault", L.GPU_RESET),
    119: Row("GPU system processor timeout", L.GPU_RESET),
    120: Row("GPU system processor error", L.GPU_RESET),
    121: Row("corrected C2C error", L.LOG, strikes=0),
    136: Row("link training failed", L.GPU_RESET),
    140: Row("unrecovered ECC error", L.GPU_RESET),
    143: Row("GPU initialisation failed", L.DRIVER_RELOAD),
    154: Row("recovery action changed", L.LOG, Wait.GUIDANCE),
    156: Row("resource retirement", L.GPU_RESET),
    157: Row("resource retirement failed", L.LOG),
    158: Row("GPU fatal timeout", L.GPU_RESET),
    171: Row("uncorrectable DRAM error: the place of an XID 48", L.LOG, strikes=0),
    172: Row("uncorrectable SRAM error: the place of an XID 48", L.LOG, strikes=0),
}

_COUNTED = "counted by the driver"
_SAID_BY_XID = "its XID decides"

# Other events of NVML by their type.
OTHERS: Mapping[tuple[Kind, int], Row] = {
    (Kind.ECC_CORRECTED, 0x200): Row(
        "storm of single-bit errors", L.LOG, advice=XIDS[92].advice, ask=Ask.PROTECTION
    ),
    (Kind.OTHER, 0x400): Row(f"row remapping recorded: {_SAID_BY_XID}", L.LOG, strikes=0),
    (Kind.OTHER, 0x800): Row(f"row remapping failed: {_SAID_BY_XID}", L.LOG, strikes=0),
    (Kind.OTHER, 0x1000): Row(f"poison, contained: {_SAID_BY_XID}", L.LOG, strikes=0),
    (Kind.OTHER, 0x2000): Row(f"poison, not contained: {_SAID_BY_XID}", L.LOG, strikes=0),
    (Kind.OTHER, 0x4000): Row("GPU is unavailable", L.RAIL_POWER_CYCLE),
    (Kind.OTHER, 0x8000): Row("recovery action changed", L.LOG, Wait.GUIDANCE),
    (Kind.ECC_UNCORRECTED, 2): Row(f"double-bit error: {_SAID_BY_XID}", L.LOG, strikes=0),
}

# The faults of a Jetson by `hal.jetson.faults.JetsonFault`. What slows the module down protects
# it; what comes close to its limits ends the load that brought it there; a module that passed its
# critical trip has switched itself off, and only its rail brings it back.
JETSON: Mapping[tuple[Kind, int], Row] = {
    (Kind.OTHER, 1): Row("over-current, warning: it slows down", L.LOG, strikes=0),
    (Kind.OTHER, 2): Row("over-current, critical: the load ends", L.RESTART_JOB, strikes=2),
    (Kind.OTHER, 3): Row("over-current: it slowed down", L.LOG, strikes=0),
    (Kind.OTHER, 4): Row("heat: it slows down", L.LOG, strikes=0),
    (Kind.OTHER, 5): Row("above the hot trip: the load ends", L.RESTART_JOB, strikes=2),
    (Kind.OTHER, 6): Row("above the critical trip: it switches itself off", L.RAIL_POWER_CYCLE),
    (Kind.ECC_CORRECTED, 7): Row(f"corrected memory error: {_COUNTED}", L.LOG, strikes=0),
    (Kind.ECC_UNCORRECTED, 8): Row(
        "uncorrected memory error, of GPU and processors alike", L.RESTART_JOB, ask=Ask.GOLDEN
    ),
}

ANY: Mapping[Kind, Row] = {
    Kind.XID: Row("an XID that is not in the table", L.LOG, strikes=0),
    Kind.ECC_CORRECTED: Row(f"corrected memory error: {_COUNTED}", L.LOG, strikes=0),
    Kind.ECC_UNCORRECTED: Row("uncorrected memory error", L.RESTART_JOB),
    Kind.LOST: Row("the GPU answers nobody", L.RAIL_POWER_CYCLE),
    Kind.OTHER: Row("a driver event that is not in the table", L.LOG, strikes=0),
    Kind.OVERFLOW: Row("faults were left out", L.LOG, strikes=0),
    Kind.SILENT: Row("the driver answers no board server", L.RAIL_POWER_CYCLE, strikes=0),
    Kind.UNKILLABLE: Row("the driver holds a killed board server", L.RAIL_POWER_CYCLE, strikes=0),
    Kind.JOB_UNKILLABLE: Row("the driver holds a killed job", L.GPU_RESET, strikes=0),
    Kind.ORDER: Row("by telecommand", L.LOG, strikes=0),
}
"""For what is in no table above."""

GUIDANCE: Mapping[int, tuple[Level, Level]] = {
    0: (L.LOG, L.LOG),
    1: (L.GPU_RESET, L.LOG),
    2: (L.RAIL_POWER_CYCLE, L.LOG),
    3: (L.LOG, L.GPU_RESET),
    4: (L.LOG, L.GPU_RESET),
}
"""NVML field 230 → the level now, and the level at the next job boundary.

0 none, 1 reset, 2 reboot the node (here its rail is what can be switched), 3 drain peer-to-peer
traffic, 4 drain and reset: the last two let the job that runs come to its end.
"""


def row_of(kind: Kind, code: int) -> Row:
    """The row of a fault."""
    if kind is Kind.XID and code in XIDS:
        return XIDS[code]
    return OTHERS.get((kind, code)) or JETSON.get((kind, code)) or ANY[kind]


def controls_up_to(level: Level) -> tuple[str, ...]:
    """The board's controls that a payload with this highest level needs."""
    rungs = [rung for at, rung in RUNGS.items() if rung.action and at <= level]
    return tuple(control for rung in rungs for control in (rung.action, *rung.besides))


def level_named(text: str) -> Level:
    """The level of a name such as L3; raises ValueError with what to write."""
    names = {f"L{int(level)}": level for level in Level}
    if text not in names:
        raise ValueError(f"{text!r} is no recovery level; give L0 … L7, such as 'L1'")
    return names[text]
