"""The truth log: one line of JSON for each thing that really happened, in order of time.

    {"type": "scenario", …}   first: what was run, with seed, acceleration factor and provenance
    {"type": "state", …}      every log period: place, particles, power, heat
    {"type": "event", …}      shadow, SAA, throttling, the payload shed or too hot
    {"type": "fault", …}      an upset, where and in what flux, its effect, and the bits that flip
    {"type": "summary", …}    last

Times `t` are seconds since the start. The same scenario gives the same octets.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim_hw.model.constants import provenance
from sim_hw.world import flux_table, vehicle
from sim_hw.world.faults import Fault
from sim_hw.world.world import Block, World

VERSION = 1
_THERMAL = 0x8 | 0x20
_HUNTING_S = 300.0


class TruthLog:
    """Turns blocks of a running world into records."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._every = max(1, round(world.scenario.log_period / world.scenario.step))
        self._before: dict[str, int] = {}
        self._faults: Counter[str] = Counter()
        self._effects: Counter[str] = Counter()
        self._sums = {"flux": 0.0, "trapped": 0.0, "eclipsed": 0, "saa": 0, "power": 0.0}
        self._throttled_s = -np.inf
        self._hottest_c = -273.15
        self._lowest_wh = float("inf")
        self._dose_rad = 0.0

    def header(self) -> dict[str, Any]:
        """What was run."""
        world, scenario = self._world, self._world.scenario
        return {
            "type": "scenario",
            "version": VERSION,
            "name": scenario.name,
            "description": scenario.description,
            "start": scenario.start_utc.isoformat(),
            "duration_s": scenario.duration,
            "step_s": scenario.step,
            "orbit_period_s": _rounded(world.orbit.period_s, 2),
            "seed": int(scenario.seed),
            "acceleration": scenario.acceleration,
            "ageing": scenario.ageing,
            "settings_sha256": scenario.digest(),
            "flux_table_sha256": hashlib.sha256(flux_table.PATH.read_bytes()).hexdigest(),
            "board": scenario.board.model,
            "memory": scenario.board.memory,
            "flips": scenario.flips.door,
            "battery_wh": scenario.power.battery,
            "throttle_c": world.device.gpu.throttle_c,
            "solar_activity": _rounded(world.radiation.activity, 4),
            "proton_energy_mev": _rounded(world.radiation.energy_mev, 2),
            "mean_trapped_flux": _rounded(world.radiation.mean_trapped, 4),
            "cross_sections": {
                name: {"value": value, "unit": unit, "provenance": self._source(name) or source}
                for name, (value, unit, source) in provenance(world.device.cross_sections).items()
            },
            "expected_a_day": {
                upset.value: _rounded(rate, 8)
                for upset, rate in world.faults.rates_a_day(world.radiation.mean_trapped, 1).items()
            },
        }

    def _source(self, name: str) -> str:
        given = self._world.scenario.cross_sections
        return given.source if name in given.given else ""

    def records(self, first: int, block: Block) -> list[dict[str, Any]]:
        """What a block says; `first` is the number of its first step."""
        self._sum(block)
        found = [*self._states(first, block), *self._events(block)]
        found += self._happened(block)
        found.sort(key=lambda record: record["t"])  # stable: state, event, fault
        return found

    def _sum(self, block: Block) -> None:
        particles = block.around.particles
        self._sums["flux"] += float(particles.total.sum())
        self._sums["trapped"] += float(particles.trapped_30.sum())
        self._sums["eclipsed"] += int(block.around.track.eclipsed.sum())
        self._sums["saa"] += int(particles.is_saa.sum())
        self._sums["power"] += float(block["power_w"].sum())
        self._hottest_c = max(self._hottest_c, float(block["sensor_c"].max()))
        self._lowest_wh = min(self._lowest_wh, float(block["battery_wh"].min()))
        self._dose_rad = float(block.dose_rad[-1])

    def _states(self, first: int, block: Block) -> Iterator[dict[str, Any]]:
        around, capacity = block.around, self._world.scenario.power.battery
        index = np.arange(-first % self._every, len(block.load), self._every)
        columns = {
            "t": _column(around.elapsed_s, index, 3),
            **_places(block, index),
            "beta": _column(around.track.beta_deg, index, 2),
            "sunlit": (~around.track.eclipsed[index]).tolist(),
            "saa": around.particles.is_saa[index].tolist(),
            "dose_rad": _column(block.dose_rad, index, 6),
            "array_w": _column(around.array_w, index, 1),
            "battery": _column(block["battery_wh"] / capacity, index, 4),
            "load": _column(block.load, index, 3),
            "power_w": _column(block["power_w"], index, 1),
            "clock_mhz": _column(block["clock_mhz"], index, 1),
            "gpu_c": _column(block["sensor_c"], index, 2),
            "plate_c": _column(block["plate_c"], index, 2),
            "sink_c": _column(around.sink_c, index, 2),
            "reasons": block["throttle"][index].astype(np.int64).tolist(),
        }
        for values in zip(*columns.values(), strict=True):
            yield {"type": "state", **dict(zip(columns, values, strict=True))}

    def _events(self, block: Block) -> Iterator[dict[str, Any]]:
        state = block["state"]
        watched: dict[str, tuple[NDArray[np.bool_], str, str]] = {
            "eclipse": (block.around.track.eclipsed, "eclipse begins", "eclipse ends"),
            "saa": (block.around.particles.is_saa, "SAA entered", "SAA left"),
            "throttle": (self._is_throttled(block), "throttling begins", "throttling ends"),
            "shed": (state == vehicle.SHED, "payload shed, battery low", "payload restored"),
            "trip": (state == vehicle.TRIPPED, "payload off, too hot", "payload on again"),
        }
        for name, (values, begins, ends) in watched.items():
            before = self._before.get(name, 0)
            changes = np.flatnonzero(np.diff(values.astype(np.int8), prepend=np.int8(before)))
            self._before[name] = int(values[-1])
            for index in changes:
                yield {
                    "type": "event",
                    "t": _rounded(block.around.elapsed_s[index], 3),
                    "event": begins if values[index] else ends,
                }

    def _is_throttled(self, block: Block) -> NDArray[np.bool_]:
        """Whether heat held the clock down in the last minutes: a governor at its limit hunts."""
        seconds = block.around.elapsed_s
        now = (block["throttle"].astype(np.int64) & _THERMAL) > 0
        last = np.where(now, seconds, -np.inf)
        last[0] = max(last[0], self._throttled_s)
        last = np.maximum.accumulate(last)
        self._throttled_s = float(last[-1])
        return np.asarray(seconds - last <= _HUNTING_S)

    def _happened(self, block: Block) -> Iterator[dict[str, Any]]:
        if not block.faults:
            return
        times = np.array([fault.elapsed_s for fault in block.faults])
        index = np.searchsorted(block.around.elapsed_s, times, side="right") - 1
        places = {**_places(block, index), "load": _column(block.load, index, 3)}
        for fault, *values in zip(block.faults, *places.values(), strict=True):
            yield self._fault(fault, dict(zip(places, values, strict=True)))

    def _fault(self, fault: Fault, place: dict[str, Any]) -> dict[str, Any]:
        self._faults[fault.upset.value] += 1
        self._effects[fault.effect.name] += 1
        record: dict[str, Any] = {
            "type": "fault",
            "t": _rounded(fault.elapsed_s, 6),
            "id": fault.id,
            "upset": fault.upset.value,
            "effect": fault.effect.name,
            "recovery": fault.effect.recovery.value,
            "xids": list(fault.effect.xids),
            "counter": list(fault.effect.counter or ()),
            **place,
            "acceleration": self._world.scenario.acceleration,
            "scripted": fault.scripted,
        }
        if fault.flip is not None:
            record["flip"] = {**fault.flip.message(), "door": self._world.scenario.flips.door}
        return record

    def summary(self) -> dict[str, Any]:
        """What it came to."""
        world, steps = self._world, max(1, self._world.done)
        return {
            "type": "summary",
            "t": _rounded(world.elapsed_s, 3),
            "faults": dict(sorted(self._faults.items())),
            "effects": dict(sorted(self._effects.items())),
            "mean_flux": _rounded(self._sums["flux"] / steps, 4),
            "mean_trapped_30": _rounded(self._sums["trapped"] / steps, 4),
            "eclipse_share": _rounded(self._sums["eclipsed"] / steps, 5),
            "saa_share": _rounded(self._sums["saa"] / steps, 5),
            "mean_power_w": _rounded(self._sums["power"] / steps, 2),
            "hottest_c": _rounded(self._hottest_c, 2),
            "depth_of_discharge": _rounded(1.0 - self._lowest_wh / world.scenario.power.battery, 4),
            "dose_rad": _rounded(self._dose_rad, 6),
        }


def _places(block: Block, index: NDArray[np.intp]) -> dict[str, list[float]]:
    """Where the payload is, and what reaches it there."""
    track, particles = block.around.track, block.around.particles
    return {
        "lat": _column(track.latitude, index, 3),
        "lon": _column(track.longitude, index, 3),
        "alt_km": _column(track.altitude_km, index, 2),
        "l": _column(particles.shell, index, 3),
        "flux": _column(particles.total, index, 3),
        "trapped": _column(particles.trapped, index, 3),
        "storm": _column(particles.storm, index, 3),
    }


def _column(values: NDArray[np.float64], index: NDArray[np.intp], digits: int) -> list[float]:
    return [_rounded(value, digits) for value in values[index].tolist()]


def _rounded(value: float, digits: int) -> float:
    return round(float(value), digits) + 0.0  # no -0.0
