"""The forecast of an orbit's passes, as a file that the payload takes."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from sim_hw.__main__ import main
from sim_hw.world import forecast, scenario
from sim_hw.world.radiation import SAA_FLUX

TLE = (
    "1 25544U 98067A   08264.51782528 -.00002182  00000-0 -11606-4 0  2927",
    "2 25544  51.6416 247.4627 0006703 130.5360 325.0288 15.72125391563537",
)


def called(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["forecast", *map(str, arguments)])


def seconds_of(text: str, since: str) -> float:
    def parse(written: str) -> dt.datetime:
        return dt.datetime.strptime(written, "%Y-%m-%dT%H:%M:%SZ")

    return (parse(text) - parse(since)).total_seconds()


def test_every_second_with_more_flux_than_the_anomaly_has_lies_in_a_pass(tmp_path: Path) -> None:
    out = tmp_path / "forecast.json"
    result = called("quiet-day", "--hours", 24, "--out", out)
    assert result.exit_code == 0, result.output
    assert "10 passes from 2026-03-20T00:00:00Z" in result.output
    made = json.loads(out.read_text())
    flown = scenario.load("quiet-day")
    seconds = np.arange(0.0, 86_400.0, 3.0)
    flux = flown.radiation.at(flown.flown.track(flown.start_utc, seconds), seconds).trapped_30
    inside = np.zeros(len(seconds), dtype=bool)
    for one in made["passes"]:
        begin, end = (seconds_of(one[key], made["begin"]) for key in ("begin", "end"))
        inside |= (seconds >= begin) & (seconds < end)
        peak = flux[(seconds >= begin) & (seconds < end)].max()
        assert one["flux"] == pytest.approx(peak, rel=0.1)
    assert inside[flux > SAA_FLUX].all()
    assert inside.mean() < 1.1 * (flux > SAA_FLUX).mean()


def test_a_forecast_of_a_tle_begins_at_its_epoch_or_when_it_is_told_to(tmp_path: Path) -> None:
    out = tmp_path / "forecast.json"
    assert called("--tle", *TLE, "--hours", 12, "--out", out).exit_code == 0
    made = json.loads(out.read_text())
    assert made["begin"] == "2008-09-20T12:25:40Z"
    assert made["source"] == "AP8, TLE of 25544"
    later = called(
        "--tle", *TLE, "--from", "2008-09-21T00:00:00+00:00", "--hours", 12, "--out", out
    )
    assert later.exit_code == 0
    assert json.loads(out.read_text())["end"] == "2008-09-21T12:00:00Z"


def test_an_orbit_without_passes_makes_a_forecast_without_any() -> None:
    flown = scenario.load("quiet-day")
    made = forecast.make(flown.flown, flown.radiation, flown.start_utc, 1.0, "an hour")
    assert made["passes"] == []


def test_a_forecast_that_begins_and_ends_inside_a_pass_has_it_cut_at_both_ends() -> None:
    flown = scenario.load("quiet-day")
    begin = forecast.instant("2026-03-20T09:22:00Z")
    made = forecast.make(flown.flown, flown.radiation, begin, 0.1, "six minutes")
    (only,) = made["passes"]
    assert (only["begin"], only["end"]) == (made["begin"], made["end"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "give a SCENARIO, or --tle"),
        (("quiet-day", "--tle", *TLE), "give a SCENARIO, or --tle"),
        (("quiet-day", "--hours", 0), "more than 0 and at most 336"),
        (("quiet-day", "--hours", 400), "at most 336"),
        (("quiet-day", "--hours", "nan"), "not a number"),
        (("quiet-day", "--from", "noon"), "write 2026-03-20T04:11:00Z"),
        (("quiet-day", "--from", "2026-03-20T04:11:00"), "write 2026-03-20T04:11:00Z"),
        (("no-day",), "known are"),
        (("--tle", "1 2", TLE[1]), "69 characters"),
        (("--tle", TLE[0], TLE[1].replace("247.4627", "247.4628")), "checksum"),
    ],
)
def test_what_cannot_be_forecast_is_refused_with_what_to_write(
    tmp_path: Path, arguments: tuple[object, ...], words: str
) -> None:
    result = called(*arguments, "--out", tmp_path / "forecast.json")
    assert result.exit_code != 0
    assert words in result.output
    assert not list(tmp_path.iterdir())
