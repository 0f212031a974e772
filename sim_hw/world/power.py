"""Power: what the solar array gives, and what the battery keeps for the shadow."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim_hw.world.settings import Misfit, number

Array = NDArray[np.float64]

SOLAR_CONSTANT_W_M2 = 1361.0
"""Total solar irradiance at 1 au: Kopp and Lean 2011, doi 10.1029/2010GL045777."""


@dataclass(frozen=True)
class PowerSettings:
    """`[power]`: array, battery and the bus's own needs."""

    array_area: float = number("m2", 0.01, 10_000.0, 3.0)
    array_efficiency: float = number("", 0.01, 0.5, 0.28, "triple-junction cells, typical")
    array_cosine: float = number("", 0.0, 1.0, 0.97, "estimate: tracks the Sun, with wiring losses")
    array_remaining: float = number("", 0.1, 1.0, 0.95, "estimate: after a year in low orbit")
    battery: float = number("Wh", 1.0, 1e6, 800.0)
    charge_efficiency: float = number("", 0.5, 1.0, 0.96, "lithium-ion, typical")
    discharge_efficiency: float = number("", 0.5, 1.0, 0.96, "lithium-ion, typical")
    charge_limit: float = number("W", 1.0, 1e6, 600.0)
    initial: float = number("", 0.0, 1.0, 1.0)
    cutoff: float = number("", 0.0, 1.0, 0.3, "chosen: the payload is shed at 70 % discharge")
    restart: float = number("", 0.0, 1.0, 0.6, "chosen")
    bus: float = number("W", 0.0, 1e5, 60.0)
    converter_efficiency: float = number("", 0.5, 1.0, 0.92, "estimate")

    def __post_init__(self) -> None:
        if self.restart <= self.cutoff:
            raise Misfit(
                "restart",
                f"the payload would restart at {self.restart:g} of the battery, where it is shed "
                f"at {self.cutoff:g}; write a restart above the cutoff",
            )


def array_power(settings: PowerSettings, eclipsed: NDArray[np.bool_], distance_au: Array) -> Array:
    """What the array can give, in W."""
    peak = SOLAR_CONSTANT_W_M2 * settings.array_area * settings.array_efficiency
    peak *= settings.array_cosine * settings.array_remaining
    return np.where(eclipsed, 0.0, peak / distance_au**2)
