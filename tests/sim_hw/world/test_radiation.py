"""Trapped protons behind shielding, cosmic rays, storms and dose."""

from __future__ import annotations

import dataclasses
import datetime as dt

import numpy as np
import pytest

from sim_hw.world.orbit import Orbit, sun_synchronous_inclination
from sim_hw.world.radiation import PROFILE, Radiation, Storm, activity_of, energy_behind

pytestmark = pytest.mark.numerical

EPOCH = dt.datetime(2026, 1, 1, tzinfo=dt.timezone.utc)
DAY = np.arange(0.0, 86400.0, 20.0)


@pytest.fixture(scope="module")
def polar() -> Orbit:
    return Orbit.from_elements(EPOCH, 550.0, sun_synchronous_inclination(550.0), 75.0)


def day(orbit: Orbit, **settings: object) -> tuple[Radiation, object]:
    radiation = Radiation(orbit, EPOCH, **{"activity": 0.0, "shielding_mm": 5.0, **settings})
    return radiation, radiation.at(orbit.track(EPOCH, DAY), DAY)


def test_shielding_stops_what_the_design_says() -> None:
    assert energy_behind(5.0) == pytest.approx(30.0)
    assert energy_behind(10.0) == pytest.approx(45.0, abs=0.1)
    assert energy_behind(0.1) == 10.0
    assert energy_behind(100.0) == 100.0


def test_more_shielding_and_more_solar_activity_let_less_through(polar: Orbit) -> None:
    means = [day(polar, shielding_mm=mm)[0].mean_trapped for mm in (1.0, 3.0, 5.0, 10.0, 30.0)]
    assert means == sorted(means, reverse=True)
    quiet, active, between = (day(polar, activity=a)[0].mean_trapped for a in (0.0, 1.0, 0.5))
    assert 0.5 < active / quiet < 0.8  # AP8MAX is 0.43 of AP8MIN at 325 km, 0.75 at 650 km
    assert between == pytest.approx((quiet + active) / 2)


def test_activity_follows_the_date() -> None:
    assert activity_of(dt.datetime(2019, 12, 15, tzinfo=dt.timezone.utc)) == pytest.approx(
        0.0, abs=0.01
    )
    assert activity_of(dt.datetime(2025, 6, 15, tzinfo=dt.timezone.utc)) == pytest.approx(
        1.0, abs=0.01
    )


def test_cosmic_rays_are_a_tenth_of_the_mean_and_more_at_high_l(polar: Orbit) -> None:
    radiation, particles = day(polar)
    assert particles.cosmic.min() == pytest.approx(0.1 * radiation.mean_trapped)
    assert particles.cosmic.max() == pytest.approx(0.15 * radiation.mean_trapped)
    assert (particles.cosmic > 1.2 * particles.cosmic.min()).mean() == pytest.approx(0.33, abs=0.02)


@pytest.mark.parametrize(("scale", "expected"), [(2, 94.0), (3, 940.0), (4, 9400.0), (5, 94000.0)])
def test_a_storm_at_its_peak_has_the_orbit_mean_of_its_class(
    polar: Orbit, scale: int, expected: float
) -> None:
    """Flux above 30 MeV; a cap open from L = 5 instead of 6 makes it a tenth more."""
    storm = Storm(scale, start_s=-60.0, rise_s=60.0, decay_s=1e12)
    _, particles = day(polar, storms=(storm,))
    assert particles.storm.mean() == pytest.approx(expected, rel=0.2)


def test_a_storm_does_not_reach_a_53_degree_orbit_much() -> None:
    orbit = Orbit.from_elements(EPOCH, 550.0, 53.0, 0.0)
    storm = Storm(4, start_s=-60.0, rise_s=60.0, decay_s=1e12)
    _, particles = day(orbit, storms=(storm,))
    assert (particles.storm > 0.0).mean() < 0.08


def test_a_storm_rises_and_decays() -> None:
    storm = Storm(3, start_s=100.0, rise_s=50.0, decay_s=1000.0)
    shape = storm.shape(np.array([0.0, 100.0, 125.0, 150.0, 1150.0]))
    assert shape == pytest.approx([0.0, 0.0, 0.5, 1.0, np.exp(-1.0)])


@pytest.mark.parametrize(
    ("altitude", "inclination", "node", "rad"),
    [(325.0, 96.8, 240.0, 8.0), (420.0, 51.6, 180.0, 40.0), (550.0, 53.0, 315.0, 113.0),
     (550.0, 97.6, 75.0, 81.0), (650.0, 98.0, 105.0, 158.0), (705.0, 98.2, 45.0, 217.0)],
)  # fmt: skip
def test_the_dose_of_a_year_is_that_of_the_table(
    altitude: float, inclination: float, node: float, rad: float
) -> None:
    orbit = Orbit.from_elements(EPOCH, altitude, inclination, node)
    week = orbit.track(EPOCH, np.arange(0.0, 7 * 86400.0, 30.0))
    radiation = Radiation(orbit, EPOCH, activity=0.0, shielding_mm=5.0)
    flux = radiation.at(week, np.zeros(week.altitude_km.shape)).trapped.mean()
    assert flux * PROFILE.rad_per_proton * 365.25 * 86400.0 == pytest.approx(rad, rel=0.08)


@pytest.mark.parametrize("shielding", [1.0, 5.0, 10.0, 30.0])
def test_the_bound_is_never_exceeded(polar: Orbit, shielding: float) -> None:
    storm = Storm(3, start_s=3600.0, rise_s=3600.0, decay_s=36000.0)
    radiation, particles = day(polar, shielding_mm=shielding, activity=0.3, storms=(storm,))
    assert particles.total.max() < radiation.bound


def test_every_constant_says_where_it_comes_from() -> None:
    for field in dataclasses.fields(PROFILE):
        assert field.metadata["unit"]
        assert len(field.metadata["provenance"]) > 8
