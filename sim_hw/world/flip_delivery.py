"""Sends flips that were drawn to the compute context whose memory they strike.

`[flips] door` of the scenario says which:

"job"      always a context that computes, whatever it holds
"memory"   the device's memory end to end: what the system holds, each context, what is free;
           most draws fall where nobody computes
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from icd import flips
from icd.board_state import BoardState, ContextRow
from icd.flips import FlipDraw, FlipKind, Letter
from sim_hw.world.faults import Fault

NOBODY = "nothing computes on the board"
UNUSED = "memory that nobody computes with"


class FlipDelivery:
    """The way from the world to the memory's owner, for one device of a board."""

    def __init__(self, folder: Path, door: str, acceleration: float, device: int = 0) -> None:
        self._board = BoardState.attach(folder / "board.state")
        self._door, self._acceleration, self._device = door, acceleration, device
        self._draws, self._log = folder / flips.DRAWS, folder / flips.LOG
        for path in (self._draws, self._log):  # a job is allowed to use files that are there
            flips.append(path)

    def send(self, fault: Fault) -> None:
        """Send the flip of a fault, or say in the log that it hit nobody."""
        draw = fault.flip
        if draw is None:
            return
        slots = self._live()
        addressed = self._address(draw, slots) if slots else None
        if addressed is None:
            reason = UNUSED if slots else NOBODY
            flips.append(self._log, flips.missed_line(draw, fault.elapsed_s, reason))
            return
        slot, draw = addressed
        row = self._board.contexts[slot]
        letter = Letter(draw, int(row.pid), slot, fault.elapsed_s, self._acceleration)
        flips.append(self._draws, letter.line())
        row.flips_sent += 1  # last: whoever sees it finds the line

    def close(self) -> None:
        """Close the board-state file."""
        self._board.close()

    def _live(self) -> list[int]:
        """Slots of the contexts that the device computes for."""
        device = self._board.devices[self._device]
        if device.lost or device.needs_reset:
            return []
        return [slot for slot, row in enumerate(self._board.contexts) if self._is_live(row)]

    def _is_live(self, row: ContextRow) -> bool:
        generation = self._board.devices[self._device].generation
        here = (row.device, row.generation) == (self._device, generation)
        return bool(row.pid and here and not row.killed_by)

    def _address(self, draw: FlipDraw, slots: list[int]) -> tuple[int, FlipDraw] | None:
        """The context that a draw hits, and the draw within its memory; None: it hits none."""
        contexts = self._board.contexts
        if draw.kind is FlipKind.LOGIC:
            slots = [slot for slot in slots if contexts[slot].running_since_ns] or slots
        if draw.kind is FlipKind.LOGIC or self._door == "job":
            which, where = divmod(draw.where * len(slots), 1 << 64)
            return slots[which], replace(draw, where=where)
        device = self._board.devices[self._device]
        sizes = [int(device.reserved_bytes), *(int(contexts[slot].memory_bytes) for slot in slots)]
        sizes.append(max(0, int(device.memory_bytes) - sum(sizes)))
        found = flips.share_out(draw.where, sizes)
        if found is None or not 1 <= found[0] <= len(slots):
            return None
        return slots[found[0] - 1], replace(draw, where=found[1])
