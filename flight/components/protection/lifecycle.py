"""Decides how much radiation there is, and at which level adaptive jobs run for it.

What decides, the first row that applies; the level of a radiation is a parameter:

    commanded level   forecast says now     measured rate         radiation        why
    any               any                   any                   as below         COMMAND (level)
    none              more than measured    less                  the forecast's   FORECAST
    none              no more than that     raised or storm       the measured     MEASURED
    none              nothing: it ended     below `blind`         `blind`          NO_FORECAST
    none              no pass, or never any quiet                 QUIET            NOTHING
    none              less than raised      less, alarm given     RAISED           ALARM

A forecast that does not cover now (ended, not begun, lost) counts as `blind`.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableSequence

from flight.components.protection import stimuli as s
from flight.components.protection.dictionary import ProtectionEvents
from flight.components.protection.error_rate import HOUR, RateMeter
from flight.components.protection.forecast import Forecast, Pass
from flight.components.protection.notifications import Radiation
from flight.components.protection.stimuli import ForecastState, Why
from flight.fault_tolerance.levels import Level
from flight.framework.lifecycle import Lifecycle
from flight.framework.time_units import SECOND

BLIND = (ForecastState.ENDED, ForecastState.NOT_BEGUN, ForecastState.LOST)
LONGEST_GAP = 60 * SECOND
"""A longer time between two steps was not watched; it counts for no level."""


class ProtectionLifecycle(Lifecycle[s.Stimulus, s.Instruction]):
    """What is known of radiation, and the level that follows."""

    def __init__(
        self,
        policy: s.Policy | None = None,
        log: MutableSequence[tuple[int, s.Stimulus]] | None = None,
    ) -> None:
        super().__init__(log)
        self.is_restored = False
        """What the last executive kept is known; `SetPolicy` and `Alarm` alone may come before."""
        self.policy = policy or s.Policy()
        self.radiation = Radiation.QUIET
        self.level = self.policy.levels[Radiation.QUIET]
        self.cause = Why.NOTHING
        """Of the radiation; the level may be set by telecommand."""
        self.commanded: Level | None = None
        self.forecast: Forecast | None = None
        self.state = ForecastState.NONE
        self.measured = Radiation.QUIET
        self.rate = 0.0
        """Errors an hour."""
        self.meter = RateMeter()
        self.spent = dict.fromkeys(Level, 0)
        """Nanoseconds at each level since the start."""
        self.changes = 0
        self.alarm = ""
        """Why somebody gave the alarm; empty: nobody did, or it is over."""
        self._alarm_since = self._alarm_until = 0
        self._seen = 0

    def next_due(self) -> int | None:
        """When the forecast says something else, or an alarm is over, in on-board ns."""
        due, policy = None, self.policy
        if self.forecast is not None:
            due = self.forecast.next_change(self._tai(), policy.lead, policy.trail)
        times = [] if due is None else [due + policy.clock_offset]
        return min([*times, self._alarm_until] if self.alarm else times, default=None)

    def passes(self) -> tuple[Pass | None, Pass | None]:
        """The pass that the payload is in, and the next one; times are TAI."""
        if self.forecast is None:
            return None, None
        policy, tai = self.policy, self._tai()
        return self.forecast.pass_at(tai, policy.lead, policy.trail), self.forecast.next_pass(tai)

    def content(self) -> dict[str, object]:
        """What the next executive needs besides the forecast itself."""
        return {
            "commanded": None if self.commanded is None else int(self.commanded),
            "measured": int(self.measured),
            "has_forecast": self.state is not ForecastState.NONE,
        }

    # ------------------------------------------------------------ stimuli

    def _take(self, stimulus: s.Stimulus) -> None:
        if isinstance(stimulus, s.SetPolicy) and not self.is_restored:
            self.policy = stimulus.policy
            return
        self._spend()
        self._heed(stimulus)
        self._judge(is_first=isinstance(stimulus, s.Restore))

    def _spend(self) -> None:
        """The time since the last stimulus was spent at the present level."""
        if self._seen <= self._now <= self._seen + LONGEST_GAP:
            self.spent[self.level] += self._now - self._seen
        self._seen = self._now

    def _heed(self, stimulus: s.Stimulus) -> None:
        match stimulus:
            case s.Restore():
                self._restore(stimulus)
            case s.Load():
                self._load(stimulus.forecast)
            case s.Drop():
                self._drop()
            case s.Command():
                self._command(stimulus.level)
            case s.Counted():
                self.meter.look(self._now, stimulus.totals, self.policy.bounds.window)
            case s.Alarm():
                self._give_alarm(stimulus.text)
            case s.SetPolicy():
                self.policy = stimulus.policy

    def _restore(self, restore: s.Restore) -> None:
        self.is_restored = True
        commanded, measured, has_forecast = _sound(restore.content)
        self.commanded = commanded
        self.forecast = restore.forecast
        self.measured = measured
        if measured > Radiation.QUIET:  # it was measured before; it ends when a window is over
            bounds = self.policy.bounds
            rate = bounds.storm if measured is Radiation.STORM else bounds.raised
            self.meter.add(self._now, -int(-rate * bounds.window // HOUR), bounds.window)
        if self.forecast is None and (has_forecast or restore.damage):
            self.state = ForecastState.LOST
            self._tell(ProtectionEvents.forecast_lost, restore.damage or "its file is gone")

    def _load(self, forecast: Forecast) -> None:
        self.forecast, self.state = forecast, ForecastState.VALID
        hours = (forecast.end - self._tai()) / HOUR
        self._tell(ProtectionEvents.forecast_loaded, len(forecast.passes), hours, forecast.source)
        self._save()

    def _drop(self) -> None:
        self.forecast, self.state = None, ForecastState.NONE
        self._tell(ProtectionEvents.forecast_dropped)
        self._save()

    def _command(self, level: Level | None) -> None:
        if level is not self.commanded:
            self.commanded = level
            self._save()
        if level is None:
            self._tell(ProtectionEvents.follows_radiation)
        else:
            self._tell(ProtectionEvents.level_commanded, level)

    def _give_alarm(self, text: str) -> None:
        self.alarm = text
        self._alarm_since = self._now
        self._alarm_until = self._now + self.policy.bounds.window

    # ------------------------------------------------------------ deciding

    def _judge(self, is_first: bool) -> None:
        before = self.radiation, self.level
        self._measure()
        self._look_at_forecast()
        now_in, _ = self.passes()
        forecast = now_in.radiation if now_in else Radiation.QUIET
        blind = self.policy.blind if self.state in BLIND else Radiation.QUIET
        if not self._alarm_since <= self._now < self._alarm_until:
            self.alarm = ""
        alarm = Radiation.RAISED if self.alarm else Radiation.QUIET
        self.radiation = max(forecast, self.measured, blind, alarm)
        self.cause = self._cause(forecast, blind)
        if self.commanded is None:
            self.level = self.policy.levels[self.radiation]
        else:
            self.level = self.commanded
        if is_first or before != (self.radiation, self.level):
            self._change(before, is_first)

    @property
    def why(self) -> Why:
        """What decided the level."""
        return self.cause if self.commanded is None else Why.COMMAND

    def _cause(self, forecast: Radiation, blind: Radiation) -> Why:
        if self.radiation is Radiation.QUIET:
            return Why.NOTHING
        if self.radiation > max(forecast, self.measured, blind):
            return Why.ALARM
        if forecast > self.measured and forecast >= blind:
            return Why.FORECAST
        return Why.MEASURED if self.measured >= blind else Why.NO_FORECAST

    def _measure(self) -> None:
        bounds, before = self.policy.bounds, self.measured
        self.rate = self.meter.per_hour(self._now, bounds.window)
        self.measured = bounds.judge(self.rate, before)
        if self.measured is not before:
            self._save()

    def _look_at_forecast(self) -> None:
        forecast, before, tai = self.forecast, self.state, self._tai()
        if forecast is None:
            return
        if forecast.covers(tai):
            self.state = ForecastState.VALID
        else:
            self.state = ForecastState.ENDED if tai >= forecast.end else ForecastState.NOT_BEGUN
        if self.state is not before and self.state is not ForecastState.VALID:
            hours = (forecast.begin - tai) / HOUR
            said = {
                ForecastState.ENDED: "it ended",
                ForecastState.NOT_BEGUN: f"it begins in {hours:.1f} h",
            }[self.state]
            self._tell(ProtectionEvents.no_forecast, said, self.policy.blind)

    def _change(self, before: tuple[Radiation, Level], is_first: bool) -> None:
        radiation, level = before
        if is_first or radiation is not self.radiation:
            self._out.append(s.Warn(self.radiation))
        if is_first or level is not self.level:
            self._out.append(s.Protect(self.level))
        if before == (self.radiation, self.level):
            return
        self.changes += 1
        if self.radiation is Radiation.STORM and radiation is not Radiation.STORM:
            event = ProtectionEvents.storm
        elif (self.level, self.radiation) > (level, radiation):
            event = ProtectionEvents.raised
        else:
            event = ProtectionEvents.lowered
        self._tell(event, self.radiation, self.level, self.reason())

    def reason(self) -> str:
        """Why radiation and level are what they are, as a sentence's end."""
        said = self._said()
        return said if self.commanded is None else f"{said}; the level is set by telecommand"

    def _said(self) -> str:
        inside, _ = self.passes()
        match self.cause:
            case Why.FORECAST if inside is not None:
                left_s = (inside.end + self.policy.trail - self._tai()) // SECOND
                return f"a pass is forecast for another {left_s} s"
            case Why.NO_FORECAST:
                return "no forecast covers now"
            case Why.ALARM:
                return self.alarm
            case Why.MEASURED:
                return f"{self.rate:.1f} errors an hour"
        return f"{self.rate:.1f} errors an hour, and no pass is forecast"

    # ------------------------------------------------------------ small steps

    def _tai(self) -> int:
        return self._now - self.policy.clock_offset

    def _save(self) -> None:
        self._out.append(s.Save(self.content()))


def _sound(content: Mapping[str, object]) -> tuple[Level | None, Radiation, bool]:
    """What was kept, as far as it makes sense."""
    commanded, measured = content.get("commanded"), content.get("measured")
    return (
        Level(commanded) if type(commanded) is int and commanded in tuple(Level) else None,
        Radiation(measured)
        if type(measured) is int and measured in tuple(Radiation)
        else Radiation.QUIET,
        content.get("has_forecast") is True,
    )
