"""What the protection component needs of the rest of the payload; the deployment connects it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from flight.fault_tolerance.levels import Level


class Jobs(Protocol):
    """The job runner, as protection sees it."""

    def protect(self, level: Level) -> None:
        """Run adaptive jobs at this level from now on."""
        ...


class Errors(Protocol):
    """Whoever counts errors that radiation makes."""

    def totals(self) -> Mapping[str, int]:
        """Counters that only rise, by source; a source that cannot be read now is left out."""
        ...
