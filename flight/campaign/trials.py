"""Runs single trials of a campaign: any of them, in any order, with the same outcome each time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from flight.campaign.address import Address
from flight.campaign.kernels.subject import Subject
from flight.campaign.outcomes import Ended
from flight.campaign.plan import Campaign, Trial
from flight.campaign.random_draws import RandomDraws


@dataclass(frozen=True)
class Prepared:
    """A trial, the input it works on, and its faults."""

    trial: Trial
    number: int
    faults: tuple[Address, ...]

    def printed(self) -> dict[str, Any]:
        """Everything that the trial does, as it is shown to people."""
        trial = self.trial
        return {
            "trial": trial.id,
            "kernel": trial.kernel,
            "level": trial.shield.value,
            "input": self.number,
            "faults": [fault.printed() for fault in self.faults],
        }

    def record(self, ended: Ended) -> dict[str, Any]:
        """What is kept of the trial; equal trials give equal records."""
        trial = self.trial
        first = self.faults[0] if self.faults else None
        return {
            "trial": trial.id,
            "kernel": trial.kernel,
            "level": trial.shield.value,
            "site": trial.site.value if trial.site else None,
            "model": trial.model.value if trial.model else None,
            "array": first.array if first else None,
            "bit": first.bit if first else None,
            "outcome": ended.outcome.value,
            "error": float(f"{ended.error:.3g}") if math.isfinite(ended.error) else None,
            "found": list(ended.found),
        }


class Trials:
    """The kernels of a campaign, made when they are first needed."""

    def __init__(self, campaign: Campaign) -> None:
        self.campaign = campaign
        self._subjects: dict[str, Subject] = {}

    def subject(self, kernel: str) -> Subject:
        """The kernel of that name."""
        if kernel not in self._subjects:
            kind, file = self.campaign.kinds[kernel], self.campaign.file
            self._subjects[kernel] = kind.subject(file.kernel[kernel], file.seed)
        return self._subjects[kernel]

    def prepare(self, number: int) -> Prepared:
        """Draw everything of a trial from the campaign's seed and its id."""
        trial = self.campaign.trial(number)
        subject = self.subject(trial.kernel)
        chosen = self.campaign.file.kernel[trial.kernel]
        draws = RandomDraws(self.campaign.file.seed, number)
        source = draws.below(chosen.inputs)
        faults: tuple[Address, ...] = ()
        if trial.site is not None and trial.model is not None:
            where = trial.shield, trial.site, trial.model
            faults = subject.draw(where, source, chosen.upsets, draws)
        return Prepared(trial, source, faults)

    def run(self, prepared: Prepared) -> Ended:
        """Run a trial in this process."""
        trial = prepared.trial
        return self.subject(trial.kernel).attempt(trial.shield, prepared.number, prepared.faults)
