"""Kernels made up for tests: small, fast, and as wrong as they are told to be."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from flight.campaign.address import Address
from flight.campaign.bench import Bench
from flight.campaign.fault_models import Model, Outcome, Shield, Site
from flight.campaign.kernels.common import CommonSettings
from flight.campaign.kernels.kind import Kind, Kinds
from flight.campaign.kernels.subject import ArrayKernel, generator
from flight.campaign.outcomes import Ended
from flight.campaign.patterns import Array, Pattern
from flight.campaign.random_draws import RandomDraws
from flight.campaign.settings import choice, share
from flight.jobs.api import ResultError

HABITS = ("good", "unused", "fragile", "strict", "nervous", "sums")


@dataclass(frozen=True)
class SumSettings(CommonSettings):
    habit: str = choice(HABITS, "good")
    tolerance: float = share(0.0, 1.0, 0.01)


class Doubler(ArrayKernel):
    """y = 2 x over 40 floats, through memory, one call, and memory again."""

    def __init__(self, settings: SumSettings, seed: int) -> None:
        self.settings = settings
        self.tolerance = settings.tolerance
        self._seed = seed

    def make(self, number: int) -> dict[str, Array]:
        return {"x": generator(self._seed, number).random(40).astype(np.float32) + 1}

    def run(self, bench: Bench, inputs: dict[str, Array]) -> dict[str, Array]:
        x = inputs["x"]
        habit = self.settings.habit
        if habit == "unused":
            bench.rest(spare=np.zeros(40, np.float32))
        else:
            bench.rest(x=x)
        if habit == "nervous":
            bench.guard.count(wrong=1, recomputed=1)
        outside = bool(np.any(~np.isfinite(x)) or np.any(np.abs(x) > 2) or np.any(x < 1))
        if habit == "fragile" and outside:
            raise IndexError("a number out of the table")
        if habit == "strict" and outside:
            raise ResultError("a number that cannot be")
        y = np.empty_like(x)
        bench.call(_double, {"x": x}, {"y": y})
        return {"y": y}


def _double(x: Array, y: Array) -> None:
    np.add(x, x, out=y)


class Told:
    """Ends as the number of its fault tells: crashes and hangs for real."""

    def __init__(self, settings: Any, seed: int) -> None:
        del settings, seed

    def draw(
        self, trial: tuple[Shield, Site, Model], number: int, count: int, draws: RandomDraws
    ) -> tuple[Address, ...]:
        del number, count
        end = draws.below(10)
        return (Address(trial[1], trial[2], 0, end, "made up", 0, Pattern(0, b"\1")),)

    def attempt(self, shield: Shield, number: int, faults: Sequence[Address]) -> Ended:
        del shield, number
        if faults and faults[0].call == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        if faults and faults[0].call == 1:
            threading.Event().wait()
        return Ended(Outcome.MASKED if faults else Outcome.CLEAN)

    def timed(self, _shield: Shield) -> None:
        return None


_ALL = (Shield.NONE, Shield.EDAC, Shield.ABFT, Shield.DMR, Shield.TMR)
KINDS: Kinds = {
    "doubler": Kind(SumSettings, Doubler, (Site.HOST, Site.ACCUMULATOR, Site.LOAD), _ALL),
    "told": Kind(CommonSettings, Told, (Site.HOST,), (Shield.NONE,)),
}
