"""What a campaign needs to know of a kernel that it can strike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from flight.campaign.fault_models import Shield, Site


class Kind(NamedTuple):
    """A kernel that campaigns can strike: its settings, its class, and what it offers."""

    settings: type[Any]
    subject: type[Any]
    """Made with the settings and the campaign's seed; see `kernels.subject.Subject`."""
    sites: tuple[Site, ...]
    shields: tuple[Shield, ...]


Kinds = Mapping[str, Kind]
