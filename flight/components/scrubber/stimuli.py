"""What the scrubber's lifecycle is told, and what it asks for in return."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from flight.components.scrubber.regions import Found, Row, Unusable
from flight.framework.time_units import SECOND


@dataclass(frozen=True)
class Policy:
    """Times in ns."""

    most_told: int = 5
    """Corrected blocks told one by one within one window."""
    window: int = 60 * SECOND
    patience: int = 15 * SECOND
    """After which a lost block that is still lost calls for the next step."""
    calm: int = 300 * SECOND
    """After the last wrong block, memory is walked no faster than usual again."""
    found_factor: float = 4.0
    raised_factor: float = 4.0
    storm_factor: float = 8.0
    most_restarts: int = 3
    """Of the executive, for its program memory, in one `restart_window`."""
    restart_window: int = 86_400 * SECOND


# ---------------------------------------------------------------- stimuli


@dataclass(frozen=True)
class Table:
    """Every region that the worker knows."""

    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Wrong:
    """A block was found wrong."""

    found: Found


@dataclass(frozen=True)
class Broken:
    """A region cannot be walked any more."""

    what: Unusable


@dataclass(frozen=True)
class Done:
    """How a step ended that was asked for with this number."""

    number: int
    ok: bool
    text: str


@dataclass(frozen=True)
class ProgramChanged:
    """A code object or a table of the executive is not what it was."""

    name: str


@dataclass(frozen=True)
class Radiation:
    """How much there is now: 0 quiet, 1 raised, 2 storm."""

    level: int


@dataclass(frozen=True)
class Restore:
    """What was saved, and the time that `now` counts on from."""

    restarts: tuple[int, ...]


@dataclass(frozen=True)
class SetPolicy:
    policy: Policy


@dataclass(frozen=True)
class Tick: ...


Stimulus = Table | Wrong | Broken | Done | ProgramChanged | Radiation | Restore | SetPolicy | Tick

# ---------------------------------------------------------------- instructions


@dataclass(frozen=True)
class RollBack:
    """Have a job go on from its last commit."""

    job: int
    reason: str


@dataclass(frozen=True)
class Ask:
    """Ask the worker for something; the answer is `Done` with this number."""

    number: int
    kind: str
    body: Mapping[str, int | str] = field(default_factory=dict)


@dataclass(frozen=True)
class RestartExecutive:
    """Keep `restarts` (on-board ns), then end; the supervisor starts the next one."""

    reason: str
    restarts: tuple[int, ...]


@dataclass(frozen=True)
class SetFactor:
    """Walk so many times as fast as usual."""

    factor: float


@dataclass(frozen=True)
class Forget:
    """The region is retired: its file is not loaded again after a restart."""

    region: str


Instruction = RollBack | Ask | RestartExecutive | SetFactor | Forget
