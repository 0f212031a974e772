"""Does to an emulated board what the world drew: counters, XIDs, dead contexts.

A companion that flies a scenario calls `strike_h100` or `strike_orin` with each fault of a step.
What is beyond the board is left to the caller, and said in the answer: the host's reboot, the
rail's power cycle. Flips are applied by the owner of the memory.
"""

from __future__ import annotations

from typing import Protocol

from sim_hw.world.effects import Effect, Recovery
from sim_hw.world.faults import Fault

_CONTAINMENT = {94: "contained", 95: "uncontained"}
_REMAP_FAILED = 64
_OF_THE_HOST = (Recovery.RESTART_PROCESS, Recovery.REBOOT, Recovery.POWER_CYCLE)


class NvmlBoard(Protocol):
    """An emulated board with NVML: `sim_hw.nvml.inject.World`."""

    def ecc(
        self,
        index: int,
        corrected: int,
        uncorrected: int,
        place: str = ...,
        bank: int | None = ...,
        containment: str | None = ...,
    ) -> None: ...

    def xid(self, index: int, code: int, pid: int | None = ...) -> None: ...


class OrinBoard(Protocol):
    """An emulated Jetson: `sim_hw.orin.inject.OrinWorld`."""

    def ecc(self, corrected: int, uncorrected: int) -> None: ...

    def crash(self, pid: int | None = ...) -> int: ...


def strike_h100(board: NvmlBoard, gpu: int, fault: Fault) -> Recovery:
    """Strike one GPU; what is left for the host to suffer, or `NONE`.

    The row remap that goes with an uncorrectable error, and its XID, are the board's own: when the
    spare rows of a bank are used up, it reports 64 where the table has 63.
    """
    effect = fault.effect
    if effect.counter is not None:
        place, kind = effect.counter
        if kind == "corrected":
            board.ecc(gpu, 1, 0, place)
        elif _REMAP_FAILED in effect.xids:
            _report(board, gpu, effect.xids)
        else:
            containment = _CONTAINMENT.get(effect.xids[-1])
            board.ecc(gpu, 0, 1, place, containment=containment)
    else:
        _report(board, gpu, effect.xids)
    return left_for_host(effect)


def left_for_host(effect: Effect) -> Recovery:
    """What of an effect the board cannot show, since it is its host's to suffer, or `NONE`."""
    return effect.recovery if not effect.xids and effect.recovery in _OF_THE_HOST else Recovery.NONE


def _report(board: NvmlBoard, gpu: int, codes: tuple[int, ...]) -> None:
    for code in codes:
        board.xid(gpu, code)


def strike_orin(board: OrinBoard, fault: Fault) -> Recovery:
    """Strike a module; what is left for the host to suffer, or `NONE`."""
    effect = fault.effect
    if effect.counter is not None:
        is_corrected = effect.counter[1] == "corrected"
        board.ecc(int(is_corrected), int(not is_corrected))
    if effect.kills_context:
        board.crash()
    return left_for_host(effect)
