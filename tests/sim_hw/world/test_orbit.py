"""Where the payload is, where the Sun is, and when the Earth is between them."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sgp4.conveniences import jday_datetime

from sim_hw.world import geodesy, sun
from sim_hw.world.orbit import Orbit, OrbitError, node_of_local_time, sun_synchronous_inclination

pytestmark = pytest.mark.numerical

UTC = dt.timezone.utc
EPOCH = dt.datetime(2026, 1, 1, tzinfo=UTC)
ASTROPY = json.loads(
    (Path(__file__).parents[2] / "authorities" / "astropy.json").read_text(encoding="utf-8")
)
ISS = (
    "1 25544U 98067A   24001.50000000  .00016717  00000-0  30074-3 0  9990",
    "2 25544  51.6416 100.0000 0005000  60.0000 300.0000 15.50000000    19",
)


def with_checksum(line: str) -> str:
    total = sum(int(c) if c.isdigit() else c == "-" for c in line[:68])
    return line[:68] + str(total % 10)


@pytest.mark.parametrize("row", ASTROPY["sun"], ids=lambda row: row["utc"][:10])
def test_the_sun_is_within_a_hundredth_of_a_degree_of_the_ephemeris(row: dict) -> None:
    jd, fraction = jday_datetime(dt.datetime.fromisoformat(row["utc"]).replace(tzinfo=UTC))
    found, distance = sun.direction(np.array([jd + fraction]))
    ra, dec = np.radians([row["ra_deg"], row["dec_deg"]])
    expected = [np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)]
    angle = np.degrees(np.linalg.norm(np.cross(found[:, 0], expected)))
    assert angle < 0.01
    assert distance[0] == pytest.approx(row["au"], abs=2e-4)


@pytest.mark.parametrize("row", [row for row in ASTROPY["sun"] if row["gmst_deg"] is not None])
def test_the_earth_has_turned_as_far_as_it_should(row: dict) -> None:
    jd, fraction = jday_datetime(dt.datetime.fromisoformat(row["utc"]).replace(tzinfo=UTC))
    found = np.degrees(geodesy.sidereal_angle(jd, np.array([fraction])))[0]
    apart = (found - row["gmst_deg"] + 180.0) % 360.0 - 180.0
    assert abs(apart) < 0.005  # UT1 - UTC is up to 0.9 s, 0.004 degrees


@pytest.mark.parametrize("row", ASTROPY["places"])
def test_places_on_the_ellipsoid_agree_both_ways(row: dict) -> None:
    place = [np.array([row[name]]) for name in ("latitude", "longitude", "altitude_km")]
    assert geodesy.earth_fixed(*place)[:, 0] == pytest.approx(row["xyz_km"], abs=1e-5)
    back = geodesy.geodetic(np.array(row["xyz_km"])[:, None])
    assert back[0][0] == pytest.approx(row["latitude"], abs=1e-7)
    assert back[1][0] == pytest.approx(row["longitude"], abs=1e-7)
    assert back[2][0] == pytest.approx(row["altitude_km"], abs=1e-5)


@given(
    altitude=st.floats(300.0, 1200.0),
    inclination=st.floats(1.0, 120.0),
    node=st.floats(0.0, 360.0),
    day=st.integers(0, 364),
)
def test_eclipse_fractions_are_those_of_the_analytic_cylinder(
    altitude: float, inclination: float, node: float, day: int
) -> None:
    """A circle of 20,000 points and the Sun of that day: the shadow alone, without SGP4."""
    jd, fraction = jday_datetime(EPOCH + dt.timedelta(days=day))
    towards = sun.direction(np.full(1, jd + fraction))[0]
    tilt, turn = np.radians([inclination, node])
    first = np.array([np.cos(turn), np.sin(turn), 0.0])
    second = np.array([-np.sin(turn) * np.cos(tilt), np.cos(turn) * np.cos(tilt), np.sin(tilt)])
    phase = np.linspace(0.0, 2.0 * np.pi, 20_000, endpoint=False)
    circle = np.outer(first, np.cos(phase)) + np.outer(second, np.sin(phase))
    radius = geodesy.EQUATOR_KM + altitude
    flown = -np.outer(first, np.sin(phase)) + np.outer(second, np.cos(phase))
    beta = sun.beta_angle(radius * circle[:, :1], flown[:, :1], towards)[0]
    found = sun.is_eclipsed(radius * circle, towards).mean()
    assert found == pytest.approx(sun.eclipse_fraction(altitude, beta), abs=1.5e-4)


@pytest.mark.parametrize(("altitude", "inclination"), [(420.0, 51.6), (550.0, 97.6), (705.0, 28.5)])
def test_eclipse_of_a_flown_orbit_is_within_half_a_per_cent_of_the_cylinder(
    altitude: float, inclination: float
) -> None:
    """Ten whole orbits of SGP4 at 1 s, against the circle of their mean radius and beta."""
    orbit = Orbit.from_elements(EPOCH, altitude, inclination, 130.0)
    track = orbit.track(EPOCH, np.arange(0.0, 10 * orbit.period_s))
    radius = np.sqrt((track.place_km**2).sum(axis=0)).mean()
    expected = np.mean([
        sun.eclipse_fraction(radius - geodesy.EQUATOR_KM, beta) for beta in track.beta_deg[::600]
    ])  # fmt: skip
    assert expected > 0.2
    assert track.eclipsed.mean() == pytest.approx(expected, rel=0.005)


def test_a_dawn_dusk_orbit_sees_no_eclipse_at_the_equinox_and_a_noon_orbit_37_per_cent() -> None:
    equinox = dt.datetime(2026, 3, 20, tzinfo=UTC)
    tilt = sun_synchronous_inclination(550.0)
    seconds = np.arange(0.0, 86400.0, 10.0)
    for hours, share in ((6.0, 0.0), (12.0, 0.371)):
        node = node_of_local_time(equinox, hours)
        track = Orbit.from_elements(equinox, 550.0, tilt, node).track(equinox, seconds)
        assert track.eclipsed.mean() == pytest.approx(share, abs=0.004)


def test_a_sun_synchronous_node_keeps_its_local_time_over_a_year() -> None:
    tilt = sun_synchronous_inclination(550.0)
    assert tilt == pytest.approx(97.6, abs=0.05)
    orbit = Orbit.from_elements(EPOCH, 550.0, tilt, node_of_local_time(EPOCH, 6.0))
    year = orbit.track(EPOCH, np.arange(0, 365) * 86400.0)
    dawn = np.abs(year.beta_deg)  # a dawn orbit stays near the terminator
    assert dawn.min() > 55.0


def test_elements_give_the_altitude_that_was_asked_for() -> None:
    track = Orbit.from_elements(EPOCH, 550.0, 97.6, 0.0).track(EPOCH, np.arange(0.0, 86400.0, 20.0))
    radius = np.sqrt((track.place_km**2).sum(axis=0))
    assert radius.mean() == pytest.approx(6378.135 + 550.0, abs=6.0)  # J2 lifts a polar orbit


def test_a_tle_with_a_wrong_digit_is_refused_with_its_checksum() -> None:
    first, second = (with_checksum(line) for line in ISS)
    assert Orbit.from_tle(first, second).satellite.satnum == 25544
    wrong = second.replace("51.6416", "51.6417")
    with pytest.raises(OrbitError, match="line 2 of the TLE has checksum"):
        Orbit.from_tle(first, wrong)


def test_a_line_that_is_none_of_a_tle_is_refused() -> None:
    with pytest.raises(OrbitError, match="line 1 of a TLE has 69 characters"):
        Orbit.from_tle("1 25544U", with_checksum(ISS[1]))


def test_elements_that_do_not_close_are_refused() -> None:
    with pytest.raises(OrbitError, match="not an orbit"):
        Orbit.from_elements(EPOCH, 550.0, 97.6, 0.0, eccentricity=1.5)


@pytest.mark.parametrize(
    ("altitude", "longest", "mean", "days"),
    [(325.0, 0.274, 0.077, 130), (550.0, 0.222, 0.049, 100), (650.0, 0.204, 0.040, 90)],
)
def test_a_dawn_dusk_orbit_has_the_eclipse_season_of_the_table(
    altitude: float, longest: float, mean: float, days: int
) -> None:
    """A year in steps of five days; the table of docs/world.md."""
    tilt = sun_synchronous_inclination(altitude)
    orbit = Orbit.from_elements(EPOCH, altitude, tilt, node_of_local_time(EPOCH, 18.0))
    seconds = np.arange(0.0, orbit.period_s, 10.0)
    starts = [EPOCH + dt.timedelta(days=day) for day in range(0, 365, 5)]
    shares = np.array([orbit.track(start, seconds).eclipsed.mean() for start in starts])
    assert shares.max() == pytest.approx(longest, abs=0.02)
    assert shares.mean() == pytest.approx(mean, abs=0.005)
    assert 5 * (shares > 0.0).sum() == pytest.approx(days, abs=10)


def test_the_place_below_is_that_of_the_ephemeris_software() -> None:
    """TEME to the ground by astropy, with measured rotation and polar motion: 300 m at most."""
    orbit = Orbit.from_tle(*ASTROPY["tle"])
    start = dt.datetime.fromisoformat(ASTROPY["below"][0]["utc"]).replace(tzinfo=UTC)
    track = orbit.track(start, np.arange(len(ASTROPY["below"])) * 240 * 60.0)
    for index, row in enumerate(ASTROPY["below"]):
        assert track.latitude[index] == pytest.approx(row["latitude"], abs=0.003)
        assert track.longitude[index] == pytest.approx(row["longitude"], abs=0.006)
        assert track.altitude_km[index] == pytest.approx(row["altitude_km"], abs=0.05)
