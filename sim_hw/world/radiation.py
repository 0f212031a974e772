"""Particles that reach the payload: trapped protons, cosmic rays and solar particle events."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim_hw.model.constants import constant
from sim_hw.world import flux_table
from sim_hw.world.orbit import Orbit, Track

Array = NDArray[np.float64]

SAA_FLUX = 10.0
"""In the South Atlantic Anomaly is where more than 10 p/(cm² s) above 30 MeV are trapped."""
_30_MEV = 1


@dataclass(frozen=True)
class Storm:
    """A solar particle event, on NOAA's scale S1 to S5."""

    scale: int
    start_s: float
    rise_s: float
    decay_s: float

    def shape(self, seconds: Array) -> Array:
        """Share of the peak at a time: a straight rise, then an exponential decay."""
        since = seconds - self.start_s
        rise = np.clip(since / self.rise_s, 0.0, 1.0)
        return rise * np.exp(-np.maximum(0.0, since - self.rise_s) / self.decay_s)


@dataclass(frozen=True)
class ParticleProfile:
    """How the particle environment is modelled."""

    range_mm: float = constant(
        5.0, "mm", "derived: 5 mm of aluminium stop protons below about 30 MeV"
    )
    range_exponent: float = constant(
        0.585, "1", "derived: 10 mm stop those below about 45 MeV; range ~ energy^1.7"
    )
    cosmic_polar: float = constant(1.5, "1", "estimate: more cosmic rays where L > 4")
    storm_above_30: float = constant(
        0.3, "1", "estimate: share of an event's protons above 10 MeV that is above 30 MeV"
    )
    storm_unit: float = constant(
        10.0, "1/(cm2 s sr)", "NOAA space weather scales: S1 is 10 pfu above 10 MeV, S2 100, ..."
    )
    cutoff_closed_l: float = constant(4.5, "1", "estimate: solar protons begin to get in")
    cutoff_open_l: float = constant(5.5, "1", "estimate: all of them get in")
    rad_per_proton: float = constant(
        1.0 / 1.04e7, "rad cm2", "derived: 1 rad(Si) is 1.04e7 p/cm2 of a trapped mix"
    )
    cycle_minimum_year: float = constant(2019.96, "year", "minimum before solar cycle 25")
    cycle_years: float = constant(11.0, "year", "mean length of a solar cycle")


PROFILE = ParticleProfile()


@dataclass(frozen=True)
class Particles:
    """What reaches the payload at a series of times; fluxes in 1/(cm² s)."""

    shell: Array
    """McIlwain L."""
    field_gauss: Array
    trapped_30: Array
    """Trapped protons above 30 MeV: what the SAA is defined by."""
    trapped: Array
    """Trapped protons that get through the shielding."""
    storm: Array
    """Solar protons that get through the shielding."""
    cosmic: Array
    """Cosmic rays, as the flux of protons that would upset as much."""

    @property
    def total(self) -> Array:
        """Flux that upsets, in protons."""
        return self.trapped + self.storm + self.cosmic

    @property
    def is_saa(self) -> NDArray[np.bool_]:
        """Whether the payload is in the South Atlantic Anomaly."""
        return self.trapped_30 > SAA_FLUX


