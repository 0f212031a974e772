"""Where the payload is: SGP4 from a TLE, an OMM or elements, and the place below it."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sgp4.api import SGP4_ERRORS, WGS72, Satrec
from sgp4.conveniences import jday_datetime

from sim_hw.world import elements, geodesy, sun
from sim_hw.world.elements import OrbitError as OrbitError

Array = NDArray[np.float64]

_MU_KM3_S2 = 398600.8
_J2 = 0.001082616
_EQUATOR_KM = 6378.135
_SGP4_EPOCH = dt.datetime(1949, 12, 31, tzinfo=dt.timezone.utc)


@dataclass(frozen=True)
class Track:
    """States at a series of times."""

    place_km: Array
    """(3, times), true equator and mean equinox (TEME)."""
    velocity_km_s: Array
    latitude: Array
    longitude: Array
    altitude_km: Array
    sun: Array
    """(3, times), unit vectors."""
    sun_distance_au: Array
    eclipsed: NDArray[np.bool_]
    beta_deg: Array


class Orbit:
    """An orbit that can be asked where it is."""

    def __init__(self, satellite: Satrec, source: str = "elements") -> None:
        self.satellite = satellite
        self.source = source
        """Where its elements come from, for people."""

    @property
    def period_s(self) -> float:
        """Time from perigee to perigee, in s."""
        return 2.0 * math.pi / float(self.satellite.no_kozai) * 60.0

    @classmethod
    def from_tle(cls, first: str, second: str) -> Orbit:
        """From the two lines of a TLE. Raises OrbitError."""
        satellite = elements.from_tle(first, second)
        return cls(satellite, f"TLE of {satellite.satnum}")

    @classmethod
    def from_omm(cls, message: str | bytes) -> Orbit:
        """From a CCSDS OMM of one satellite, in JSON, XML or CSV. Raises OrbitError."""
        satellite, number = elements.from_omm(message)
        return cls(satellite, f"OMM of {number}")

    @classmethod
    def from_elements(
        cls,
        epoch: dt.datetime,
        altitude_km: float,
        inclination_deg: float,
        node_deg: float,
        *,
        eccentricity: float = 0.0,
        perigee_deg: float = 0.0,
        anomaly_deg: float = 0.0,
    ) -> Orbit:
        """From mean elements: altitude of the semi-major axis above the equator, angles in degrees.

        SGP4 wants Kozai's mean motion: the one of two bodies with J2's secular part taken off.
        """
        if not 0.0 <= eccentricity < 1.0:
            raise OrbitError(f"not an orbit: eccentricity {eccentricity} is not in [0, 1)")
        axis = _EQUATOR_KM + altitude_km
        brouwer = math.sqrt(_MU_KM3_S2 / axis**3)
        cosine = math.cos(math.radians(inclination_deg))
        shape = (1.0 - eccentricity**2) ** 1.5
        delta = 0.75 * _J2 * (_EQUATOR_KM / axis) ** 2 * (3.0 * cosine**2 - 1.0) / shape
        kozai = brouwer * (1.0 + delta)
        satellite = Satrec()
        satellite.sgp4init(
            WGS72,
            "i",
            1,
            (epoch - _SGP4_EPOCH) / dt.timedelta(days=1),
            0.0,
            0.0,
            0.0,
            eccentricity,
            math.radians(perigee_deg),
            math.radians(inclination_deg),
            math.radians(anomaly_deg),
            kozai * 60.0,
            math.radians(node_deg),
        )
        if satellite.error:
            raise OrbitError(f"not an orbit: {SGP4_ERRORS[satellite.error]}")
        return cls(satellite)

    def track(self, start: dt.datetime, seconds: Array) -> Track:
        """The states `seconds` after `start` (UTC)."""
        jd, fraction = jday_datetime(start)
        fractions = fraction + np.asarray(seconds, dtype=np.float64) / 86400.0
        errors, places, velocities = self.satellite.sgp4_array(
            np.full(fractions.shape, jd), fractions
        )
        if errors.any():
            worst = int(errors[np.flatnonzero(errors)[0]])
            raise OrbitError(f"the orbit cannot be followed: {SGP4_ERRORS[worst]}")
        place, velocity = np.ascontiguousarray(places.T), np.ascontiguousarray(velocities.T)
        earth = geodesy.turned(place, geodesy.sidereal_angle(jd, fractions))
        latitude, longitude, altitude = geodesy.geodetic(earth)
        towards, distance = sun.direction(jd + fractions)
        return Track(
            place,
            velocity,
            latitude,
            longitude,
            altitude,
            towards,
            distance,
            sun.is_eclipsed(place, towards),
            sun.beta_angle(place, velocity, towards),
        )


def node_of_local_time(start: dt.datetime, hours: float) -> float:
    """Right ascension in degrees of an ascending node that lies at a local solar time."""
    jd, fraction = jday_datetime(start)
    x, y, _ = sun.direction(np.array([jd + fraction]))[0][:, 0]
    return (math.degrees(math.atan2(y, x)) + 15.0 * (hours - 12.0)) % 360.0


def sun_synchronous_inclination(altitude_km: float) -> float:
    """Inclination in degrees at which J2 turns the node once a year."""
    axis = _EQUATOR_KM + altitude_km
    motion = math.sqrt(_MU_KM3_S2 / axis**3)
    yearly = 2.0 * math.pi / (365.2422 * 86400.0)
    return math.degrees(math.acos(-yearly / (1.5 * _J2 * (_EQUATOR_KM / axis) ** 2 * motion)))
