"""Where the Sun is, and whether the Earth is in front of it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sim_hw.world.geodesy import EQUATOR_KM

Array = NDArray[np.float64]

J2000 = 2451545.0


def direction(jd: Array) -> tuple[Array, Array]:
    """Unit vector to the Sun, equator and equinox of date, and its distance in astronomical units.

    Low-precision formula of the Astronomical Almanac (section C), with the largest term of nutation
    added: within 0.01 degree from 1950 to 2050.
    """
    days = np.asarray(jd, dtype=np.float64) - J2000
    mean = np.radians(280.460 + 0.9856474 * days)
    anomaly = np.radians(357.528 + 0.9856003 * days)
    longitude = mean + np.radians(1.915 * np.sin(anomaly) + 0.020 * np.sin(2.0 * anomaly))
    longitude -= np.radians(0.0048) * np.sin(np.radians(125.04 - 0.0529538 * days))
    obliquity = np.radians(23.439 - 4.0e-7 * days)
    distance = 1.00014 - 0.01671 * np.cos(anomaly) - 0.00014 * np.cos(2.0 * anomaly)
    sine = np.sin(longitude)
    return (
        np.stack([np.cos(longitude), np.cos(obliquity) * sine, np.sin(obliquity) * sine]),
        distance,
    )


def is_eclipsed(place_km: Array, sun: Array) -> NDArray[np.bool_]:
    """Whether a place is in the Earth's shadow, taken as a cylinder of its equatorial radius."""
    towards = (place_km * sun).sum(axis=0)
    radius2 = (place_km * place_km).sum(axis=0)
    return np.asarray((towards < 0.0) & (radius2 - towards * towards < EQUATOR_KM**2))


def beta_angle(place_km: Array, velocity: Array, sun: Array) -> Array:
    """Angle in degrees between the Sun and the plane of the orbit, positive on its north side."""
    normal = np.cross(place_km, velocity, axis=0)
    normal /= np.sqrt((normal * normal).sum(axis=0))
    sine = np.clip((normal * sun).sum(axis=0), -1.0, 1.0)
    return np.asarray(np.degrees(np.arcsin(sine)))


def eclipse_fraction(altitude_km: float, beta_deg: float) -> float:
    """Share of a circular orbit that lies in the cylinder: the analytic answer."""
    radius = EQUATOR_KM + altitude_km
    ratio = np.sqrt(radius**2 - EQUATOR_KM**2) / (radius * np.cos(np.radians(beta_deg)))
    return float(np.arccos(min(1.0, ratio)) / np.pi)
