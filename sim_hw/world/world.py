"""The world: everything around a payload, stepped on one clock.

    world = World(scenario)
    while not world.is_over:
        step = world.step()                 # or step(load=measured), step(power_w=measured)
        board.sink(step.sink_c); board.suffer(step.faults)

`block` does the same for many steps at once; both give the same numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim_hw.world import power, radiator, vehicle
from sim_hw.world.faults import Fault, Faults
from sim_hw.world.orbit import Track
from sim_hw.world.radiation import PROFILE, Particles
from sim_hw.world.scenario import Scenario

Array = NDArray[np.float64]

_AHEAD = 3600
"""Steps whose surroundings `step` works out at once; they depend on nothing but time."""


@dataclass(frozen=True)
class Surroundings:
    """What time alone decides, for a series of steps."""

    elapsed_s: Array
    track: Track
    particles: Particles
    array_w: Array
    sink_c: Array
    load: Array
    """What the scenario's profile asks for."""

    def one(self, index: int) -> Surroundings:
        """The same, of one step."""
        part = slice(index, index + 1)

        def cut(value: Any) -> Any:
            return value[..., part]

        return Surroundings(
            cut(self.elapsed_s),
            Track(**{name: cut(value) for name, value in vars(self.track).items()}),
            Particles(**{name: cut(value) for name, value in vars(self.particles).items()}),
            cut(self.array_w),
            cut(self.sink_c),
            cut(self.load),
        )


@dataclass(frozen=True)
class Block:
    """A series of steps, and what happened in them."""

    around: Surroundings
    load: Array
    """How busy the payload was: the profile's load, or the one that was measured."""
    output: Array
    """(steps, `vehicle.OUTPUT`)"""
    dose_rad: Array
    """Since the start."""
    faults: list[Fault]

    def __getitem__(self, name: str) -> Array:
        return np.asarray(self.output[:, vehicle.OUTPUT.index(name)])


@dataclass(frozen=True)
class Step:
    """One step, as a board needs it."""

    elapsed_s: float
    """Time at its beginning, since the start of the scenario."""
    sink_c: float
    """What the radiator sees."""
    is_sunlit: bool
    is_powered: bool
    """Whether the bus still feeds the payload."""
    battery: float
    """Share of its capacity."""
    flux: float
    """What upsets, in protons/(cm² s)."""
    load: float
    faults: tuple[Fault, ...]
    block: Block
    """Everything else."""


class World:
    """A scenario that runs."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.device = scenario.device
        self.orbit = scenario.flown
        self.radiation = scenario.radiation
        self.faults = Faults(
            self.device,
            scenario.board.memory,
            int(scenario.seed),
            self.radiation.bound,
            acceleration=scenario.acceleration,
            ageing=scenario.ageing,
            flips_open=scenario.flips.door != "closed",
            script=scenario.script(),
        )
        self.steps = round(scenario.duration / scenario.step)
        self.done = 0
        self._dose_rad = 0.0
        self._constants = vehicle.constants(
            self.device.gpu, self.device.heat, scenario.power, scenario.board.restart_after
        )
        first = self.surroundings(0, 1)
        self._state = vehicle.initial(
            self.device.gpu,
            self.device.heat,
            scenario.power,
            float(first.sink_c[0]),
            float(first.load[0]),
            scenario.power_limit_w,
        )
        self._ahead = first
        self._ahead_from = 0

    @property
    def is_over(self) -> bool:
        """Whether the scenario has run its time."""
        return self.done >= self.steps

    @property
    def elapsed_s(self) -> float:
        """Time since the start."""
        return self.done * self.scenario.step

    def surroundings(self, first: int, count: int) -> Surroundings:
        """What surrounds the payload from step `first` on."""
        scenario = self.scenario
        seconds = np.arange(first, first + count, dtype=np.float64) * scenario.step
        track = self.orbit.track(scenario.start_utc, seconds)
        particles = self.radiation.at(track, seconds)
        return Surroundings(
            seconds,
            track,
            particles,
            power.array_power(scenario.power, track.eclipsed, track.sun_distance_au),
            radiator.sink_c(scenario.radiator, self.device.heat, track),
            scenario.load_at(seconds, ~track.eclipsed, ~particles.is_saa),
        )

    def block(self, count: int, load: Array | None = None, power_w: Array | None = None) -> Block:
        """Run so many steps, or as many as are left, with the scenario's load.

        `load` and `power_w`, a value for each step, are what a real board did instead.
        """
        around = self.surroundings(self.done, min(count, self.steps - self.done))
        return self._run(around, around.load if load is None else load, power_w)

    def step(self, load: float | None = None, power_w: float | None = None) -> Step:
        """Run one step; `load` and `power_w` are what a real board did, if there is one.

        With `power_w`, the battery and the plate take that power, whatever the model thinks.
        """
        place = self.done - self._ahead_from
        if place >= len(self._ahead.elapsed_s):
            self._ahead = self.surroundings(self.done, _AHEAD)
            self._ahead_from, place = self.done, 0
        around = self._ahead.one(place)
        busy = around.load if load is None else np.array([load])
        block = self._run(around, busy, power_w)
        state = int(block["state"][0])
        return Step(
            elapsed_s=float(around.elapsed_s[0]),
            sink_c=float(around.sink_c[0]),
            is_sunlit=not bool(around.track.eclipsed[0]),
            is_powered=state != vehicle.SHED,
            battery=float(block["battery_wh"][0]) / self.scenario.power.battery,
            flux=float(around.particles.total[0]),
            load=float(busy[0]),
            faults=tuple(block.faults),
            block=block,
        )

    def _run(self, around: Surroundings, load: Array, power_w: Array | float | None) -> Block:
        count = len(load)
        output = np.empty((count, len(vehicle.OUTPUT)))
        vehicle.advance(
            self._constants,
            self._state,
            around.array_w,
            around.sink_c,
            load,
            np.full(count, self.scenario.power_limit_w),
            np.full(count, np.nan if power_w is None else power_w),
            self.scenario.step,
            output,
        )
        self.done += count
        worked = np.where(output[:, vehicle.OUTPUT.index("state")] == vehicle.ON, load, 0.0)
        particles = around.particles
        faults = self.faults.until(self.elapsed_s, around.elapsed_s, particles.total, worked)
        rate = (particles.trapped + particles.storm) * PROFILE.rad_per_proton
        dose = np.cumsum(np.concatenate([[self._dose_rad], rate * self.scenario.step]))[1:]
        self._dose_rad = float(dose[-1])
        return Block(around, worked, output, dose, faults)
