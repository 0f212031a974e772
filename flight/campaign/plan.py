"""A campaign: what its file says, and which trial strikes what."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from flight.campaign import settings
from flight.campaign.fault_models import MEMORY_MODELS, Model, Shield, Site, models_of
from flight.campaign.kernels.kind import Kinds
from flight.campaign.settings import NAMED, quantity, text, whole, words

FORMAT = 1
"""Raised when the same file would give other trials."""


def built_in() -> Kinds:
    """The kernels that are shipped."""
    from flight.campaign.kernels.table import KINDS

    return KINDS


@dataclass(frozen=True)
class CampaignFile:
    """What stands in a campaign file."""

    kernel: dict[str, Any] = field(metadata=NAMED)
    name: str = text()
    seed: int = whole(0, 2**63 - 1)
    trials: int = whole(1, 10_000_000)
    """With a fault, of each kernel at each level."""
    no_fault: int = whole(0, 10_000_000, 0)
    """Without one, of each kernel at each level."""
    levels: tuple[str, ...] = words(
        [each.value for each in Shield], tuple(each.value for each in Shield)
    )
    sites: tuple[str, ...] = words(
        [each.value for each in Site], tuple(each.value for each in Site)
    )
    models: tuple[str, ...] = words(
        [each.value for each in MEMORY_MODELS], tuple(each.value for each in MEMORY_MODELS)
    )
    deadline: float = quantity("s", 0.1, 3600.0, 30.0)
    """A trial that takes longer hangs."""
    timed_runs: int = whole(0, 1000, 15)
    """Runs of each kernel at each level from which time is taken; 0: none."""


@dataclass(frozen=True)
class Block:
    """All trials of one kernel at one level: trial `first` and those behind it."""

    kernel: str
    shield: Shield
    first: int
    faulty: int
    faultless: int
    pairs: tuple[tuple[Site, Model], ...]

    @property
    def last(self) -> int:
        """The first trial behind the block."""
        return self.first + self.faulty + self.faultless


@dataclass(frozen=True)
class Trial:
    """What one trial is; site and model are None in one without a fault."""

    id: int
    kernel: str
    shield: Shield
    site: Site | None
    model: Model | None


@dataclass(frozen=True)
class Campaign:
    """A campaign file with its kernels."""

    file: CampaignFile
    kinds: Kinds

    @cached_property
    def digest(self) -> str:
        """Changes with everything that the trials depend on, and with nothing else."""
        said = dataclasses.asdict(self.file)
        for key in ("name", "timed_runs"):
            said.pop(key)
        for kernel in said["kernel"].values():
            for key in [key for key in kernel if key.startswith("timed_")]:
                kernel.pop(key)
        written = json.dumps([FORMAT, said], sort_keys=True)
        return hashlib.sha256(written.encode()).hexdigest()[:16]

    @cached_property
    def blocks(self) -> tuple[Block, ...]:
        """In order of trials."""
        blocks: list[Block] = []
        for kernel in self.file.kernel:
            for shield in self._shields(kernel):
                first = blocks[-1].last if blocks else 0
                chosen = self.file.kernel[kernel]
                faulty = self.file.trials if chosen.trials is None else chosen.trials
                faultless = self.file.no_fault if chosen.no_fault is None else chosen.no_fault
                pairs = self._pairs(kernel)
                blocks.append(Block(kernel, shield, first, faulty, faultless, pairs))
        return tuple(blocks)

    @property
    def trials(self) -> int:
        """How many there are."""
        return self.blocks[-1].last

    def trial(self, number: int) -> Trial:
        """Trial `number`; raises LookupError when there is none."""
        for block in self.blocks:
            if block.first <= number < block.last:
                place = number - block.first
                site, model = (
                    block.pairs[place % len(block.pairs)] if place < block.faulty else (None, None)
                )
                return Trial(number, block.kernel, block.shield, site, model)
        raise LookupError(f"there is no trial {number}; give 0 … {self.trials - 1}")

    def _shields(self, kernel: str) -> list[Shield]:
        said = self.file.kernel[kernel].levels or self.file.levels
        return [Shield(each) for each in said if Shield(each) in self.kinds[kernel].shields]

    def _pairs(self, kernel: str) -> tuple[tuple[Site, Model], ...]:
        chosen, offered = self.file.kernel[kernel], self.kinds[kernel].sites
        sites = [Site(each) for each in chosen.sites or self.file.sites if Site(each) in offered]
        models = tuple(Model(each) for each in chosen.models or self.file.models)
        return tuple((site, model) for site in sites for model in models_of(site, models))


def load(source: Path, kinds: Kinds | None = None) -> Campaign:
    """Read a campaign file; raises `settings.SettingsError` with the line and what to write."""
    kinds = kinds or built_in()
    tables = {name: kind.settings for name, kind in kinds.items()}
    return _whole(settings.load(CampaignFile, source, tables), kinds, source.name)


def loads(content: str, kinds: Kinds | None = None, name: str = "campaign.toml") -> Campaign:
    """The same from text."""
    kinds = kinds or built_in()
    tables = {name: kind.settings for name, kind in kinds.items()}
    return _whole(settings.loads(CampaignFile, content, name, tables), kinds, name)


def _whole(file: CampaignFile, kinds: Kinds, name: str) -> Campaign:
    """Refuse what leaves a kernel nothing to do."""
    campaign = Campaign(file, kinds)
    for kernel, chosen in file.kernel.items():
        kind = kinds[kernel]
        offered = {
            "sites": [each.value for each in kind.sites],
            "levels": [each.value for each in kind.shields],
        }
        for key, known in offered.items():
            own = getattr(chosen, key)
            wrong = [each for each in own or () if each not in known]
            if wrong or not set(own or getattr(file, key)) & set(known):
                found = f'has no {key} "{wrong[0]}"' if wrong else f"offers none of the {key} here"
                advice = ", ".join(f'"{each}"' for each in known)
                raise settings.SettingsError(
                    f"{name}: [kernel.{kernel}] {found}; write {key} out of {advice}"
                )
    return campaign
