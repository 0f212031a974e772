"""Which level follows from forecast, measured rate and telecommand: the table, row by row."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flight.components.protection import stimuli as s
from flight.components.protection.dictionary import ProtectionEvents
from flight.components.protection.forecast import Forecast, Pass
from flight.components.protection.lifecycle import ProtectionLifecycle
from flight.components.protection.notifications import Radiation
from flight.components.protection.stimuli import ForecastState, Why
from flight.fault_tolerance.levels import Level
from flight.framework.lifecycle import Tell, replay
from flight.framework.time_units import SECOND

Out = tuple[s.Instruction | Tell, ...]
NOW = 2_000_000_000 * SECOND
HOUR = 3600 * SECOND
QUIET, RAISED, STORM = Radiation
NONE, ABFT, DMR, TMR = Level
POLICY = s.Policy()


def forecast(
    *passes: tuple[int, int, Radiation], begin: int = -HOUR, end: int = 10 * HOUR
) -> Forecast:
    """Passes from and to, in seconds from NOW."""
    rows = (Pass(NOW + a * SECOND, NOW + b * SECOND, 900.0, r) for a, b, r in passes)
    return Forecast(NOW + begin, NOW + end, "by hand", tuple(rows))


def fresh(policy: s.Policy = POLICY, **content: Any) -> ProtectionLifecycle:
    core = ProtectionLifecycle(policy)
    core.step(NOW, s.Restore(content, None))
    return core


def count(core: ProtectionLifecycle, errors: int, now: int = NOW) -> Out:
    """Errors are seen at a time, and nothing before."""
    core.step(now, s.Counted({"board": 100}))
    return core.step(now, s.Counted({"board": 100 + errors}))


def told(out: Out) -> list[str]:
    return [one.name for one in out if isinstance(one, Tell)]


IN_PASS, IN_STORM = (-10, 500, RAISED), (-10, 500, STORM)
LATER = (2000, 2500, RAISED)


@pytest.mark.verifies("VA-LVL-04")
@pytest.mark.parametrize(
    ("passes", "errors", "commanded", "expected"),
    [
        (None, 0, None, (QUIET, ABFT, Why.NOTHING)),
        (None, 3, None, (RAISED, DMR, Why.MEASURED)),
        (None, 30, None, (STORM, TMR, Why.MEASURED)),
        ([LATER], 0, None, (QUIET, ABFT, Why.NOTHING)),
        ([LATER], 3, None, (RAISED, DMR, Why.MEASURED)),
        ([IN_PASS], 0, None, (RAISED, DMR, Why.FORECAST)),
        ([IN_PASS], 3, None, (RAISED, DMR, Why.MEASURED)),
        ([IN_PASS], 30, None, (STORM, TMR, Why.MEASURED)),
        ([IN_STORM], 3, None, (STORM, TMR, Why.FORECAST)),
        ("ended", 0, None, (RAISED, DMR, Why.NO_FORECAST)),
        ("ended", 30, None, (STORM, TMR, Why.MEASURED)),
        (None, 0, TMR, (QUIET, TMR, Why.COMMAND)),
        ([IN_STORM], 30, NONE, (STORM, NONE, Why.COMMAND)),
    ],
)
def test_the_level_is_that_of_the_table(
    passes: Any, errors: int, commanded: Level | None, expected: tuple[Radiation, Level, Why]
) -> None:
    core = fresh()
    if passes == "ended":
        core.step(NOW - HOUR, s.Load(forecast(end=-60 * SECOND)))
    elif passes is not None:
        core.step(NOW, s.Load(forecast(*passes)))
    count(core, errors)
    if commanded is not None:
        core.step(NOW, s.Command(commanded))
    core.step(NOW, s.Tick())
    assert (core.radiation, core.level, core.why) == expected


@pytest.mark.verifies("VA-LVL-04")
def test_a_pass_raises_the_level_ahead_of_time_and_lowers_it_after_with_one_event_each() -> None:
    core = fresh()
    core.step(NOW, s.Load(forecast((600, 1200, RAISED))))
    happened = []
    for second in range(0, 1400, 10):
        out = core.step(NOW + second * SECOND, s.Tick())
        happened += [(second, type(one).__name__) for one in out]
    raised, lowered = 570, 1230
    expected = [(t, what) for t in (raised, lowered) for what in ("Warn", "Protect", "Tell")]
    assert happened == expected


def test_what_comes_next_is_due_when_the_forecast_changes() -> None:
    core = fresh()
    assert core.next_due() is None
    core.step(NOW, s.Load(forecast((600, 1200, RAISED))))
    assert core.next_due() == NOW + 570 * SECOND


@pytest.mark.verifies("VA-LVL-05")
def test_a_forecast_that_ends_is_told_once_and_the_level_is_the_conservative_one() -> None:
    core = fresh()
    core.step(NOW, s.Load(forecast(end=HOUR)))
    assert core.level is ABFT
    out = core.step(NOW + HOUR, s.Tick())
    assert told(out) == ["no_forecast", "raised"]
    assert (core.state, core.why, core.level) == (ForecastState.ENDED, Why.NO_FORECAST, DMR)
    assert core.reason() == "no forecast covers now"
    assert core.step(NOW + HOUR + SECOND, s.Tick()) == ()
    assert told(core.step(NOW + HOUR + SECOND, s.Drop()))[0] == "forecast_dropped"
    assert (core.state, core.level) == (ForecastState.NONE, ABFT)


def test_a_forecast_that_has_not_begun_leaves_the_conservative_level_until_it_does() -> None:
    core = fresh()
    assert "no_forecast" in told(core.step(NOW, s.Load(forecast(begin=HOUR))))
    assert (core.state, core.level) == (ForecastState.NOT_BEGUN, DMR)
    core.step(NOW + HOUR, s.Tick())
    assert (core.state, core.level) == (ForecastState.VALID, ABFT)


def test_the_conservative_assumption_can_be_chosen() -> None:
    core = fresh(s.Policy(blind=QUIET))
    core.step(NOW, s.Load(forecast(end=-SECOND)))
    assert (core.state, core.level) == (ForecastState.ENDED, ABFT)


@pytest.mark.verifies("VA-LVL-07")
@pytest.mark.parametrize(
    ("jump", "state"), [(300 * HOUR, ForecastState.ENDED), (-300 * HOUR, ForecastState.NOT_BEGUN)]
)
def test_a_clock_that_jumps_leaves_the_forecast_and_comes_back_to_it(
    jump: int, state: ForecastState
) -> None:
    core = fresh()
    core.step(NOW, s.Load(forecast(LATER)))
    core.step(NOW + jump, s.Tick())
    assert (core.state, core.level) == (state, DMR)
    core.step(NOW, s.Tick())
    assert (core.state, core.level) == (ForecastState.VALID, ABFT)
    assert sum(core.spent.values()) == 0


def test_an_on_board_clock_that_is_known_to_be_off_is_allowed_for() -> None:
    core = fresh(s.Policy(clock_offset=-500 * SECOND))
    core.step(NOW - 500 * SECOND, s.Load(forecast(IN_PASS)))
    assert core.why is Why.FORECAST
    assert core.next_due() == NOW - 500 * SECOND + 530 * SECOND


@pytest.mark.verifies("VA-LVL-06")
def test_measured_errors_raise_the_level_and_quiet_lowers_it_when_the_window_is_over() -> None:
    core = fresh()
    out = count(core, 4)
    assert told(out) == ["raised"]
    assert core.reason() == "8.0 errors an hour"
    later = [core.step(NOW + t * SECOND, s.Counted({"board": 104})) for t in range(10, 2000, 10)]
    assert [name for out in later for name in told(out)] == ["lowered"]
    assert core.level is ABFT


def test_a_storm_is_told_as_one() -> None:
    assert told(count(fresh(), 40)) == ["storm"]


def test_what_was_measured_and_commanded_outlives_a_restart() -> None:
    core = fresh()
    count(core, 40)
    core.step(NOW, s.Command(ABFT))
    again = fresh(**core.content())
    assert (again.measured, again.commanded, again.level) == (STORM, ABFT, ABFT)
    out = again.step(NOW + SECOND, s.Command(None))
    assert (again.level, told(out)) == (TMR, ["follows_radiation", "raised"])
    again.step(NOW + 2 * HOUR, s.Tick())
    assert again.level is ABFT


def test_a_forecast_that_was_kept_and_is_gone_is_told_and_assumed_the_worse() -> None:
    core = ProtectionLifecycle()
    out = core.step(NOW, s.Restore({"has_forecast": True}, None, "its stored copy is damaged"))
    assert Tell(ProtectionEvents.forecast_lost, ("its stored copy is damaged",)) in out
    assert (core.state, core.level) == (ForecastState.LOST, DMR)


def test_a_restored_forecast_is_followed_without_a_word_and_the_jobs_are_told() -> None:
    core = ProtectionLifecycle()
    out = core.step(NOW, s.Restore({"has_forecast": True}, forecast(IN_PASS)))
    assert out[:2] == (s.Warn(RAISED), s.Protect(DMR))
    assert core.state is ForecastState.VALID


@pytest.mark.parametrize(
    "content",
    [
        {"commanded": 9, "measured": 7, "has_forecast": 1},
        {"commanded": True, "measured": "x", "has_forecast": None},
        {"commanded": [], "measured": {}},
    ],
)
def test_what_was_kept_and_makes_no_sense_is_taken_as_nothing(content: dict[str, object]) -> None:
    core = ProtectionLifecycle()
    out = core.step(NOW, s.Restore(content, None))
    assert out == (s.Warn(QUIET), s.Protect(ABFT))
    assert core.commanded is None


def test_an_alarm_raises_for_one_window_and_not_for_ever_when_the_clock_goes_back() -> None:
    core = fresh()
    assert told(core.step(NOW, s.Alarm("XID 92 on GPU 0"))) == ["raised"]
    assert (core.level, core.why, core.reason()) == (DMR, Why.ALARM, "XID 92 on GPU 0")
    assert core.next_due() == NOW + HOUR // 2
    core.step(NOW + HOUR // 2, s.Tick())
    assert core.level is ABFT
    core.step(NOW, s.Alarm("XID 92 on GPU 0"))
    core.step(NOW - 300 * HOUR, s.Tick())
    assert core.level is ABFT


def test_a_commanded_level_is_said_beside_what_radiation_does() -> None:
    core = fresh()
    core.step(NOW, s.Command(TMR))
    out = count(core, 3)
    said = "6.0 errors an hour; the level is set by telecommand"
    assert Tell(ProtectionEvents.raised, (RAISED, TMR, said)) in out


def test_time_at_each_level_is_counted_but_not_what_nobody_watched() -> None:
    core = fresh()
    core.step(NOW + 10 * SECOND, s.Command(TMR))
    core.step(NOW + 30 * SECOND, s.Tick())
    core.step(NOW + HOUR, s.Tick())
    assert core.spent == {NONE: 0, ABFT: 10 * SECOND, DMR: 0, TMR: 20 * SECOND}


def test_a_policy_that_comes_before_what_was_kept_holds_and_nothing_else_follows_from_it() -> None:
    core = ProtectionLifecycle()
    assert core.step(NOW, s.SetPolicy(s.Policy(levels=dict.fromkeys(Radiation, TMR)))) == ()
    assert core.step(NOW, s.Restore({}, None))[:2] == (s.Warn(QUIET), s.Protect(TMR))


STIMULI = st.one_of(
    st.just(s.Tick()),
    st.just(s.Drop()),
    st.builds(s.Command, st.sampled_from([*Level, None])),
    st.just(s.Alarm("XID 92")),
    st.builds(lambda n: s.Counted({"board": n}), st.integers(0, 1 << 64)),
    st.just(s.Load(forecast(IN_PASS, LATER))),
    st.just(s.Load(forecast((50, 60, STORM), end=HOUR))),
    st.builds(s.Restore, st.dictionaries(st.sampled_from(["commanded", "measured"]), st.integers()),
              st.none()),
    st.builds(lambda r: s.SetPolicy(s.Policy(blind=r)), st.sampled_from(Radiation)),
)  # fmt: skip


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(-(10**14), 10**14), STIMULI), max_size=30))
def test_whatever_comes_a_replay_of_the_log_gives_the_same_instructions(
    stimuli: list[tuple[int, s.Stimulus]],
) -> None:
    log: list[tuple[int, s.Stimulus]] = []
    core = ProtectionLifecycle(log=log)
    out = [one for shift, stimulus in stimuli for one in core.step(NOW + shift, stimulus)]
    assert replay(ProtectionLifecycle(POLICY), log) == out
    assert core.level in core.policy.levels.values() or core.level is core.commanded
