"""The protection component: forecasts from the file store, telecommands, housekeeping, restarts."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import pytest

from flight.components.protection import forecast_file
from flight.components.protection import stimuli as s
from flight.components.protection.component import Protection
from flight.components.protection.dictionary import ProtectionParameters
from flight.components.protection.lifecycle import ProtectionLifecycle
from flight.components.protection.notifications import Radiation, RadiationNotifications
from flight.components.protection.stimuli import ForecastState, Why
from flight.fault_tolerance.levels import Level
from flight.framework.lifecycle import Tell, replay
from flight.framework.time_units import SECOND
from flight.storage.file_names import file_path
from flight.storage.simulated import SimulatedStorage
from icd.dictionary import Severity
from icd.failures import FailureCode
from tests.flight.support.component_harness import Asker, Bench

NONE, ABFT, DMR, TMR = Level


class Surroundings:
    """A protection component on a bench, with what it is plugged into."""

    def __init__(self) -> None:
        self.storage = SimulatedStorage()
        self.bench = Bench("protection", 10)
        self.bench.now = 2_150_000_000 * SECOND
        self.levels: list[Level] = []
        self.radiation: list[Radiation] = []
        self.counts = {"board": 0, "jobs": 0}
        self.kept: dict[str, object] = {}
        self.plug()

    def plug(self) -> None:
        """Begin with a new component, as after a restart of the executive."""
        signals = RadiationNotifications()
        signals.listen(self)
        self.protection = Protection(
            self.bench.port, self.storage, self, self, self, signals, file_path
        )
        self.bench.plug(self.protection)
        self.settle()

    def protect(self, level: Level) -> None:
        self.levels.append(level)

    def on_radiation(self, level: Radiation) -> None:
        self.radiation.append(level)

    def totals(self) -> dict[str, int]:
        return dict(self.counts)

    def load(self) -> dict[str, object]:
        return self.kept

    def keep(self, content: dict[str, object]) -> None:
        self.kept = content

    def settle(self, seconds: float = 0.0) -> None:
        """Let time pass, answer storage, step."""
        self.bench.now += round(seconds * SECOND)
        self.storage.run(self.bench.now)
        self.storage.settle()
        self.bench.step()
        self.storage.settle()

    def utc(self, seconds: float) -> str:
        """So many seconds from now, as a forecast has it."""
        since = timedelta(seconds=self.bench.now // SECOND - 37 + seconds)
        return (datetime(1958, 1, 1) + since).strftime("%Y-%m-%dT%H:%M:%SZ")

    def forecast(self, *passes: tuple[float, float], end: float = 36_000) -> bytes:
        """A file with passes from and to, in seconds from now."""
        rows = [
            {"begin": self.utc(a), "end": self.utc(b), "flux": 900.0, "radiation": "raised"}
            for a, b in passes
        ]
        plain = {
            "format": 1,
            "source": "by hand",
            "tai_minus_utc_s": 37,
            "begin": self.utc(-100_000),
            "end": self.utc(end),
            "passes": rows,
        }
        return json.dumps(plain).encode()

    def loaded(self, octets: bytes | None, name: str = "forecast.json") -> Asker:
        """Put a file and have it followed."""
        if octets is not None:
            self.storage.perform("make_dir", path="state/files")
            assert self.storage.perform("write", path=f"state/files/{name}", data=octets).ok
        asker = self.bench.do("load_forecast", name)
        self.settle()
        return asker

    @property
    def hk(self) -> Any:
        self.protection.housekeeping()
        return self.protection.hk


@pytest.fixture
def around() -> Surroundings:
    return Surroundings()


@pytest.mark.verifies("VA-LVL-05", "VA-LVL-08")
def test_a_forecast_of_a_pass_that_has_begun_raises_the_level_at_once(around: Surroundings) -> None:
    asker = around.loaded(around.forecast((-10, 300), (6000, 6500)))
    assert asker.failure is None
    assert (asker.result.passes, asker.result.end_h) == (2, 10.0)
    assert (around.levels, around.radiation) == ([ABFT, DMR], [Radiation.QUIET, Radiation.RAISED])
    (raised,) = around.bench.events("raised")
    assert raised == (Radiation.RAISED, DMR, "a pass is forecast for another 330 s")
    hk = around.hk
    assert (hk.level, hk.why, hk.radiation) == (DMR, Why.FORECAST, Radiation.RAISED)
    assert (hk.is_in_pass, hk.is_next_known, hk.next_pass_s, hk.next_flux) == (
        True,
        True,
        6000,
        900,
    )
    assert (hk.forecast, hk.forecast_left_s) == (ForecastState.VALID, 36_000)
    around.settle(331)
    assert around.levels[-1] is ABFT
    around.settle(10)
    assert around.hk.shares[Level.ABFT] == pytest.approx(100.0)  # the gap was not watched


def test_it_is_due_when_the_forecast_changes_and_every_ten_seconds(around: Surroundings) -> None:
    around.loaded(around.forecast((34, 300)))
    now = around.bench.now
    assert around.bench.step() == now + 4 * SECOND
    around.bench.now = now + 4 * SECOND
    assert around.bench.step() == now + 14 * SECOND
    assert around.levels[-1] is DMR


@pytest.mark.verifies("VA-LVL-05")
def test_a_restart_keeps_the_forecast_the_command_and_the_level(around: Surroundings) -> None:
    around.loaded(around.forecast((-10, 300)))
    around.plug()
    assert around.hk.forecast is ForecastState.VALID
    assert around.levels[-1] is DMR
    around.kept = {}  # what is saved may lag behind what was answered
    around.plug()
    assert around.hk.forecast is ForecastState.VALID
    around.bench.do("set_level", TMR)
    around.plug()
    assert (around.levels[-1], around.hk.why) == (TMR, Why.COMMAND)
    around.bench.do("adaptive")
    assert around.levels[-1] is DMR
    assert len(around.bench.events("follows_radiation")) == 1


@pytest.mark.verifies("VA-LVL-05")
@pytest.mark.parametrize(
    ("octets", "words"),
    [
        (b'{"format": 1, "passes', "not whole JSON"),
        (b"x" * 40_000, "at most 30000 octets"),
        (b"", "not whole JSON"),
        (None, "no file 'forecast.json'; put it there first"),
    ],
)
def test_a_forecast_that_cannot_be_used_is_refused_and_the_present_one_stays(
    around: Surroundings, octets: bytes | None, words: str
) -> None:
    around.loaded(around.forecast((-10, 300)), "present.json")
    asker = around.loaded(octets)
    assert words in asker.reason
    assert around.hk.refused == 1
    assert words in around.bench.events("forecast_refused")[0][0]
    assert around.hk.level is DMR
    around.plug()
    assert around.hk.level is DMR


@pytest.mark.verifies("VA-LVL-05")
def test_a_forecast_from_the_past_is_refused_with_what_to_do(around: Surroundings) -> None:
    asker = around.loaded(around.forecast(end=-7200))
    assert "ended 2.0 h ago by the on-board clock" in asker.reason
    assert "clock_offset_s" in asker.reason
    assert around.hk.forecast is ForecastState.NONE


def test_a_name_that_is_no_path_is_refused(around: Surroundings) -> None:
    asker = around.bench.do("load_forecast", "../keys")
    assert "not normalised" in asker.reason


def test_without_room_a_forecast_is_not_followed_and_says_why(around: Surroundings) -> None:
    octets = around.forecast((-10, 300))
    around.storage.perform("make_dir", path="state/files")
    around.storage.perform("write", path="state/files/forecast.json", data=octets)
    around.storage.faults["write"] = "ENOSPC"
    asker = around.loaded(None)
    assert asker.code is FailureCode.NO_SPACE
    assert around.hk.level is ABFT
    around.storage.faults = {"read": "EIO"}
    assert around.loaded(None).code is FailureCode.STORAGE_FAILED


@pytest.mark.verifies("VA-LVL-05")
@pytest.mark.parametrize("where", [0, 5, 40, -1])
def test_a_kept_forecast_that_rotted_is_told_and_not_followed(
    around: Surroundings, where: int
) -> None:
    around.loaded(around.forecast((-10, 300)))
    around.storage.files[forecast_file.PATH][where] ^= 8
    around.plug()
    assert around.hk.forecast is ForecastState.LOST
    assert around.hk.why is Why.NO_FORECAST
    assert "damaged" in around.bench.events("forecast_lost")[0][0]
    assert around.loaded(around.forecast((1000, 1100)), "again.json").failure is None
    assert around.hk.forecast is ForecastState.VALID


def test_a_kept_forecast_that_cannot_be_read_yet_is_read_later(around: Surroundings) -> None:
    around.loaded(around.forecast((-10, 300)))
    around.storage.faults["read"] = "TIMEOUT"
    around.plug()
    assert "still being read" in around.bench.do("set_level", TMR).reason
    assert "still being read" in around.bench.do("drop_forecast").reason
    around.storage.faults.clear()
    around.settle(2)
    around.settle()
    assert around.hk.level is DMR


@pytest.mark.verifies("VA-LVL-05")
def test_a_forecast_that_ended_is_told_and_a_dropped_one_is_not_missed(
    around: Surroundings,
) -> None:
    around.loaded(around.forecast(end=100))
    assert around.hk.level is ABFT
    around.settle(101)
    assert around.bench.events("no_forecast") == [("it ended", Radiation.RAISED)]
    assert around.bench.severity("no_forecast") is Severity.MEDIUM
    assert around.hk.level is DMR
    asker = around.bench.do("drop_forecast")
    around.settle()
    assert asker.is_done
    assert forecast_file.PATH not in around.storage.files
    assert around.hk.level is ABFT
    around.plug()
    assert around.hk.forecast is ForecastState.NONE


@pytest.mark.verifies("VA-LVL-06", "VA-LVL-08")
def test_errors_of_board_and_jobs_are_counted_by_source_and_raise_the_level(
    around: Surroundings,
) -> None:
    around.settle(10)
    around.counts = {"board": 2, "jobs": 1, "scrubber": 7}
    around.settle(10)
    assert around.hk.level is DMR
    around.counts = {"board": 2, "jobs": 1, "scrubber": 40}
    around.settle(10)
    hk = around.hk
    assert (hk.board_errors, hk.job_errors, hk.scrubber_errors) == (2, 1, 33)
    assert (hk.level, hk.measured, hk.errors_per_h) == (TMR, Radiation.STORM, 72.0)
    assert around.radiation[-1] is Radiation.STORM
    assert around.bench.severity("storm") is Severity.MEDIUM


def test_new_parameters_count_at_once(around: Surroundings) -> None:
    names = [field.name for field in around.protection.declaration.parameters]
    around.protection.set_parameters([(names.index("quiet_level"), 2)])
    assert around.levels[-1] is DMR
    around.protection.set_parameters([(names.index("quiet_level"), 0)])
    assert around.levels[-1] is NONE
    assert around.bench.events("lowered")[-1][1] == NONE


def test_what_it_did_can_be_replayed_from_its_stimulus_log(around: Surroundings) -> None:
    names = [field.name for field in around.protection.declaration.parameters]
    around.storage.faults["read"] = "TIMEOUT"
    around.plug()
    around.protection.set_parameters([(names.index("raised_level"), int(TMR))])
    around.storage.faults.clear()
    around.bench.told.clear()
    around.levels.clear()
    around.settle(2)
    around.settle()
    around.loaded(around.forecast((-10, 300)))
    around.bench.do("set_level", NONE)
    around.settle(10)
    around.bench.do("adaptive")
    around.settle(400)
    log = list(around.protection.core._log or [])
    again = replay(ProtectionLifecycle(ProtectionParameters().policy()), log)
    assert [out.level for out in again if isinstance(out, s.Protect)] == around.levels
    assert around.levels == [ABFT, TMR, NONE, TMR, ABFT]
    told = [(out.name, *out.values[:2]) for out in again if isinstance(out, Tell)]
    assert told == [pytest.approx(event[:3]) for event in around.bench.events()]
