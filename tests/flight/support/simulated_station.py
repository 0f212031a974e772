"""A station of the simulated payload that asks how telecommands ended."""

from __future__ import annotations

from typing import Any

from flight.deployment.simulated_station import SeenEvent, SimulatedStation
from icd.reports import Stage

__all__ = ["Operator", "SeenEvent"]


class Operator(SimulatedStation):
    """Sends, lets time pass, and says what came of it."""

    def outcome(self, request_id: bytes) -> Stage:
        """The one final stage of a telecommand; fails when there is none, or more than one."""
        final = [stage for stage in self.stages.get(request_id, []) if stage.is_final]
        assert len(final) == 1, (request_id.hex(), self.stages.get(request_id))
        return final[0]

    def do(self, name: str, *values: Any, seconds: float = 1.0) -> tuple[Stage, str]:
        """Send, let time pass, and say how it ended and why."""
        request_id = self.send(name, *values)
        self.settle(seconds)
        return self.outcome(request_id), self.reasons.get(request_id, "")

    def result_of(self, request_id: bytes) -> dict[str, Any]:
        """What a command gave back."""
        return self.results[request_id]

    def seen(self, name: str) -> list[SeenEvent]:
        """Events of that name."""
        return [event for event in self.events if event.name == name]
