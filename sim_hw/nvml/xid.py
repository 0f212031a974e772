"""What each XID does to the GPU that reports it, and what it takes to cure it."""

from __future__ import annotations

import enum
from dataclasses import dataclass


@enum.unique
class Blow(enum.IntEnum):
    """What happens to the compute contexts on the GPU."""

    NOTHING = 0
    ONE_CONTEXT = 1
    """The context that was computing dies; its process must start again."""
    EVERY_CONTEXT = 2
    OFF_BUS = 3
    """Every context dies, and the GPU answers nobody."""


@enum.unique
class Cure(enum.IntEnum):
    """The mildest action after which the GPU works again."""

    NONE = 0
    GPU_RESET = 3
    DRIVER_RELOAD = 4
    RAIL_POWER_CYCLE = 5


@enum.unique
class Recommended(enum.IntEnum):
    """What field 230 says (nvmlDeviceGpuRecoveryAction_t)."""

    NONE = 0
    GPU_RESET = 1
    NODE_REBOOT = 2
    DRAIN_P2P = 3
    DRAIN_AND_RESET = 4


@dataclass(frozen=True)
class Effect:
    """What one XID does; `event` is a further NVML event type that comes with it, 0 for none."""

    blow: Blow = Blow.NOTHING
    cure: Cure = Cure.NONE
    recommended: Recommended = Recommended.NONE
    event: int = 0


OFF_BUS, DOUBLE_BIT, REMAPPED, REMAP_FAILED = 79, 48, 63, 64
CONTAINED, UNCONTAINED, RECOVERY_CHANGED = 94, 95, 154

_STORM, _RETIRED, _RETIREMENT_FAILED = 0x200, 0x400, 0x800
_POISON, _FATAL_POISON, _UNAVAILABLE = 0x1000, 0x2000, 0x4000

_HARMLESS = Effect()
_ONE_CONTEXT = Effect(Blow.ONE_CONTEXT)
_RESET = Effect(Blow.EVERY_CONTEXT, Cure.GPU_RESET, Recommended.GPU_RESET)

# NVIDIA's XID catalogue (r580) for the immediate action; which contexts die follows from it:
# RESTART_APP ends one, RESET_GPU all of them, RESTART_BM takes the GPU away.
EFFECTS: dict[int, Effect] = {
    8: _ONE_CONTEXT,
    13: _ONE_CONTEXT,
    31: _ONE_CONTEXT,
    32: _ONE_CONTEXT,
    43: _ONE_CONTEXT,
    45: _ONE_CONTEXT,
    46: _RESET,
    DOUBLE_BIT: _HARMLESS,  # 94 or 95, which follow it, say how bad it is
    61: _RESET,
    62: _RESET,
    REMAPPED: Effect(event=_RETIRED),
    REMAP_FAILED: Effect(
        Blow.EVERY_CONTEXT, Cure.GPU_RESET, Recommended.GPU_RESET, _RETIREMENT_FAILED
    ),
    74: _RESET,
    OFF_BUS: Effect(
        Blow.OFF_BUS, Cure.RAIL_POWER_CYCLE, Recommended.NODE_REBOOT, event=_UNAVAILABLE
    ),
    92: Effect(event=_STORM),
    CONTAINED: Effect(Blow.ONE_CONTEXT, event=_POISON),
    UNCONTAINED: Effect(
        Blow.EVERY_CONTEXT, Cure.GPU_RESET, Recommended.GPU_RESET, event=_FATAL_POISON
    ),
    109: _RESET,
    110: _RESET,
    119: _RESET,
    120: _RESET,
    121: _HARMLESS,
    136: _RESET,
    140: _RESET,
    143: Effect(Blow.EVERY_CONTEXT, Cure.DRIVER_RELOAD, Recommended.NODE_REBOOT),
    RECOVERY_CHANGED: _HARMLESS,
    156: _RESET,
    157: _HARMLESS,
    158: _RESET,
    171: _HARMLESS,
    172: _HARMLESS,
}


def effect(code: int) -> Effect:
    """The effect of an XID; one that is not in the table does nothing but be reported."""
    return EFFECTS.get(code, _HARMLESS)
