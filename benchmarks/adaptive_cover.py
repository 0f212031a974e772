"""What adaptive protection costs and covers over a day: python -m benchmarks.adaptive_cover

The forecast is made for a 550 km sun-synchronous orbit as ground makes it, read as the payload
reads it, and followed by the payload's own policy second by second; fluence is the world's.
"""

from __future__ import annotations

import json
import sys

import numpy as np
from numpy.typing import NDArray

from flight.components.protection import stimuli as s
from flight.components.protection.forecast import Forecast, parse
from flight.components.protection.lifecycle import ProtectionLifecycle
from flight.fault_tolerance.levels import Level
from flight.framework.time_units import SECOND
from sim_hw.world import forecast, scenario

DMR_COST = 2.05
"""Time of a job under DMR over its time unprotected, as the design has it."""
DAY = 86_400


def cover(name: str = "quiet-day", days: int = 1) -> dict[str, float]:
    """Shares of time, trapped fluence and exposure above the quiet level, and the mean cost."""
    flown = scenario.load(name)
    file = forecast.of_scenario(flown, None, 24.0 * days)
    read = parse(json.dumps(file).encode())
    seconds = np.arange(days * DAY, dtype=np.float64)
    flux = flown.radiation.at(flown.flown.track(flown.start_utc, seconds), seconds)
    raised = _raised(read, len(seconds))
    exposure = flux.trapped + flux.cosmic
    share = float(raised.mean())
    return {
        "time raised": share,
        "trapped protons covered": float(flux.trapped[raised].sum() / flux.trapped.sum()),
        "exposure covered": float(exposure[raised].sum() / exposure.sum()),
        "cost of DMR in that time": 1.0 + share * (DMR_COST - 1.0),
        "cost of DMR always": DMR_COST,
        "passes": float(len(read.passes)),
    }


def _raised(read: Forecast, count: int) -> NDArray[np.bool_]:
    """Whether the payload's policy calls for more than the quiet level, second by second."""
    lifecycle = ProtectionLifecycle()
    begin = read.begin
    lifecycle.step(begin, s.Load(read))
    raised = np.zeros(count, dtype=np.bool_)
    for second in range(count):
        lifecycle.step(begin + second * SECOND, s.Tick())
        raised[second] = lifecycle.level > Level.ABFT
    return raised


def main() -> None:
    """Print the figures of the scenario and the number of days given, by default one quiet day."""
    name, days = (*sys.argv[1:], *("quiet-day", "1")[len(sys.argv) - 1 :])[:2]
    print(f"{name}, {days} day(s) from its start, forecast followed with its lead and trail")
    for what, value in cover(name, int(days)).items():
        is_share = what.split()[-1] in ("raised", "covered")
        print(f"  {what:26}{value:8.2%}" if is_share else f"  {what:26}{value:8.3g}")


if __name__ == "__main__":
    main()
