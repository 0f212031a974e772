"""The board as its newest readings show it, and whether it is well after an action."""

from __future__ import annotations

from collections.abc import Iterable

from flight.components.board.notifications import Condition
from flight.components.board.places import BOARD, UNKNOWN
from flight.components.recovery import stimuli as s
from flight.components.recovery.cases import Case
from flight.components.recovery.fault_table import GUIDANCE, Level


class BoardView:
    """The newest readings of each device."""

    def __init__(self) -> None:
        self._readings: dict[int, s.Readings] = {}

    def take(self, readings: s.Readings) -> None:
        """Readings came."""
        self._readings[readings.device] = readings

    def received(self, device: int) -> int | None:
        """When the readings of a device came; None: it knows of none."""
        readings = self._readings.get(device)
        return None if readings is None else readings.received

    def slot(self, after: int = -1) -> int | None:
        """The boot slot that runs, where readings after that time tell."""
        found = (r.slot for r in self._readings.values() if r.received > after)
        return next((slot for slot in found if slot is not None), None)

    def guided(self, device: int) -> Level:
        """What the driver recommends for the device by now."""
        readings = self._readings.get(device)
        if readings is None or readings.guidance is None:
            return Level.LOG
        return GUIDANCE.get(readings.guidance, (Level.LOG, Level.LOG))[0]

    def why_not_well(self, case: Case, processes: Iterable[s.Process]) -> str:
        """What is missing to a recovery; empty: nothing."""
        if not case.jobs.isdisjoint(processes):
            return "a process of ours does not end"
        known = self._readings
        is_any = case.device in (BOARD, UNKNOWN)
        seen = list(known.values()) if is_any else [known.get(case.device)]
        for readings in seen or [None]:
            if readings is None or readings.received <= case.acted:
                return "no readings came"
            if readings.condition is not Condition.WELL:
                return f"its readings are {readings.condition.value}"
            if self.guided(readings.device) > Level.LOG:
                return f"the driver recommends {readings.guidance}"
        return ""
