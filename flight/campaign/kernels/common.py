"""What every kernel's table may set besides its own keys."""

from __future__ import annotations

from dataclasses import dataclass

from flight.campaign.fault_models import MEMORY_MODELS, Shield, Site
from flight.campaign.settings import whole, words


@dataclass(frozen=True, kw_only=True)
class CommonSettings:
    """Left out: what stands at the head of the file."""

    trials: int | None = whole(1, 10_000_000, None)
    no_fault: int | None = whole(0, 10_000_000, None)
    levels: tuple[str, ...] | None = words([each.value for each in Shield], None)
    sites: tuple[str, ...] | None = words([each.value for each in Site], None)
    models: tuple[str, ...] | None = words([each.value for each in MEMORY_MODELS], None)
    inputs: int = whole(1, 1000, 8)
    """Different inputs that trials draw from."""
    upsets: int = whole(1, 64, 1)
    """Faults in each trial that has any."""
