"""The flux table against what AP8 itself answers; `tools/build_flux_table.py` made both."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import numpy as np
import pytest

from sim_hw.world import flux_table
from sim_hw.world.orbit import Orbit

AUTHORITIES = Path(__file__).parents[2] / "authorities"
ORBITS = json.loads((AUTHORITIES / "ap8_orbits.json").read_text(encoding="utf-8"))
PAGE = {  # passes a day, mean minutes: the table of expected fluxes in docs/world.md
    "325 km sun-synchronous": (7.3, 4.4),
    "420 km 51.6 (ISS)": (9.6, 9.1),
    "550 km 53": (10.7, 11.7),
    "550 km sun-synchronous": (10.1, 8.1),
    "650 km sun-synchronous": (10.9, 9.9),
    "705 km sun-synchronous": (11.4, 10.8),
}


@pytest.fixture(scope="module")
def samples() -> dict[str, np.ndarray]:
    with np.load(AUTHORITIES / "ap8_samples.npz") as stored:
        return {name: values.astype(float) for name, values in stored.items()}


@pytest.mark.parametrize("phase", flux_table.PHASES)
def test_l_and_field_are_those_of_ap8(phase: str, samples: dict[str, np.ndarray]) -> None:
    table = flux_table.load(phase)
    place = (samples["latitude"], samples["longitude"], samples["altitude_km"])
    shell, field = table.magnetic(*place)
    closed = (samples[f"l_{phase}"] > 0.8) & (samples[f"l_{phase}"] < 8.0)
    assert closed.mean() > 0.8
    assert shell[closed] == pytest.approx(samples[f"l_{phase}"][closed], rel=1e-3)
    assert field[closed] == pytest.approx(samples[f"b_{phase}"][closed], rel=3e-4)


@pytest.mark.parametrize("phase", flux_table.PHASES)
@pytest.mark.parametrize("energy", range(4))
def test_fluxes_are_those_of_ap8(phase: str, energy: int, samples: dict[str, np.ndarray]) -> None:
    table = flux_table.load(phase)
    place = (samples["latitude"], samples["longitude"], samples["altitude_km"])
    found = table.flux(*table.magnetic(*place))[energy]
    expected = samples[f"flux_{phase}"][energy]
    inside = expected > 10.0
    assert inside.sum() > 200
    assert found.sum() == pytest.approx(expected.sum(), rel=0.005)
    assert np.median(np.abs(found[inside] / expected[inside] - 1.0)) < 0.01


@pytest.mark.parametrize("row", ORBITS["orbits"], ids=lambda row: row["name"])
def test_an_orbit_gets_the_mean_flux_and_the_passes_of_ap8(row: dict) -> None:
    epoch = dt.datetime.fromisoformat(ORBITS["epoch"])
    orbit = Orbit.from_elements(epoch, row["altitude_km"], row["inclination_deg"], row["node_deg"])
    step = ORBITS["step_s"]
    track = orbit.track(epoch, np.arange(0.0, ORBITS["days"] * 86400.0, step))
    table = flux_table.load("min")
    flux = table.flux(*table.magnetic(track.latitude, track.longitude, track.altitude_km))
    assert flux.mean(axis=1) == pytest.approx(row["mean_flux"], rel=0.01)

    inside = np.concatenate([[False], flux[1] > 10.0, [False]])
    edges = np.flatnonzero(inside[1:] != inside[:-1])
    passes = len(edges) / 2 / ORBITS["days"]
    minutes = (edges[1::2] - edges[::2]).mean() * step / 60.0
    for passes_expected, minutes_expected in (
        (row["passes_a_day"], row["mean_pass_min"]),
        PAGE[row["name"]],
    ):
        # The page rounds to a tenth of a pass and of a minute.
        assert passes == pytest.approx(passes_expected, rel=0.02)
        assert minutes == pytest.approx(minutes_expected, rel=0.02)


def test_there_are_no_protons_beyond_the_belt_or_on_open_lines() -> None:
    table = flux_table.load("min")
    flux = table.flux(np.array([1.0, 5.0, flux_table.OPEN_L]), np.array([0.2, 0.2, 0.4]))
    assert not flux.any()


def test_the_poles_and_the_date_line_are_places_too() -> None:
    table = flux_table.load("max")
    latitude = np.array([90.0, -90.0, 10.0, 10.0])
    longitude = np.array([0.0, 77.0, 180.0, -180.0])
    shell, field = table.magnetic(latitude, longitude, np.full(4, 550.0))
    assert np.isfinite(shell).all()
    assert ((field > 0.1) & (field < 0.7)).all()
    assert shell[2] == shell[3]


def test_the_bound_is_above_everything_on_the_orbit() -> None:
    table = flux_table.load("min")
    rows = np.meshgrid(np.arange(-90.0, 90.0, 0.7), np.arange(-180.0, 180.0, 0.9))
    place = [axis.ravel() for axis in rows]
    height = np.full(place[0].shape, 600.0)
    flux = table.flux(*table.magnetic(*place, height))
    for energy in range(4):
        assert flux[energy].max() < table.peak(600.0, energy)
