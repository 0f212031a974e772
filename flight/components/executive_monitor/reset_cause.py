"""Why the executive started: told to ground, for who was there knows best."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flight.components.recovery.fault_table import Kind, Level

BOOT, LEAVING = "boot", "leaving"
"""Keys of what is saved: where the last executive ran, and why it had everything start again."""


@enum.unique
class BootCause(enum.IntEnum):
    """What made it start; numbers are for ever."""

    UNKNOWN = 0
    """Nothing of the last boot is left to tell."""
    FIRST_START = 1
    EXECUTIVE = 2
    """The executive alone: it ended, or was ended by its supervisor."""
    PAYLOAD = 3
    """The payload was stopped and started; its computer ran on."""
    POWER = 4
    """The computer started again, and nobody on board had asked for it."""
    HOST_BUS = 5
    """Recovery had the host switch the power."""
    COMMANDED = 6
    """The same, by telecommand."""
    WATCHDOG = 7
    """The computer's hardware watchdog reset it."""

    @property
    def words(self) -> str:
        """As an event says it."""
        return _WORDS[self]


_WORDS = {
    BootCause.UNKNOWN: "cause unknown",
    BootCause.FIRST_START: "never before",
    BootCause.EXECUTIVE: "the executive alone",
    BootCause.PAYLOAD: "the payload was started again",
    BootCause.POWER: "the computer started again",
    BootCause.HOST_BUS: "recovery had the power switched",
    BootCause.COMMANDED: "the power was switched by telecommand",
    BootCause.WATCHDOG: "the hardware watchdog reset the computer",
}


@dataclass(frozen=True)
class Boot:
    """Where an executive runs: the computer's boot and its supervisor, each by a name."""

    computer: str = ""
    supervisor: str = ""

    def saved(self) -> dict[str, str]:
        """For the next executive."""
        return {"computer": self.computer, "supervisor": self.supervisor}


def cause_of(saved: Mapping[str, Any], now: Boot) -> BootCause:
    """Why this executive starts, by what the last one saved; the watchdog is asked elsewhere."""
    before = saved.get(BOOT)
    if not saved:
        return BootCause.FIRST_START
    if saved.get(LEAVING):
        return _who_asked(saved) or BootCause.HOST_BUS
    if not isinstance(before, dict) or not now.computer:
        return BootCause.UNKNOWN
    if before.get("computer") != now.computer:
        return _who_asked(saved) or BootCause.POWER
    is_same = before.get("supervisor") == now.supervisor
    return BootCause.EXECUTIVE if is_same else BootCause.PAYLOAD


def _who_asked(saved: Mapping[str, Any]) -> BootCause | None:
    """Who asked for power, if the last executive ended in an action that switches it."""
    recovery = saved.get("recovery")
    acting = recovery.get("acting") if isinstance(recovery, dict) else None
    if not isinstance(acting, list) or len(acting) < 4:
        return None
    if acting[3] not in (Level.RAIL_POWER_CYCLE, Level.OTHER_SLOT):
        return None
    return BootCause.COMMANDED if acting[1] == Kind.ORDER else BootCause.HOST_BUS
