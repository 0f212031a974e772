"""When something happens to the payload: Poisson processes whose rates follow the particles.

Each kind of upset has a random stream of its own, seeded by the scenario's seed and the kind's
number. Candidates come at a constant rate that is never too low, and each is kept with the
probability (rate now) / (that rate): thinning (Lewis and Shedler 1979). What is drawn does not
depend on how long the steps are that the world is advanced by.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from icd.flips import FlipDraw
from sim_hw.world import flips
from sim_hw.world.devices import CrossSections, Device, HardFailures, Upset
from sim_hw.world.effects import EFFECTS, Effect, Outcomes, outcome

Array = NDArray[np.float64]

_CHUNK = 1024
_NUMBERS = {upset: number for number, upset in enumerate(Upset)}


@dataclass(frozen=True)
class Fault:
    """One thing that happened."""

    id: int
    elapsed_s: float
    upset: Upset
    effect: Effect
    flip: FlipDraw | None = None
    scripted: bool = False
    """Whether the scenario said so; if not, it was drawn."""


@dataclass(frozen=True)
class Scripted:
    """Something that a scenario makes happen."""

    elapsed_s: float
    upset: Upset
    xid: int | None = None
    """The outcome that reports this code; if not given, the most frequent one."""


class PoissonStream:
    """Times of one kind of event, thinned from a rate that is never exceeded."""

    def __init__(self, seed: tuple[int, ...], bound_hz: float) -> None:
        self._random = np.random.default_rng(seed)
        self._bound_hz = bound_hz
        self._times: Array = np.zeros(0)
        self._marks: Array = np.zeros(0)
        self._last_s = 0.0

    def until(self, end_s: float, times_s: Array, rates_hz: Array) -> Array:
        """Event times before `end_s`; the rate from `times_s[i]` on is `rates_hz[i]`."""
        if self._bound_hz <= 0.0:
            return np.zeros(0)
        if self._last_s < end_s:
            self._draw(end_s)
        count = int(np.searchsorted(self._times, end_s))
        times, marks = self._times[:count], self._marks[:count]
        self._times, self._marks = self._times[count:], self._marks[count:]
        if not count:
            return times
        rates = rates_hz[np.searchsorted(times_s, times, side="right") - 1]
        if rates.max() > self._bound_hz * (1.0 + 1e-9):
            raise RuntimeError("a rate exceeds the bound that faults are thinned from")
        return times[marks * self._bound_hz < rates]

    def _draw(self, end_s: float) -> None:
        """Candidates beyond `end_s`; always as many at once, so that steps do not matter."""
        times, marks = [self._times], [self._marks]
        while self._last_s < end_s:
            gaps = self._random.standard_exponential(_CHUNK) / self._bound_hz
            times.append(self._last_s + np.cumsum(gaps))
            marks.append(self._random.random(_CHUNK))
            self._last_s = float(times[-1][-1])
        self._times, self._marks = np.concatenate(times), np.concatenate(marks)


class Faults:
    """Everything that happens to one device."""

    def __init__(
        self,
        device: Device,
        memory: str,
        seed: int,
        bound_flux: float,
        *,
        acceleration: float = 1.0,
        ageing: float = 1.0,
        flips_open: bool = False,
        script: tuple[Scripted, ...] = (),
    ) -> None:
        """`bound_flux` is a flux that is never exceeded, in 1/(cm² s).

        `acceleration` multiplies what particles do, `ageing` what fails without them.
        """
        self._outcomes = EFFECTS[device.name, memory]
        self._flips_open = flips_open
        self._script = sorted(script, key=lambda one: one.elapsed_s)
        self._count = 0
        self._sigma = {
            upset: acceleration * sigma for upset, sigma in sections(device.cross_sections).items()
        }
        self._constant = {upset: ageing * rate for upset, rate in failures(device.failures).items()}
        bounds = {upset: sigma * bound_flux for upset, sigma in self._sigma.items()}
        bounds.update(self._constant)
        self._streams = {
            upset: PoissonStream((seed, _NUMBERS[upset], 0), bound)
            for upset, bound in bounds.items()
        }
        self._details = {
            upset: np.random.default_rng((seed, _NUMBERS[upset], 1)) for upset in bounds
        }

    def until(self, end_s: float, times_s: Array, flux: Array, load: Array) -> list[Fault]:
        """What happens before `end_s`, in order of time; flux and load hold from `times_s` on."""
        drawn: list[tuple[float, Upset, Scripted | None]] = []
        for upset, stream in self._streams.items():
            rates = self._rates(upset, flux, load)
            drawn += [(float(time), upset, None) for time in stream.until(end_s, times_s, rates)]
        while self._script and self._script[0].elapsed_s < end_s:
            scripted = self._script.pop(0)
            drawn.append((scripted.elapsed_s, scripted.upset, scripted))
        drawn.sort(key=lambda one: (one[0], _NUMBERS[one[1]]))
        return [self._fault(*one) for one in drawn]

    def rates_a_day(self, flux: float, load: float) -> dict[Upset, float]:
        """Expected events a day at a mean flux and load."""
        one = np.ones(1)
        return {
            upset: 86400.0 * float(self._rates(upset, flux * one, load * one)[0])
            for upset in self._streams
        }

    def _rates(self, upset: Upset, flux: Array, load: Array) -> Array:
        if upset in self._constant:
            return np.full(flux.shape, self._constant[upset])
        rates = self._sigma[upset] * flux
        return rates * load if upset is Upset.LOGIC else rates

    def _fault(self, time: float, upset: Upset, scripted: Scripted | None) -> Fault:
        outcomes, details = self._outcomes[upset], self._details[upset]
        if scripted is None:
            effect = outcome(outcomes, float(details.random()))
        else:
            effect = _asked_for(outcomes, scripted.xid)
        self._count += 1
        flip = None
        if effect.flips is not None and self._flips_open:
            flip = flips.draw(self._count, effect.flips, details)
        return Fault(self._count, time, upset, effect, flip, scripted is not None)


def _asked_for(outcomes: Outcomes, xid: int | None) -> Effect:
    if xid is None:
        return max(outcomes, key=lambda one: one[0])[1]
    for _, effect in outcomes:
        if xid in effect.xids:
            return effect
    return Effect(f"XID {xid}", xids=(xid,))


def sections(sections: CrossSections) -> dict[Upset, float]:
    """Cross-section of each upset, in cm²."""
    return _by_name(sections)


def failures(failures: HardFailures) -> dict[Upset, float]:
    """Rate of each failure that no particle causes, in 1/s."""
    return {upset: rate / 3600.0 for upset, rate in _by_name(failures).items()}


def _by_name(profile: Any) -> dict[Upset, float]:
    return {
        upset: getattr(profile, upset.value) for upset in Upset if hasattr(profile, upset.value)
    }
