"""What the world may do to an emulated board, by the model of the board."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from icd.board_state import BoardState, ContextRow
from icd.processes import process_start_time
from sim_hw.nvml import inject
from sim_hw.nvml.profiles import BOARDS
from sim_hw.orin import inject as orin_inject
from sim_hw.orin.constants import MODES
from sim_hw.world.effects import Recovery
from sim_hw.world.faults import Fault
from sim_hw.world.settings import SettingsError
from sim_hw.world.striking import strike_h100, strike_orin

Kill = Callable[[int, int], None]


class BoardAdapter(Protocol):
    """What the world may do to a board."""

    @property
    def is_on(self) -> bool:
        """Whether its rail is fed."""

    def sink(self, sink_c: float) -> None:
        """Set what the radiator sees."""

    def rail(self, on: bool) -> None:
        """Switch the board's rail; while it is off, every call fails, and its memory is lost."""

    def limit(self, power_w: float) -> None:
        """Set the power limit, as an operator does before launch."""

    def strike(self, fault: Fault) -> Recovery:
        """Do a fault to the board; what is left for its host."""

    def close(self) -> None:
        """Close the board's files."""


class NvmlAdapter:
    """The emulated board with NVML of a folder."""

    def __init__(self, folder: Path) -> None:
        self._board = inject.World(folder)

    @property
    def is_on(self) -> bool:
        return bool(self._board.nvml.state.driver_loaded)

    def sink(self, sink_c: float) -> None:
        self._board.sink(0, sink_c)

    def rail(self, on: bool) -> None:
        self._board.load_driver(on)
        if on:
            self._board.restore(0)
        else:
            self._board.take_away(0)

    def limit(self, power_w: float) -> None:
        self._board.gpu(0).power_limit_mw = round(1000 * power_w)

    def strike(self, fault: Fault) -> Recovery:
        return strike_h100(self._board, 0, fault)

    def close(self) -> None:
        self._board.close()


class OrinAdapter:
    """The emulated Orin of a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._board = orin_inject.OrinWorld(folder)

    @property
    def is_on(self) -> bool:
        return orin_inject.load(self._folder).power

    def sink(self, sink_c: float) -> None:
        self._board.sink(sink_c)

    def rail(self, on: bool) -> None:
        self._board.power(on)

    def limit(self, power_w: float) -> None:
        mode = str(orin_mode(power_w))
        tool = self._folder / "root" / "usr" / "sbin" / "nvpmodel"
        subprocess.run([tool, "-m", mode], check=True, capture_output=True)

    def strike(self, fault: Fault) -> Recovery:
        return strike_orin(self._board, fault)

    def close(self) -> None:
        """Nothing is kept open."""


ADAPTERS: dict[str, type[NvmlAdapter | OrinAdapter]] = {
    **dict.fromkeys(BOARDS, NvmlAdapter),
    "orin": OrinAdapter,
}


def orin_mode(power_w: float) -> int:
    """The power mode with a budget. Raises SettingsError where there is none."""
    budgets = {mode.budget_w: mode.number for mode in MODES if mode.budget_w}
    if power_w not in budgets:
        known = ", ".join(f'"{budget:g} W"' for budget in sorted(budgets))
        raise SettingsError(
            f"an Orin's power is limited by its power modes; write [board] power_limit = one of "
            f"{known}, or leave it out"
        )
    return budgets[power_w]


class Host:
    """The processes of the payload's host that compute on the board: those that a fault can end."""

    def __init__(self, board_state: Path, kill: Kill = os.kill) -> None:
        self._board = BoardState.attach(board_state)
        self._kill = kill

    def end_one(self, draw: int) -> int | None:
        """End one of them, those that compute now first; its process id, None where none is."""
        rows = [row for row in self._board.contexts if _is_alive(row)]
        running = [row for row in rows if row.running_since_ns] or rows
        if not running:
            return None
        pid = int(running[draw % len(running)].pid)
        self._kill(pid, signal.SIGKILL)
        return pid

    def close(self) -> None:
        """Close the board's file."""
        self._board.close()


def _is_alive(row: ContextRow) -> bool:
    """Whether a context is of a living process, and not of this one."""
    pid = int(row.pid)
    return pid not in (0, os.getpid()) and process_start_time(pid) == row.start_time
