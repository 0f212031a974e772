"""What the world costs, and how near it comes to AP8, to the analytic shadow and to the tables."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sim_hw.world import flux_table, scenario, sun
from sim_hw.world.geodesy import EQUATOR_KM
from sim_hw.world.orbit import Orbit
from sim_hw.world.run import run
from sim_hw.world.world import World

AUTHORITIES = Path(__file__).parents[1] / "tests" / "authorities"
ORBITS = json.loads((AUTHORITIES / "ap8_orbits.json").read_text(encoding="utf-8"))
DAY_S = 86400.0


def busy_day() -> scenario.Scenario:
    """A day of one-second steps with some 800 faults."""
    return dataclasses.replace(scenario.load("quiet-day"), acceleration=1000.0)


def test_an_orbit_day_with_faults_takes_at_most_a_second(
    benchmark: Any, goal: Any, tmp_path: Path
) -> None:
    """From the scenario to the finished truth log, compiled code loaded."""
    found = busy_day()
    run(found, tmp_path)
    outcome = benchmark.pedantic(run, args=(found, tmp_path), rounds=5)
    seconds = benchmark.stats.stats.median
    benchmark.extra_info["times_real_time"] = round(DAY_S / seconds)
    benchmark.extra_info["faults"] = sum(outcome.summary["faults"].values())
    goal("orbit-day with faults and log", seconds, at_most=1.0, unit="s")


def test_an_orbit_day_without_its_log(benchmark: Any) -> None:
    found = busy_day()
    benchmark.pedantic(lambda world: world.block(86400), setup=lambda: ((World(found),), {}),
                       rounds=5)  # fmt: skip
    benchmark.extra_info["times_real_time"] = round(DAY_S / benchmark.stats.stats.median)


def test_one_step_beside_a_real_board(benchmark: Any) -> None:
    world = World(busy_day())
    benchmark.pedantic(world.step, kwargs={"load": 0.5, "power_w": 200.0}, rounds=3000)
    assert benchmark.stats.stats.median <= 2e-3


def test_a_place_in_the_flux_table(benchmark: Any) -> None:
    table, count = flux_table.load("min"), 10_000
    draw = np.random.default_rng(1)
    place = draw.uniform(-60, 60, count), draw.uniform(-180, 180, count), np.full(count, 550.0)
    benchmark(lambda: table.flux(*table.magnetic(*place)))
    benchmark.extra_info["us_a_place"] = benchmark.stats.stats.median / count * 1e6


@pytest.mark.parametrize("row", ORBITS["orbits"], ids=lambda row: row["name"])
def test_a_week_of_flux_along_an_orbit(benchmark: Any, row: dict[str, Any]) -> None:
    epoch = dt.datetime.fromisoformat(ORBITS["epoch"])
    orbit = Orbit.from_elements(epoch, row["altitude_km"], row["inclination_deg"], row["node_deg"])
    seconds = np.arange(0.0, ORBITS["days"] * DAY_S, ORBITS["step_s"])
    table = flux_table.load("min")

    def fluxes() -> np.ndarray:
        track = orbit.track(epoch, seconds)
        return table.flux(*table.magnetic(track.latitude, track.longitude, track.altitude_km))

    means = benchmark.pedantic(fluxes, rounds=3).mean(axis=1)
    errors = means / np.array(row["mean_flux"]) - 1.0
    benchmark.extra_info["mean_flux_error_percent"] = [round(100 * e, 3) for e in errors]
    assert np.abs(errors).max() <= 0.02


def test_a_year_of_shadow_against_the_analytic_cylinder(benchmark: Any) -> None:
    """550 km at 53 degrees: an orbit of one-second steps every ten days."""
    start = dt.datetime(2026, 1, 1, tzinfo=dt.timezone.utc)
    orbit = Orbit.from_elements(start, 550.0, 53.0, 0.0)
    seconds = np.arange(0.0, 5 * orbit.period_s)

    def year() -> tuple[float, float]:
        found, expected = 0.0, 0.0
        for day in range(0, 365, 10):
            track = orbit.track(start + dt.timedelta(days=day), seconds)
            height = np.sqrt((track.place_km**2).sum(axis=0)).mean() - EQUATOR_KM
            found += float(track.eclipsed.mean())
            shares = [sun.eclipse_fraction(height, beta) for beta in track.beta_deg[::300]]
            expected += float(np.mean(shares))
        return found, expected

    found, expected = benchmark.pedantic(year, rounds=1)
    benchmark.extra_info["error_percent"] = round(100.0 * (found / expected - 1.0), 3)
    assert found == pytest.approx(expected, rel=0.005)
