"""What an upset leads to: a table per board and memory, and the bits that flip.

memory with ECC     corrected: a counter · uncorrectable: XID, the context dies · escape: flips
memory without ECC  every upset of it flips bits, and nobody is told
logic               a wrong result: flips in what the computation writes
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from icd.flips import FlipKind
from sim_hw.world.devices import DEVICES, Upset


@enum.unique
class Recovery(enum.Enum):
    """The least that ends the effect."""

    NONE = "none"
    RESTART_JOB = "restart job"
    RESTART_PROCESS = "restart process"
    RESET_GPU = "reset gpu"
    REBOOT = "reboot"
    POWER_CYCLE = "power cycle"
    REPLACE = "none on board"


@dataclass(frozen=True)
class Effect:
    """What is seen of an upset, and what is not."""

    name: str
    recovery: Recovery = Recovery.NONE
    xids: tuple[int, ...] = ()
    """Codes the driver reports, in this order."""
    counter: tuple[str, str] | None = None
    """ECC counter that goes up by one: memory ("dram", "sram") and kind."""
    flips: FlipKind | None = None
    """Whether bits flip, and with the patterns of which part."""

    @property
    def kills_context(self) -> bool:
        """Whether the computation that ran ends with it."""
        return self.recovery is not Recovery.NONE


Outcomes = tuple[tuple[float, Effect], ...]
"""Shares, which add up to 1, and what happens."""

_LATCHED = Effect("latch-up", Recovery.POWER_CYCLE)
_SILENT = Effect("silent flip", flips=FlipKind.MEMORY)
_WRONG = Effect("wrong result", flips=FlipKind.LOGIC)
_HOST: Outcomes = (  # shares of a small SoC in a beam: 2, 4 and 1 of 7
    (0.30, Effect("host process dies", Recovery.RESTART_PROCESS)),
    (0.55, Effect("host hangs", Recovery.REBOOT)),
    (0.15, Effect("host is dead until power-cycled", Recovery.POWER_CYCLE)),
)


def _corrected(memory: str) -> Outcomes:
    return ((1.0, Effect("corrected", counter=(memory, "corrected"))),)


def _interrupt(code: int, name: str, recovery: Recovery) -> Effect:
    return Effect(name, recovery, (code,))


_H100_ALWAYS: dict[Upset, Outcomes] = {
    Upset.SRAM_CORRECTABLE: _corrected("sram"),
    Upset.SRAM_UNCORRECTABLE: (  # estimate: most poison is contained
        (0.7, Effect("poison, contained", Recovery.RESTART_JOB, (48, 94), ("sram", "uncorrected"))),
        (0.3, Effect("poison, uncontained", Recovery.RESET_GPU, (48, 95), ("sram", "uncorrected"))),
    ),
    Upset.LOGIC: ((1.0, _WRONG),),
    Upset.GPU_INTERRUPT: (  # 13/31 40 %, 119/120/62 25 %, 43/45 15 %, 109/46 10 %, 79 10 %
        (0.20, _interrupt(13, "graphics engine exception", Recovery.RESTART_JOB)),
        (0.20, _interrupt(31, "page fault", Recovery.RESTART_JOB)),
        (0.15, _interrupt(119, "system processor does not answer", Recovery.RESET_GPU)),
        (0.05, _interrupt(120, "system processor error", Recovery.RESET_GPU)),
        (0.05, _interrupt(62, "micro-controller halt", Recovery.RESET_GPU)),
        (0.10, _interrupt(43, "channel reset", Recovery.RESTART_JOB)),
        (0.05, _interrupt(45, "channel removed", Recovery.RESTART_JOB)),
        (0.05, _interrupt(109, "context switch timeout", Recovery.RESET_GPU)),
        (0.05, _interrupt(46, "gpu timeout", Recovery.RESET_GPU)),
        (0.10, _interrupt(79, "fallen off the bus", Recovery.POWER_CYCLE)),
    ),
    Upset.HOST_INTERRUPT: _HOST,
    Upset.LATCH_UP: ((1.0, _LATCHED),),
    Upset.GPU_FAILURE: ((1.0, Effect("gpu fails for good", Recovery.REPLACE, (79,))),),
    Upset.PROCESSOR_FAILURE: (
        (1.0, _interrupt(119, "system processor does not answer", Recovery.RESET_GPU)),
    ),
    Upset.MEMORY_FAILURE: (  # estimate: spare rows last for most of the failures
        (0.9, Effect("row fails, remapped", Recovery.RESET_GPU, (48, 63), ("dram", "uncorrected"))),
        (0.1, Effect("row fails, no spare", Recovery.RESET_GPU, (48, 64), ("dram", "uncorrected"))),
    ),
}
_H100_ECC: dict[Upset, Outcomes] = {
    **_H100_ALWAYS,
    Upset.DRAM_CORRECTABLE: _corrected("dram"),
    Upset.DRAM_UNCORRECTABLE: (  # estimate: 80 % contained, 1 % escape a SECDED code
        (
            0.80,
            Effect("contained", Recovery.RESTART_JOB, (48, 63, 94), ("dram", "uncorrected")),
        ),
        (
            0.19,
            Effect("uncontained", Recovery.RESET_GPU, (48, 63, 95), ("dram", "uncorrected")),
        ),
        (0.01, Effect("ECC escape", flips=FlipKind.MEMORY)),
    ),
}
_PLAIN: dict[Upset, Outcomes] = {
    Upset.DRAM_CORRECTABLE: ((1.0, _SILENT),),
    Upset.DRAM_UNCORRECTABLE: ((1.0, _SILENT),),
}
_ORIN_ALWAYS: dict[Upset, Outcomes] = {
    Upset.SRAM_CORRECTABLE: _corrected("sram"),
    Upset.SRAM_UNCORRECTABLE: (
        (1.0, Effect("kernel ends", Recovery.REBOOT, counter=("sram", "uncorrected"))),
    ),
    Upset.LOGIC: ((1.0, _WRONG),),
    Upset.GPU_INTERRUPT: ((1.0, Effect("gpu hangs", Recovery.REBOOT)),),
    Upset.HOST_INTERRUPT: _HOST,
    Upset.LATCH_UP: ((1.0, _LATCHED),),
    Upset.GPU_FAILURE: ((1.0, Effect("module fails for good", Recovery.REPLACE)),),
    Upset.PROCESSOR_FAILURE: ((1.0, Effect("kernel ends", Recovery.REBOOT)),),
    Upset.MEMORY_FAILURE: ((1.0, Effect("memory fails", Recovery.REBOOT)),),
}
_ORIN_ECC: dict[Upset, Outcomes] = {
    **_ORIN_ALWAYS,
    Upset.DRAM_CORRECTABLE: _corrected("dram"),
    Upset.DRAM_UNCORRECTABLE: (
        (0.99, Effect("kernel ends", Recovery.REBOOT, counter=("dram", "uncorrected"))),
        (0.01, Effect("ECC escape", flips=FlipKind.MEMORY)),
    ),
}

_WITH_XID = [name for name, device in DEVICES.items() if device.has_xid]
EFFECTS: dict[tuple[str, str], dict[Upset, Outcomes]] = {
    **{(name, "ecc"): _H100_ECC for name in _WITH_XID},
    **{(name, "plain"): {**_H100_ALWAYS, **_PLAIN} for name in _WITH_XID},
    ("orin", "ecc"): _ORIN_ECC,
    ("orin", "plain"): {**_ORIN_ALWAYS, **_PLAIN},
}
"""(board, memory) -> upset -> outcomes."""


def outcome(outcomes: Outcomes, draw: float) -> Effect:
    """The effect that a draw from [0, 1) falls on."""
    for share, effect in outcomes:
        draw -= share
        if draw < 0.0:
            return effect
    return outcomes[-1][1]
