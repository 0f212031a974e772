"""The radiation forecast that ground uploads: the passes of an orbit through the South Atlantic
Anomaly, by the flux table. Storms are in no forecast: what they do is measured on board."""

from __future__ import annotations

import datetime as dt
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from sgp4.conveniences import sat_epoch_datetime

from sim_hw.world.orbit import Orbit
from sim_hw.world.radiation import SAA_FLUX, Radiation
from sim_hw.world.scenario import Scenario

FORMAT = 1
TAI_MINUS_UTC_S = 37
LONGEST_H = 336
STEP_S = 10.0
"""Of the track; a pass begins and ends on a step outside of it."""
_BLOCK = 8640


class ForecastError(ValueError):
    """What cannot be forecast, and what to write instead."""


def of_scenario(what: Scenario, begin: dt.datetime | None, hours: float) -> dict[str, Any]:
    """The forecast of a scenario's orbit, by default from its start on."""
    name = what.name
    return make(what.flown, what.radiation, begin or what.start_utc, hours, f"AP8, {name}")


def of_orbit(orbit: Orbit, begin: dt.datetime | None, hours: float) -> dict[str, Any]:
    """The forecast of published elements, by default from their epoch on."""
    begin = begin or sat_epoch_datetime(orbit.satellite).replace(microsecond=0)
    return make(orbit, Radiation(orbit, begin), begin, hours, f"AP8, {orbit.source}")


def make(
    orbit: Orbit, radiation: Radiation, begin: dt.datetime, hours: float, source: str
) -> dict[str, Any]:
    """The passes of so many hours, as `docs/adaptive-protection.md` describes the file."""
    if not 0.0 < hours <= LONGEST_H:
        raise ForecastError(f"{hours:g} hours; give more than 0 and at most {LONGEST_H}")
    count = math.ceil(hours * 3600.0 / STEP_S) + 1
    seconds = np.arange(count) * STEP_S
    flux = np.concatenate(
        [
            radiation.at(orbit.track(begin, part), part).trapped_30
            for part in np.array_split(seconds, -(-count // _BLOCK))
        ]
    )
    inside = np.concatenate([[False], flux > SAA_FLUX, [False]])
    edges = np.flatnonzero(inside[1:] != inside[:-1])
    passes = [
        {
            "begin": _text(begin, seconds[max(0, first - 1)]),
            "end": _text(begin, seconds[min(last, count - 1)]),
            "flux": round(float(flux[first:last].max()), 1),
            "radiation": "raised",
        }
        for first, last in zip(edges[::2], edges[1::2], strict=True)
    ]
    return {
        "format": FORMAT,
        "source": source,
        "tai_minus_utc_s": TAI_MINUS_UTC_S,
        "begin": _text(begin, 0.0),
        "end": _text(begin, float(seconds[-1])),
        "passes": passes,
    }


def write(forecast: dict[str, Any], out: Path) -> None:
    """Write the file, a line a pass."""
    rows = ",\n".join("  " + json.dumps(one) for one in forecast["passes"])
    head = {name: value for name, value in forecast.items() if name != "passes"}
    text = json.dumps(head, indent=1)[:-2] + ',\n "passes": [\n' + rows + "\n ]\n}\n"
    out.write_text(text)


def instant(written: str) -> dt.datetime:
    """A time in UTC; raises ForecastError."""
    try:
        when = dt.datetime.fromisoformat(written.replace("Z", "+00:00"))
    except ValueError:
        when = None
    if when is None or when.tzinfo is None:
        raise ForecastError(f'"{written}" is no time with a zone; write 2026-03-20T04:11:00Z')
    return when.astimezone(dt.timezone.utc).replace(microsecond=0)


def _text(begin: dt.datetime, seconds: float) -> str:
    return (begin + dt.timedelta(seconds=float(seconds))).strftime("%Y-%m-%dT%H:%M:%SZ")
