"""How often each fault has struck lately, and how many actions were spent on recovery."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from flight.components.recovery.fault_table import STRIKE_CEILING, Kind, Level, Row
from flight.framework.time_units import HOUR

MOST_KEPT = 32
"""Strikes kept of one cause on one device; more raise nothing further."""
MOST_CAUSES = 256


_NUMBERED = {
    Kind.XID: "XID",
    Kind.ECC_CORRECTED: "corrected memory error, code",
    Kind.ECC_UNCORRECTED: "memory error, code",
    Kind.OTHER: "board fault",
}
"""What a cause is called whose code tells more."""


@dataclass(frozen=True, order=True)
class Cause:
    """What struck which device."""

    device: int
    kind: Kind
    code: int

    @property
    def words(self) -> str:
        """Such as: XID 79."""
        words = self.kind.name.lower().replace("_", " ")
        return f"{_NUMBERED[self.kind]} {self.code}" if self.kind in _NUMBERED else words


@dataclass
class Strikes:
    """When each cause struck, as far back as its decay time."""

    decay: int = 24 * HOUR
    times: dict[Cause, list[int]] = field(default_factory=dict)

    def count(self, cause: Cause, now: int) -> int:
        """Strikes of a cause within the decay time."""
        return len(self._fresh(cause, now))

    def add(self, cause: Cause, now: int) -> int:
        """Count one more; how many there are now."""
        fresh = [*self._fresh(cause, now), now][-MOST_KEPT:]
        self.times[cause] = fresh
        if len(self.times) > MOST_CAUSES:
            del self.times[min(self.times, key=lambda known: self.times[known][-1])]
        return len(fresh)

    def level(self, row: Row, count: int) -> Level:
        """The level of a row's fault at its so-many-th strike."""
        if row.strikes == 0 or row.level in (Level.LOG, Level.SAFE_MODE):
            return row.level
        raised = min(row.level + (count - 1) // row.strikes, STRIKE_CEILING)
        return Level(max(raised, row.level))

    def forget(self, device: int | None, code: int | None) -> int:
        """Forget the strikes of a device, of a code, or (None) of any; how many causes."""
        gone = [
            cause
            for cause in self.times
            if device in (None, cause.device) and code in (None, cause.code)
        ]
        for cause in gone:
            del self.times[cause]
        return len(gone)

    def rows(self, now: int) -> list[tuple[Cause, int, int]]:
        """Every cause with its count and the time of its last strike."""
        return [
            (cause, self.count(cause, now), times[-1])
            for cause, times in sorted(self.times.items())
            if self.count(cause, now)
        ]

    def _fresh(self, cause: Cause, now: int) -> list[int]:
        return [time for time in self.times.get(cause, ()) if now - time < self.decay]


@dataclass
class Budget:
    """The actions taken lately; what is spent comes back when its window has passed."""

    most: int = 24
    window: int = HOUR
    most_heavy: int = 8
    """Of level L3 and above."""
    heavy_window: int = 24 * HOUR
    spent: list[tuple[int, Level]] = field(default_factory=list)

    def left(self, level: Level, now: int) -> int:
        """How many actions of that level may be taken now."""
        lately = [at for at, _ in self.spent if now - at < self.window]
        left = self.most - len(lately)
        if level >= Level.GPU_RESET:
            heavy = [
                at
                for at, of in self.spent
                if of >= Level.GPU_RESET and now - at < self.heavy_window
            ]
            left = min(left, self.most_heavy - len(heavy))
        return max(left, 0)

    def spend(self, level: Level, now: int) -> None:
        """Take one action."""
        longest = max(self.window, self.heavy_window)
        self.spent = [(at, of) for at, of in self.spent if now - at < longest]
        self.spent.append((now, level))


def packed(strikes: Strikes, budget: Budget) -> dict[str, Any]:
    """Both, as JSON takes them."""
    return {
        "strikes": [[c.device, c.kind.value, c.code, t] for c, t in strikes.times.items()],
        "spent": [[at, int(level)] for at, level in budget.spent],
    }


def unpack(saved: dict[str, Any], strikes: Strikes, budget: Budget) -> None:
    """Take up what was saved; what makes no sense is left out."""
    for row in _rows(saved.get("strikes"), 4):
        device, kind, code, times = row
        if _are_whole((device, code)) and _is_kind(kind) and isinstance(times, list):
            known = [t for t in times if _are_whole((t,))]
            if known:
                strikes.times[Cause(device, Kind(kind), code)] = known[-MOST_KEPT:]
    budget.spent = [
        (at, Level(level))
        for at, level in _rows(saved.get("spent"), 2)
        if _are_whole((at, level)) and 0 <= level <= max(Level)
    ]


def _rows(value: Any, length: int) -> list[Any]:
    rows = value if isinstance(value, list) else []
    return [row for row in rows[-1024:] if isinstance(row, list) and len(row) == length]


def _are_whole(values: Iterable[Any]) -> bool:
    return all(type(value) is int for value in values)


def _is_kind(value: Any) -> bool:
    return type(value) is int and value in {kind.value for kind in Kind}
