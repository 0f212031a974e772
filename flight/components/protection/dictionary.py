"""What ground sees of the protection component: housekeeping, parameters and events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from flight.components.protection.error_rate import Bounds
from flight.components.protection.notifications import Radiation
from flight.components.protection.stimuli import ForecastState, Policy, Why
from flight.fault_tolerance.levels import Level
from flight.framework.component import Port, Severity, event
from flight.framework.time_units import SECOND
from icd.fields import F32, F64, U16, U32, U64, Count, Flag, Limits, Text64, Text160, Unit, Wire

Hours = Annotated[F32, Unit("h")]


@dataclass(frozen=True)
class Loaded:
    """The answer to a forecast."""

    passes: Annotated[U16, "in the forecast"]
    begin_h: Annotated[F32, "from now until it begins; below 0: it has begun", Unit("h")]
    end_h: Annotated[F32, "from now until it ends", Unit("h")]


@dataclass
class ProtectionHousekeeping:
    radiation: Annotated[Radiation, "how much there is"] = Radiation.QUIET
    level: Annotated[Level, "at which adaptive jobs run"] = Level.ABFT
    why: Annotated[Why, "what decided the level"] = Why.NOTHING
    measured: Annotated[Radiation, "as the errors tell"] = Radiation.QUIET
    errors_per_h: Annotated[F32, "over the window", Unit("1/h")] = 0.0
    board_errors: Annotated[U64, "memory errors the board corrected since the last start"] = 0
    scrubber_errors: Annotated[U64, "errors the scrubber found since then"] = 0
    job_errors: Annotated[U64, "wrong results and damaged memory of jobs since then"] = 0
    forecast: Annotated[ForecastState, "what there is of one"] = ForecastState.NONE
    forecast_left_s: Annotated[U32, "until it ends", Unit("s")] = 0
    is_in_pass: Annotated[Flag, "a pass is forecast for now"] = False
    is_next_known: Annotated[Flag, "the forecast has a further pass"] = False
    next_pass_s: Annotated[U32, "until that begins", Unit("s")] = 0
    next_flux: Annotated[F32, "protons above 30 MeV in it", Unit("1/(cm2 s)")] = 0.0
    shares: Annotated[
        tuple[float, ...],
        Wire("f"),
        Count(4),
        Unit("%"),
        "of the time since the last start at NONE, ABFT, DMR and TMR",
    ] = (0.0,) * 4
    changes: Annotated[U32, "of radiation or level since the last start"] = 0
    refused: Annotated[U32, "forecasts refused"] = 0


@dataclass(frozen=True)
class ProtectionParameters:
    quiet_level: Annotated[Level, "of adaptive jobs while radiation is quiet"] = Level.ABFT
    raised_level: Annotated[Level, "while it is raised"] = Level.DMR
    storm_level: Annotated[Level, "in a storm"] = Level.TMR
    blind: Annotated[Radiation, "assumed when the forecast that was loaded does not cover now"] = (
        Radiation.RAISED
    )
    lead_s: Annotated[F32, "how long before a pass it counts", Unit("s"), Limits(0, 3600)] = 30.0
    trail_s: Annotated[F32, "how long after it", Unit("s"), Limits(0, 3600)] = 30.0
    window_s: Annotated[F32, "over which errors count", Unit("s"), Limits(60, 86_400)] = 1800.0
    raised_per_h: Annotated[
        F32, "errors from which radiation is raised", Unit("1/h"), Limits(0.01, 1e6)
    ] = 6.0
    storm_per_h: Annotated[
        F32, "errors from which there is a storm", Unit("1/h"), Limits(0.01, 1e6)
    ] = 60.0
    release: Annotated[F32, "share of its rate below which it is over", Limits(0.01, 1)] = 0.5
    clock_offset_s: Annotated[
        F64, "on-board time less TAI, as ground knows it", Unit("s"), Limits(-1e9, 1e9)
    ] = 0.0

    def policy(self) -> Policy:
        """The same, as the lifecycle takes it."""
        levels = self.quiet_level, self.raised_level, self.storm_level
        return Policy(
            levels=dict(zip(Radiation, levels, strict=True)),
            blind=self.blind,
            bounds=Bounds(_ns(self.window_s), self.raised_per_h, self.storm_per_h, self.release),
            lead=_ns(self.lead_s),
            trail=_ns(self.trail_s),
            clock_offset=_ns(self.clock_offset_s),
        )


def _ns(seconds: float) -> int:
    return round(seconds * SECOND)


class ProtectionEvents:
    """The events of `Protection`."""

    port: Port

    @event(1, Severity.LOW)
    def raised(self, radiation: Radiation, level: Level, reason: Text160) -> None:
        """Adaptive jobs run at {level}; radiation is {radiation}: {reason}."""

    @event(2, Severity.INFO)
    def lowered(self, radiation: Radiation, level: Level, reason: Text160) -> None:
        """Adaptive jobs run at {level}; radiation is {radiation}: {reason}."""

    @event(3, Severity.MEDIUM)
    def storm(self, radiation: Radiation, level: Level, reason: Text160) -> None:
        """Radiation is {radiation}, adaptive jobs run at {level}: {reason}."""

    @event(4, Severity.INFO)
    def forecast_loaded(self, passes: U16, hours: Hours, source: Text64) -> None:
        """A forecast of {passes} passes for another {hours:.1f} h is followed: {source}."""

    @event(5, Severity.MEDIUM)
    def no_forecast(self, reason: Text64, assumed: Radiation) -> None:
        """The forecast does not cover now: {reason}. Radiation is taken as {assumed} at least."""

    @event(6, Severity.MEDIUM)
    def forecast_lost(self, reason: Text160) -> None:
        """The forecast that was loaded cannot be read any more ({reason}); load one again."""

    @event(7, Severity.MEDIUM)
    def forecast_refused(self, reason: Text160) -> None:
        """A forecast is refused: {reason}."""

    @event(8, Severity.INFO)
    def forecast_dropped(self) -> None:
        """No forecast is followed any more."""

    @event(9, Severity.INFO)
    def level_commanded(self, level: Level) -> None:
        """Adaptive jobs run at {level} by telecommand, until told to be adaptive again."""

    @event(10, Severity.INFO)
    def follows_radiation(self) -> None:
        """The level of adaptive jobs follows radiation."""
