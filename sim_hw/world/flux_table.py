"""Trapped protons at a place: AP8 over the magnetic field, and the field over the Earth."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim_hw.world.geodesy import earth_fixed

Array = NDArray[np.float64]

PATH = Path(__file__).with_name("flux_table.npz")
PHASES = ("min", "max")
LOWEST_KM, HIGHEST_KM = 200.0, 1500.0
OPEN_L = 1000.0
"""L of a field line that the table calls open: it ends far outside any proton belt."""
_RADIUS_KM = 6378.1
_REFINE = 4


@dataclass(frozen=True)
class FluxTable:
    """AP8 of one phase of the solar cycle, "min" or "max"; tools/build_flux_table.py made it."""

    phase: str
    energies_mev: Array
    _altitudes_km: Array
    _field: NDArray[np.float32]
    """(latitude, longitude, altitude, [r/L, B·r³]), refined from the coarse grid of the file."""
    _l_axis: Array
    _b_first: float
    _b_step: float
    _log_flux: Array
    """(L, B, energy): log10 of the integral flux in 1/(cm² s); 0 is none."""

    def magnetic(
        self, latitude: Array, longitude: Array, altitude_km: Array
    ) -> tuple[Array, Array]:
        """McIlwain L in Earth radii and the local field in gauss; geodetic degrees and km."""
        table = self._field
        rows, columns, levels = table.shape[:3]
        y = (np.asarray(latitude) + 90.0) * (rows - 1) / 180.0
        x = (np.asarray(longitude) + 180.0) * columns / 360.0
        first = self._altitudes_km[0]
        z = (np.asarray(altitude_km) - first) / (self._altitudes_km[1] - first)
        j, y = _cell(y, rows)
        i = np.floor(x).astype(np.intp)
        x -= i
        k, z = _cell(z, levels)
        east, west = i % columns, (i + 1) % columns
        here = np.zeros((2, *np.shape(latitude)))
        for row, by in ((j, 1.0 - y), (j + 1, y)):
            for column, bx in ((east, 1.0 - x), (west, x)):
                for level, bz in ((k, 1.0 - z), (k + 1, z)):
                    here += table[row, column, level].T * (by * bx * bz)
        place = earth_fixed(latitude, longitude, altitude_km)
        radius = np.sqrt((place * place).sum(axis=0)) / _RADIUS_KM
        return radius / np.maximum(here[0], radius / OPEN_L), here[1] / radius**3

    def flux(self, shell: Array, field_gauss: Array) -> Array:
        """Omnidirectional flux above each of `energies_mev`, in 1/(cm² s): (energy, place)."""
        table, axis = self._log_flux, self._l_axis
        i = np.clip(np.searchsorted(axis, shell, side="right") - 1, 0, len(axis) - 2)
        x = np.clip((shell - axis[i]) / (axis[i + 1] - axis[i]), 0.0, 1.0)
        j, y = _cell((field_gauss - self._b_first) / self._b_step, table.shape[1])
        logs = (
            table[i, j].T * ((1.0 - x) * (1.0 - y))
            + table[i + 1, j].T * (x * (1.0 - y))
            + table[i, j + 1].T * ((1.0 - x) * y)
            + table[i + 1, j + 1].T * (x * y)
        )
        inside = (shell >= axis[0]) & (shell <= axis[-1])
        return np.where(inside & (logs > 0.0), 10.0**logs, 0.0)

    def peak(self, altitude_km: float, energy: int) -> float:
        """The largest flux up to that altitude, in 1/(cm² s), and a tenth more for the grid."""
        axes = np.arange(-60.0, 40.0, 1.0), np.arange(-120.0, 60.0, 1.0)
        latitude, longitude = np.meshgrid(*axes)
        height = np.full(latitude.size, min(HIGHEST_KM, altitude_km))
        flux = self.flux(*self.magnetic(latitude.ravel(), longitude.ravel(), height))
        return 1.1 * float(flux[energy].max())


def _cell(position: Array, count: int) -> tuple[NDArray[np.intp], Array]:
    """The lower neighbour on an axis of `count` places, and how far beyond it, held at the ends."""
    position = np.clip(position, 0.0, count - 1.0)
    lower = np.minimum(position.astype(np.intp), count - 2)
    return lower, position - lower


@functools.cache
def load(phase: str) -> FluxTable:
    """The table of one phase; read once a process."""
    with np.load(PATH) as stored:
        file: dict[str, Any] = dict(stored)
    index = PHASES.index(phase)
    cos2_step, br3_step, log_step = file["steps"]
    coarse = np.stack(
        [_summed(file["cos2"][index]) * cos2_step, _summed(file["br3"][index]) * br3_step], axis=-1
    )
    fine = _refined(_refined(coarse, axis=1, wraps=True), axis=0, wraps=False)
    b_axis = file["b_axis"]
    return FluxTable(
        phase=phase,
        energies_mev=file["energies_mev"],
        _altitudes_km=file["altitudes_km"],
        _field=np.ascontiguousarray(fine, dtype=np.float32),
        _l_axis=file["l_axis"],
        _b_first=float(b_axis[0]),
        _b_step=float(b_axis[1] - b_axis[0]),
        _log_flux=np.ascontiguousarray(
            np.moveaxis(_summed(file["log_flux"][index]) * log_step, 0, -1)
        ),
    )


def _summed(differences: NDArray[np.uint16]) -> Array:
    """What the file keeps as differences along the last axis, modulo 2^16."""
    return np.cumsum(differences, axis=-1, dtype=np.uint16).astype(np.float64)


def _refined(values: Array, axis: int, wraps: bool) -> Array:
    """`_REFINE` times as many places along an axis, by cubic interpolation."""
    count = values.shape[axis]
    fine = np.arange(count * _REFINE if wraps else (count - 1) * _REFINE + 1) / _REFINE
    lower = np.floor(fine).astype(np.intp)
    if not wraps:
        lower = np.clip(lower, 1, count - 3)
    part = fine - lower
    weights = (
        -part * (part - 1) * (part - 2) / 6,
        (part + 1) * (part - 1) * (part - 2) / 2,
        -(part + 1) * part * (part - 2) / 2,
        (part + 1) * part * (part - 1) / 6,
    )
    shape = [1] * values.ndim
    shape[axis] = len(fine)
    result = np.zeros(1)
    for offset, weight in zip((-1, 0, 1, 2), weights, strict=True):
        result = result + np.take(values, (lower + offset) % count, axis) * weight.reshape(shape)
    return result
