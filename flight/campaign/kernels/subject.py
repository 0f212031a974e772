"""What a campaign strikes: the protocol, and the common part of kernels that compute arrays."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, Protocol

import numpy as np

from flight.campaign import address
from flight.campaign.address import Address, Opportunity
from flight.campaign.bench import Bench, MemoryLost
from flight.campaign.fault_models import Model, Outcome, Shield, Site
from flight.campaign.outcomes import Ended, classify, deviation, found_in, is_same
from flight.campaign.patterns import Array
from flight.campaign.random_draws import RandomDraws
from flight.edac.code import Code
from flight.fault_tolerance.levels import Tally
from flight.jobs.api import JobError

Arrays = Mapping[str, Array]


class Subject(Protocol):
    """Something that faults are injected into."""

    def draw(
        self, trial: tuple[Shield, Site, Model], number: int, count: int, draws: RandomDraws
    ) -> tuple[Address, ...]:
        """Faults that strike while input `number` is worked on."""

    def attempt(self, shield: Shield, number: int, faults: Sequence[Address]) -> Ended:
        """Work on input `number` with these faults, and say what became of it."""

    def timed(self, shield: Shield) -> Callable[[], None] | None:
        """One run without a fault, to be timed; None where time says nothing."""


class ArrayKernel:
    """A kernel of arrays in and arrays out, the same bits each time.

    Subclasses give `make` (an input) and `run`; `scales` where the size of an output is not the
    measure of its error, `timed_input` where time is taken on another input.
    """

    tolerance: float
    code = Code(64)

    def make(self, number: int) -> dict[str, Array]:
        """The arrays of input `number`."""
        raise NotImplementedError

    def run(self, bench: Bench, inputs: dict[str, Array]) -> dict[str, Array]:
        """Compute on the bench; may change the inputs, which are copies."""
        raise NotImplementedError

    def scales(self, inputs: Arrays, reference: Arrays) -> dict[str, Any]:  # noqa: ARG002
        """What the error of each output is measured in: a number, or one for each element."""
        return {name: largest(array) for name, array in reference.items()}

    def timed_input(self) -> Arrays:
        """The input that runs are timed on."""
        return self.make(0)

    def step_of(self, _number: int) -> int:
        """Kernels without a step are at step 0."""
        return 0

    def opportunities(self, shield: Shield, number: int) -> Sequence[Opportunity]:
        """Everything that a fault can strike while input `number` is worked on."""
        offered: Sequence[Opportunity] = self._prepared(shield, number)[1]
        return offered

    def draw(
        self, trial: tuple[Shield, Site, Model], number: int, count: int, draws: RandomDraws
    ) -> tuple[Address, ...]:
        """See `Subject`: each fault equally likely over all octets, or operations, of its site."""
        shield, site, model = trial
        offered, step = self.opportunities(shield, number), self.step_of(number)
        return tuple(address.draw(site, model, offered, draws, step) for _ in range(count))

    def attempt(self, shield: Shield, number: int, faults: Sequence[Address]) -> Ended:
        """See `Subject`. A process that would have died of an exception is a crash."""
        bench = Bench(shield, faults, code=self.code)
        try:
            with warnings.catch_warnings():  # what was struck overflows, and that is no news
                warnings.simplefilter("ignore", RuntimeWarning)
                outputs = self._run_or_roll_back(bench, number)
        except JobError as error:
            outcome = Outcome.ABORT if faults else Outcome.FALSE_POSITIVE
            return Ended(outcome, found=found_in(bench.tally), note=str(error))
        except Exception as error:
            return Ended(Outcome.CRASH, note=f"{type(error).__name__}: {error}")
        return self._judged(number, outputs, bench.tally, bool(faults))

    def timed(self, shield: Shield) -> Callable[[], None] | None:
        """See `Subject`."""
        source = self.timed_input()

        def once() -> None:
            self.run(Bench(shield, code=self.code), _copied(source))

        return once

    def _run_or_roll_back(self, bench: Bench, number: int) -> dict[str, Array]:
        """Memory that is lost sends a job back to its commit; the fault does not come again."""
        try:
            return self.run(bench, _copied(self._input(number)))
        except MemoryLost as error:
            bench.messages.append(f"{error}; went back to the commit")
            return self.run(Bench(bench.shield, code=self.code), _copied(self._input(number)))

    def _judged(self, number: int, outputs: Arrays, tally: Tally, has_fault: bool) -> Ended:
        reference = self._reference(number)
        is_right = is_same(outputs, reference)
        error = 0.0
        if not is_right:
            scales = self.scales(self._input(number), reference)
            error = deviation(outputs, reference, scales)
        outcome = classify(
            has_fault=has_fault,
            is_right=is_right,
            error=error,
            tolerance=self.tolerance,
            tally=tally,
        )
        return Ended(outcome, error, found_in(tally))

    @cache  # noqa: B019 - kernels live as long as their process
    def _input(self, number: int) -> dict[str, Array]:
        return self.make(number)

    def _reference(self, number: int) -> dict[str, Array]:
        reference: dict[str, Array] = self._prepared(Shield.NONE, number)[0]
        return reference

    @cache  # noqa: B019
    def _prepared(self, shield: Shield, number: int) -> tuple[Any, list[Opportunity]]:
        """Outputs of an undisturbed run, and what it offered."""
        notes: list[Opportunity] = []
        outputs = self.run(Bench(shield, notes=notes, code=self.code), _copied(self._input(number)))
        return {name: array.copy() for name, array in outputs.items()}, notes


_INPUTS = 2**63
"""What the numbers of inputs begin with, behind those of all trials."""


def largest(array: Array) -> float:
    """The largest finite magnitude in an array; 1 when there is none but 0."""
    magnitudes = np.abs(array.astype(np.float64))
    return float(np.max(magnitudes, initial=0.0, where=np.isfinite(magnitudes))) or 1.0


def generator(seed: int, number: int) -> np.random.Generator:
    """The random numbers of an input; no trial has its key."""
    key = np.array((seed, _INPUTS + number), np.uint64)
    return np.random.Generator(np.random.Philox(key=key))


def _copied(arrays: Arrays) -> dict[str, Array]:
    return {name: array.copy() for name, array in arrays.items()}