class Radiation:
    """The particle environment of one orbit behind one shielding."""

    def __init__(
        self,
        orbit: Orbit,
        start: dt.datetime,
        *,
        activity: float | None = None,
        shielding_mm: float = 10.0,
        cosmic_share: float = 0.1,
        storms: tuple[Storm, ...] = (),
        profile: ParticleProfile = PROFILE,
    ) -> None:
        """`activity` runs from 0 (solar minimum) to 1; `None` takes it from the date.

        `cosmic_share` is the cosmic rays' part of upsets, as a share of the day's trapped mean.
        """
        self._profile = profile
        self.activity = activity_of(start, profile) if activity is None else activity
        self._storms = storms
        self.energy_mev = energy_behind(shielding_mm, profile)
        parts = (("min", 1.0 - self.activity), ("max", self.activity))
        self._tables = [(flux_table.load(phase), part) for phase, part in parts if part > 0.0]
        self._cosmic = 0.0
        day = orbit.track(start, np.arange(0.0, 86400.0, 30.0))
        trapped = self.at(day, np.zeros(day.altitude_km.shape))
        self.mean_trapped = float(trapped.trapped.mean())
        self._cosmic = cosmic_share * self.mean_trapped
        self.bound = self._bound(float(day.altitude_km.max()) + 20.0)

    def at(self, track: Track, seconds: Array) -> Particles:
        """The particles along a track; `seconds` count from the start, for the storms."""
        shape = track.altitude_km.shape
        shell, field = np.zeros(shape), np.zeros(shape)
        above_30, trapped = np.zeros(shape), np.zeros(shape)
        for table, part in self._tables:
            place = table.magnetic(track.latitude, track.longitude, track.altitude_km)
            fluxes = table.flux(*place)
            shell, field = shell + part * place[0], field + part * place[1]
            above_30 += part * fluxes[_30_MEV]
            trapped += part * _above(fluxes, table.energies_mev, self.energy_mev)
        profile = self._profile
        is_open = np.clip(
            (shell - profile.cutoff_closed_l) / (profile.cutoff_open_l - profile.cutoff_closed_l),
            0.0,
            1.0,
        )
        storm = np.zeros(shape)
        for event in self._storms:
            storm += self._peak(event) * event.shape(seconds) * is_open
        cosmic = self._cosmic * np.where(shell > 4.0, profile.cosmic_polar, 1.0)
        return Particles(shell, field, above_30, trapped, storm, cosmic)

    def _peak(self, storm: Storm) -> float:
        """Omnidirectional flux behind the shielding at the peak of an event, where it gets in."""
        profile = self._profile
        above_10 = profile.storm_unit * 10.0 ** (storm.scale - 1) * 4.0 * math.pi
        slope = math.log(profile.storm_above_30) / math.log(30.0 / 10.0)
        return float(above_10 * (self.energy_mev / 10.0) ** slope)

    def _bound(self, highest_km: float) -> float:
        """A flux that is never exceeded: what the drawing of faults is thinned from."""
        column = int(np.searchsorted(flux_table.load("min").energies_mev, self.energy_mev)) - 1
        trapped = sum(part * table.peak(highest_km, max(0, column)) for table, part in self._tables)
        storms = sum(self._peak(storm) for storm in self._storms)
        return float(trapped + storms + self._cosmic * self._profile.cosmic_polar)


def energy_behind(shielding_mm: float, profile: ParticleProfile = PROFILE) -> float:
    """Energy in MeV that a proton needs to get through so much aluminium."""
    energy = 30.0 * (shielding_mm / profile.range_mm) ** profile.range_exponent
    return float(min(100.0, max(10.0, energy)))


def activity_of(when: dt.datetime, profile: ParticleProfile = PROFILE) -> float:
    """Phase of the solar cycle at a date: 0 at a minimum, 1 at a maximum, a sine between."""
    year = when.year + (when.timetuple().tm_yday - 1) / 365.25
    turn = (year - profile.cycle_minimum_year) / profile.cycle_years
    return 0.5 - 0.5 * math.cos(2.0 * math.pi * turn)


def _above(fluxes: Array, energies: Array, energy: float) -> Array:
    """The integral flux above an energy between the table's: a power law between two columns."""
    upper = int(np.clip(np.searchsorted(energies, energy), 1, len(energies) - 1))
    low, high = energies[upper - 1], energies[upper]
    share = math.log(energy / low) / math.log(high / low)
    if share <= 0.0 or share >= 1.0:
        return np.asarray(fluxes[upper if share >= 1.0 else upper - 1])
    both = (fluxes[upper - 1] > 0.0) & (fluxes[upper] > 0.0)
    below = np.where(both, fluxes[upper - 1], 1.0)
    ratio = np.where(both, fluxes[upper], 1.0) / below
    return np.where(both, below * ratio**share, 0.0)
