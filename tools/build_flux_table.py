"""Builds `sim_hw/world/flux_table.npz`, and the authority files it is checked against, from AP8.

Needs the package `aep8` (AE8/AP8 of NASA as packed by IRBEM; BSD licence), which the project itself
does not use, with `astropy`, which that wants; in a virtual environment made for the purpose, from
the root of the repository (45 s for the table, 1 min for the answers):

    pip install "aep8==1.1.0" astropy numpy sgp4
    python -m tools.build_flux_table sim_hw/world/flux_table.npz tests/authorities

The table holds two things for each phase of the solar cycle (AP8MIN, AP8MAX):

- where in the magnetic field a place is: McIlwain L and the local field B on a coarse grid of
  latitude, longitude and altitude, scaled so that both vary slowly (r/L, which is cos² of the
  invariant latitude, and B·r³). AP8 has its own field models, of 1960 and 1970: the table keeps
  them, because the fluxes belong to them.
- the integral flux of protons over L and B, as its logarithm; AP8 has none below 1 p/(cm² s).

The authority files hold what AP8 itself answers: `ap8_samples.npz` at places drawn at random, and
`ap8_orbits.json` along the orbits named below, which are those of the table of expected fluxes in
`docs/world.md`.
"""

from __future__ import annotations

import argparse
import datetime as dt
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim_hw.world.geodesy import earth_fixed
from sim_hw.world.orbit import Orbit

Array = NDArray[np.float64]

ENERGIES_MEV = (10.0, 30.0, 50.0, 100.0)
PHASES = ("min", "max")
DIPOLE_GAUSS = 0.311653
"""Equatorial field of AP8's dipole at one Earth radius: B0 = 0.311653 / L³ (NASA TM X-72605)."""
IRBEM_RADIUS_KM = 6378.1
"""Earth radius that `aep8` gives positions in (astropy's R_earth)."""

LATITUDES = np.linspace(-90.0, 90.0, 46)
LONGITUDES = np.arange(-180.0, 180.0, 5.0)
ALTITUDES = np.arange(200.0, 1501.0, 100.0)
L_AXIS = np.concatenate([np.arange(1.10, 1.60, 0.01), np.arange(1.60, 3.601, 0.02)])
B_AXIS = np.arange(0.120, 0.3301, 0.001)

COS2_STEP = 2.5e-5
BR3_STEP = 2.0e-5
LOG_STEP = 5.0e-4
LARGEST_L = 100.0

EPOCH = dt.datetime(2026, 1, 1, tzinfo=dt.timezone.utc)
DAYS, STEP_S = 7, 30.0
ORBITS = (  # name, altitude km, inclination and right ascension of the node in degrees; circular
    ("325 km sun-synchronous", 325.0, 96.8, 240.0),
    ("420 km 51.6 (ISS)", 420.0, 51.6, 180.0),
    ("550 km 53", 550.0, 53.0, 315.0),
    ("550 km sun-synchronous", 550.0, 97.6, 75.0),
    ("650 km sun-synchronous", 650.0, 98.0, 105.0),
    ("705 km sun-synchronous", 705.0, 98.2, 45.0),
)


def magnetic(phase: str, place_km: Array) -> tuple[Array, Array]:
    """L (Earth radii) and local B (gauss) from AP8's own field model of that phase."""
    from aep8._irbem import geomag3, geomag4

    field = {"min": geomag3, "max": geomag4}[phase]
    ratio, shell = field(np.zeros(place_km.shape[1], int), *(place_km / IRBEM_RADIUS_KM))
    return np.asarray(shell), np.asarray(ratio) * DIPOLE_GAUSS / np.asarray(shell) ** 3


def flux(phase: str, energy_mev: float, shell: Array, field_gauss: Array) -> Array:
    """Omnidirectional integral proton flux in 1/(cm² s)."""
    from aep8._irbem import flux3, flux4

    model = {"min": flux3, "max": flux4}[phase]
    with np.errstate(all="ignore"):
        result = model(energy_mev, shell, field_gauss * shell**3 / DIPOLE_GAUSS)
    return np.asarray(np.clip(np.nan_to_num(np.asarray(result)), 0.0, None))


def grid(phase: str) -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
    """r/L and B·r³ over latitude, longitude, altitude, as multiples of their steps."""
    # AP8 has no answer on the axis itself; a little beside it, it has one.
    axes = np.meshgrid(np.clip(LATITUDES, -89.9, 89.9), LONGITUDES, ALTITUDES, indexing="ij")
    place = earth_fixed(*(axis.ravel() for axis in axes))
    radius = np.linalg.norm(place, axis=0) / IRBEM_RADIUS_KM
    shell, field = magnetic(phase, place)
    traced = (shell > 0.8) & (shell < LARGEST_L) & (field > 0.05) & (field < 0.9)
    cos2 = np.where(traced, radius / np.where(traced, shell, 1.0), 0.0)
    scaled = np.where(traced, field * radius**3, np.nan).reshape(axes[0].shape)
    scaled = _filled(scaled).ravel()
    print(phase, "grid:", np.mean(~traced), "of the places near the poles lie on open lines")
    shape = axes[0].shape
    return (
        np.rint(cos2 / COS2_STEP).astype(np.uint16).reshape(shape),
        np.rint(scaled / BR3_STEP).astype(np.uint16).reshape(shape),
    )


