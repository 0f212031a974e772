"""Places on the Earth: the WGS-84 ellipsoid, and how far the Earth has turned."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

EQUATOR_KM = 6378.137
FLATTENING = 1.0 / 298.257223563
_E2 = FLATTENING * (2.0 - FLATTENING)


def earth_fixed(latitude: Array, longitude: Array, altitude_km: Array) -> Array:
    """Geodetic degrees and km to Earth-fixed km: (3, places)."""
    phi, lam = np.radians(latitude), np.radians(longitude)
    sine = np.sin(phi)
    normal = EQUATOR_KM / np.sqrt(1.0 - _E2 * sine * sine)
    across = (normal + altitude_km) * np.cos(phi)
    return np.stack(
        [across * np.cos(lam), across * np.sin(lam), (normal * (1.0 - _E2) + altitude_km) * sine]
    )


def geodetic(place_km: Array) -> tuple[Array, Array, Array]:
    """Earth-fixed km to latitude, longitude (degrees), altitude (km); Bowring 1976, < 1 mm."""
    x, y, z = place_km
    across = np.hypot(x, y)
    polar = EQUATOR_KM * (1.0 - FLATTENING)
    reduced = np.arctan2(z * EQUATOR_KM, across * polar)
    sine, cosine = np.sin(reduced), np.cos(reduced)
    phi = np.arctan2(z + _E2 / (1.0 - _E2) * polar * sine**3, across - _E2 * EQUATOR_KM * cosine**3)
    sine, cosine = np.sin(phi), np.cos(phi)
    surface = EQUATOR_KM * np.sqrt(1.0 - _E2 * sine * sine)
    altitude = across * cosine + z * sine - surface
    return np.degrees(phi), np.degrees(np.arctan2(y, x)), altitude


def sidereal_angle(jd: float, fraction: Array) -> Array:
    """Greenwich mean sidereal time in radians (IAU 1982, as SGP4's frame wants); UT1 = UTC."""
    days = (jd - 2451545.0) + fraction
    centuries = days / 36525.0
    # The day's own turn apart from the whole days: no digits are lost to a large number.
    turns = (jd - 2451545.0) % 1.0 + fraction
    seconds = (
        67310.54841 + 8640184.812866 * centuries + 0.093104 * centuries**2 - 6.2e-6 * centuries**3
    )
    angle = np.mod(seconds / 86400.0 + turns, 1.0)
    return 2.0 * np.pi * angle


def turned(place: Array, angle: Array) -> Array:
    """Inertial (TEME) coordinates to Earth-fixed ones: about the axis by the sidereal angle."""
    sine, cosine = np.sin(angle), np.cos(angle)
    x, y, z = place
    return np.stack([cosine * x + sine * y, cosine * y - sine * x, z])
