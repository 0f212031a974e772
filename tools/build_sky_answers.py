"""Writes `tests/authorities/astropy.json`: where Sun, Earth and a satellite are, by astropy.

The project does not use astropy; in a virtual environment made for the purpose, from the root of
the repository (astropy 8.0.2 made the file that is committed):

    pip install astropy sgp4
    python -m tools.build_sky_answers tests/authorities/astropy.json
"""

# mypy: disable-error-code="import-not-found"
from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np

FIRST, EVERY_DAYS, COUNT = "2001-01-01T00:00:00", 499.37, 30
LAST_KNOWN_MJD = 60000.0
"""Until then the Earth's rotation is measured and shipped with astropy; after, it is a forecast."""
TLE = (
    "1 06251U 62025E   06176.82412014  .00008885  00000-0  12808-3 0  3985",
    "2 06251  58.0579  54.0425 0030035 139.1568 221.1854 15.56387291  6774",
)


def suns() -> list[dict[str, Any]]:
    """Apparent Sun of date, and Greenwich mean sidereal time."""
    from astropy import units as u
    from astropy.coordinates import TETE, get_sun
    from astropy.time import Time

    rows = []
    for index in range(COUNT):
        time = Time(FIRST, scale="utc") + index * EVERY_DAYS * u.day
        place = get_sun(time).transform_to(TETE(obstime=time))
        known = time.mjd < LAST_KNOWN_MJD
        angle = time.sidereal_time("mean", "greenwich", model="IAU1982").deg if known else None
        rows.append(
            {
                "utc": time.isot[:23],
                "ra_deg": round(place.ra.deg % 360, 5),
                "dec_deg": round(place.dec.deg, 5),
                "au": round(place.distance.to_value(u.au), 6),
                "gmst_deg": None if angle is None else round(float(angle), 5),
            }
        )
    return rows


def places() -> list[dict[str, Any]]:
    """Places on and above the WGS-84 ellipsoid."""
    from astropy import units as u
    from astropy.coordinates import EarthLocation

    draw, rows = np.random.default_rng(3), []
    for _ in range(12):
        latitude = round(float(np.degrees(np.arcsin(draw.uniform(-1, 1)))), 6)
        longitude, altitude = (
            round(float(draw.uniform(*r)), 6) for r in ((-180, 180), (200, 1500))
        )
        found = EarthLocation.from_geodetic(longitude * u.deg, latitude * u.deg, altitude * u.km)
        xyz = [round(float(axis.to_value(u.km)), 6) for axis in (found.x, found.y, found.z)]
        rows.append(
            {"latitude": latitude, "longitude": longitude, "altitude_km": altitude, "xyz_km": xyz}
        )
    return rows


def below() -> list[dict[str, Any]]:
    """Places below a satellite, by astropy's own way from TEME to the ground."""
    from astropy import units as u
    from astropy.coordinates import ITRS, TEME, CartesianRepresentation
    from astropy.time import Time
    from sgp4.api import Satrec

    satellite, rows = Satrec.twoline2rv(*TLE), []
    for minutes in range(0, 2880, 240):
        time = Time("2006-06-26T00:00:00", scale="utc") + minutes * u.min
        _, place, _ = satellite.sgp4(time.jd1, time.jd2)
        teme = TEME(CartesianRepresentation(place * u.km), obstime=time)
        ground = teme.transform_to(ITRS(obstime=time)).earth_location.geodetic
        rows.append(
            {
                "utc": time.isot[:23],
                "latitude": round(ground.lat.deg, 5),
                "longitude": round(ground.lon.deg, 5),
                "altitude_km": round(ground.height.to_value(u.km), 4),
            }
        )
    return rows


def main(path: Path) -> None:
    """Write the answers."""
    import astropy
    from astropy.utils import iers

    iers.conf.auto_download = False
    iers.conf.iers_degraded_accuracy = "ignore"
    iers.conf.auto_max_age = None
    warnings.simplefilter("ignore")
    answers = {
        "source": f"astropy {astropy.__version__}; made by tools/build_sky_answers.py",
        "sun": suns(),
        "places": places(),
        "tle": TLE,
        "below": below(),
    }
    path.write_text(json.dumps(answers, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