def _filled(values: Array) -> Array:
    """Give places that could not be traced the mean of their circle of latitude."""
    circle = np.nanmean(values, axis=1, keepdims=True, where=~np.isnan(values))
    circle[np.isnan(circle)] = np.nanmean(values)
    return np.where(np.isnan(values), circle, values)


def build() -> dict[str, Any]:
    """Everything in the table file."""
    shells, fields = np.meshgrid(L_AXIS, B_AXIS, indexing="ij")
    logs = np.zeros((2, len(ENERGIES_MEV), *shells.shape), np.uint16)
    for (i, phase), (j, energy) in itertools.product(enumerate(PHASES), enumerate(ENERGIES_MEV)):
        values = flux(phase, energy, shells, fields)
        logs[i, j] = np.rint(np.log10(np.maximum(values, 1.0)) / LOG_STEP)
    grids = [grid(phase) for phase in PHASES]
    return {
        "energies_mev": np.array(ENERGIES_MEV),
        "latitudes": LATITUDES,
        "longitudes": LONGITUDES,
        "altitudes_km": ALTITUDES,
        "l_axis": L_AXIS,
        "b_axis": B_AXIS,
        "steps": np.array([COS2_STEP, BR3_STEP, LOG_STEP]),
        # Differences along the last axis take half the room once compressed.
        "cos2": _differences(np.stack([cos2 for cos2, _ in grids])),
        "br3": _differences(np.stack([br3 for _, br3 in grids])),
        "log_flux": _differences(logs),
    }


def _differences(values: NDArray[np.uint16]) -> NDArray[np.uint16]:
    return np.diff(values, axis=-1, prepend=np.uint16(0))


def samples(count: int, seed: int) -> dict[str, Any]:
    """Places with their L, B and fluxes as AP8 itself gives them; half of them near the SAA."""
    draw = np.random.default_rng(seed)
    half = count // 2
    latitude = np.concatenate([np.degrees(np.arcsin(draw.uniform(-1, 1, half))),
                               draw.uniform(-50.0, 5.0, count - half)])  # fmt: skip
    longitude = np.concatenate([draw.uniform(-180, 180, half), draw.uniform(-90, 30, count - half)])
    altitude = draw.uniform(300.0, 1200.0, count)
    place = earth_fixed(latitude, longitude, altitude)
    answer: dict[str, Any] = {"latitude": latitude, "longitude": longitude, "altitude_km": altitude}
    for phase in PHASES:
        shell, field = magnetic(phase, place)
        answer[f"l_{phase}"], answer[f"b_{phase}"] = shell, field
        answer[f"flux_{phase}"] = np.stack([flux(phase, e, shell, field) for e in ENERGIES_MEV])
    return {name: values.astype(np.float32) for name, values in answer.items()}


def orbits() -> dict[str, Any]:
    """Mean fluxes, and passes through the SAA, that AP8MIN itself gives along the named orbits."""
    seconds = np.arange(0.0, DAYS * 86400.0, STEP_S)
    rows = []
    for name, altitude_km, inclination, node in ORBITS:
        orbit = Orbit.from_elements(EPOCH, altitude_km, inclination, node)
        track = orbit.track(EPOCH, seconds)
        place = earth_fixed(track.latitude, track.longitude, track.altitude_km)
        shell, field = magnetic("min", place)
        fluxes = [flux("min", energy, shell, field) for energy in ENERGIES_MEV]
        rows.append(
            {
                "name": name,
                "altitude_km": altitude_km,
                "inclination_deg": inclination,
                "node_deg": node,
                "mean_flux": [round(float(values.mean()), 4) for values in fluxes],
                **passes(fluxes[1]),
            }
        )
        print(rows[-1])
    return {
        "source": "AP8MIN by aep8 1.1.0; made by tools/build_flux_table.py",
        "epoch": EPOCH.isoformat(),
        "days": DAYS,
        "step_s": STEP_S,
        "energies_mev": ENERGIES_MEV,
        "orbits": rows,
    }


def passes(flux_30: Array) -> dict[str, float]:
    """Passes through the SAA: where the flux above 30 MeV is more than 10 p/(cm² s)."""
    inside = np.concatenate([[False], flux_30 > 10.0, [False]])
    edges = np.flatnonzero(inside[1:] != inside[:-1])
    minutes = (edges[1::2] - edges[::2]) * STEP_S / 60.0
    return {
        "passes_a_day": round(len(minutes) / DAYS, 3),
        "mean_pass_min": round(float(minutes.mean()), 3),
        "longest_pass_min": round(float(minutes.max()), 2),
        "peak_flux": round(float(flux_30.max()), 1),
    }


def main() -> None:
    """Write the table, then the authority files."""
    parser = argparse.ArgumentParser(description="Build the flux table of the world from AP8.")
    parser.add_argument("table", type=Path)
    parser.add_argument("authorities", type=Path)
    parser.add_argument("--answers-only", action="store_true", help="leave the table as it is")
    arguments = parser.parse_args()
    if not arguments.answers_only:
        np.savez_compressed(arguments.table, **build())
    answers = arguments.authorities / "ap8_samples.npz"
    np.savez_compressed(answers, **samples(1500, seed=8))
    text = json.dumps(orbits(), indent=1, ensure_ascii=False)
    (arguments.authorities / "ap8_orbits.json").write_text(text + "\n")
    for path in (arguments.table, answers):
        print(f"{path}: {path.stat().st_size:,} octets")


if __name__ == "__main__":
    main()
