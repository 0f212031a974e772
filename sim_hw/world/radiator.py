"""The radiator's surroundings: deep space, the Earth's warmth and reflected light, and the Sun."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim_hw.model.thermal import ThermalProfile
from sim_hw.world.geodesy import EQUATOR_KM
from sim_hw.world.orbit import Track
from sim_hw.world.power import SOLAR_CONSTANT_W_M2
from sim_hw.world.settings import number

Array = NDArray[np.float64]

STEFAN_BOLTZMANN = 5.670374419e-8
"""W/(m² K⁴), CODATA 2018."""
EARTH_INFRARED_W_M2 = 237.0
"""Mean outgoing longwave radiation; NASA-STD-3001 and ECSS-E-ST-10-04C give 220 to 240."""
ALBEDO = 0.3
"""Mean of the Earth: ECSS-E-ST-10-04C."""
LINEAR_AT_C = 45.0
"""Temperature at which the heat path's linear radiator agrees with the fourth power."""


@dataclass(frozen=True)
class RadiatorSettings:
    """`[radiator]`: its surface, and what it sees."""

    emissivity: float = number("", 0.05, 1.0, 0.85, "white paint or optical solar reflectors")
    absorptivity: float = number("", 0.0, 1.0, 0.2, "estimate: after a year in orbit")
    earth_view: float = number("", 0.0, 1.0, 0.5, "estimate: both faces, edge-on to the Earth")
    sun_cosine: float = number("", 0.0, 1.0, 0.0, "edge-on to the Sun")


def absorbed_w_m2(settings: RadiatorSettings, track: Track) -> Array:
    """Heat that the surroundings bring to the radiator, in W/m²."""
    radius = np.sqrt((track.place_km**2).sum(axis=0))
    nearness = (EQUATOR_KM / radius) ** 2
    view = settings.earth_view * nearness
    noon = np.maximum(0.0, (track.place_km * track.sun).sum(axis=0) / radius)
    sunlight = SOLAR_CONSTANT_W_M2 / track.sun_distance_au**2
    albedo = settings.absorptivity * ALBEDO * sunlight * noon * view
    direct = settings.absorptivity * sunlight * settings.sun_cosine * ~track.eclipsed
    return np.asarray(settings.emissivity * EARTH_INFRARED_W_M2 * view + albedo + direct)


def sink_c(settings: RadiatorSettings, profile: ThermalProfile, track: Track) -> Array:
    """The temperature in °C that the heat path's linear radiator has to see."""
    gross = settings.emissivity * STEFAN_BOLTZMANN * (LINEAR_AT_C + 273.15) ** 4
    net = gross - absorbed_w_m2(settings, track)
    return LINEAR_AT_C - net / profile.radiator_conductance_w_m2_k
