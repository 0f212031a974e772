"""What the lifecycle of the board monitor is told, and what it asks for in return."""

from __future__ import annotations

from dataclasses import dataclass

from flight.components.board.dictionary import BoardParameters
from flight.components.board.readings import Fault, Row
from flight.framework.time_units import SECOND


@dataclass(frozen=True)
class Bounds:
    """When readings are stale, when temperature and power warn, when throttling is over."""

    stale_ns: int
    """Age of the last readings."""
    warning_c: float
    critical_c: float
    warning_w: float
    """0: no power warns."""
    hysteresis_c: float
    calm_ns: int
    """Time without a reason to throttle."""

    @classmethod
    def of(cls, chosen: BoardParameters) -> Bounds:
        """Those that ground chose."""
        return cls(
            int(chosen.stale_s * SECOND),
            chosen.warning_c,
            chosen.critical_c,
            chosen.warning_w,
            chosen.hysteresis_c,
            int(chosen.calm_s * SECOND),
        )


# ---------------------------------------------------------------- stimuli


@dataclass(frozen=True)
class Identified:
    """A board server opened the board."""

    board: str
    driver: str
    version: str
    gpus: tuple[tuple[str, ...], ...] = ()
    """Name, UUID and bus id of each; empty is what is not known."""


@dataclass(frozen=True)
class Unavailable:
    """A board server could not open the board."""

    reason: str


@dataclass(frozen=True)
class Readings:
    """Readings of every sensor came; no `rows`: they are those that came last."""

    rows: tuple[Row, ...] = ()


@dataclass(frozen=True)
class Reported:
    """The driver reported a fault."""

    fault: Fault


@dataclass(frozen=True)
class ReadingsWanted:
    """A telecommand is answered when the next readings come."""


@dataclass(frozen=True)
class SetBounds:
    """Ground changed the parameters."""

    bounds: Bounds


@dataclass(frozen=True)
class Tick:
    """Time has passed."""


Stimulus = Identified | Unavailable | Readings | Reported | ReadingsWanted | SetBounds | Tick

# ---------------------------------------------------------------- instructions


@dataclass(frozen=True)
class NotifyFault:
    """Tell others on board of a fault."""

    fault: Fault


@dataclass(frozen=True)
class NotifyBack:
    """Tell others on board that a device which was lost answers again."""

    device: int


@dataclass(frozen=True)
class NotifySilent:
    """Tell others on board that readings stay away, or come again."""

    is_silent: bool


@dataclass(frozen=True)
class AnswerReaders:
    """Complete the telecommands that waited for readings."""


Instruction = NotifyFault | NotifyBack | NotifySilent | AnswerReaders
