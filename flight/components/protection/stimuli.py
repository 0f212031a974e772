"""What the protection lifecycle is told, and what it asks for in return."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from flight.components.protection.error_rate import Bounds
from flight.components.protection.forecast import Forecast
from flight.components.protection.notifications import Radiation
from flight.fault_tolerance.levels import Level
from flight.framework.time_units import SECOND


@enum.unique
class Why(enum.IntEnum):
    """What decided the level."""

    NOTHING = 0
    """Neither forecast nor measured rate calls for more."""
    FORECAST = 1
    MEASURED = 2
    NO_FORECAST = 3
    """A forecast was loaded, and says nothing of now."""
    COMMAND = 4
    ALARM = 5
    """Somebody on board gave the alarm: such as a GPU that says that it has many errors."""


@enum.unique
class ForecastState(enum.IntEnum):
    """What there is of a forecast."""

    NONE = 0
    """None was loaded since the last drop_forecast: only the measured rate counts."""
    VALID = 1
    ENDED = 2
    NOT_BEGUN = 3
    LOST = 4
    """One was loaded, and could not be read back."""


@dataclass(frozen=True)
class Policy:
    """The parameters that the lifecycle decides by, in ns where they are times."""

    levels: Mapping[Radiation, Level] = field(
        default_factory=lambda: {
            Radiation.QUIET: Level.ABFT,
            Radiation.RAISED: Level.DMR,
            Radiation.STORM: Level.TMR,
        }
    )
    blind: Radiation = Radiation.RAISED
    bounds: Bounds = field(default_factory=Bounds)
    lead: int = 30 * SECOND
    trail: int = 30 * SECOND
    clock_offset: int = 0
    """On-board time less TAI."""


# ---------------------------------------------------------------- stimuli


@dataclass(frozen=True)
class Restore:
    """What the last executive kept: its forecast, or why it could not be read."""

    content: Mapping[str, object]
    forecast: Forecast | None
    damage: str = ""


@dataclass(frozen=True)
class Load:
    forecast: Forecast


@dataclass(frozen=True)
class Drop:
    """There is to be no forecast."""


@dataclass(frozen=True)
class Command:
    """Run adaptive jobs at that level; None: as radiation calls for."""

    level: Level | None


@dataclass(frozen=True)
class Counted:
    """Counters of errors, by source."""

    totals: Mapping[str, int]


@dataclass(frozen=True)
class Alarm:
    """Take radiation as raised for the time over which errors are counted."""

    text: str


@dataclass(frozen=True)
class SetPolicy:
    """Decide by this policy; before `Restore` nothing else follows from it."""

    policy: Policy


@dataclass(frozen=True)
class Tick: ...


Stimulus = Restore | Load | Drop | Command | Counted | Alarm | SetPolicy | Tick

# ---------------------------------------------------------------- instructions


@dataclass(frozen=True)
class Protect:
    """Adaptive jobs are to run at this level."""

    level: Level


@dataclass(frozen=True)
class Warn:
    """There is that much radiation."""

    radiation: Radiation


@dataclass(frozen=True)
class Save:
    """Keep this for the next executive."""

    content: Mapping[str, object]


Instruction = Protect | Warn | Save
