"""What the scrubber keeps across restarts: what ground chose, and why it restarted."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from flight.scrubbing.declared import ScrubberSettings
from flight.scrubbing.picture import kept_files, kept_times


@dataclass
class Choices:
    """Saved after each change; what rotted is left out when it is read."""

    is_enabled: bool
    rate: float
    """MiB/s."""
    registered: dict[str, str] = field(default_factory=dict)
    """Region → path of its golden copy in the file store."""
    restarts: tuple[int, ...] = ()
    """On-board times of restarts for program memory."""
    restarted: str = ""
    """Why the last executive ended; empty when it was not for program memory."""

    @classmethod
    def read(cls, saved: dict[str, Any], settings: ScrubberSettings) -> Choices:
        """What was saved, and what the configuration says where nothing was."""
        enabled, rate = saved.get("enabled"), saved.get("rate")
        why = saved.get("restarted")
        return cls(
            enabled if isinstance(enabled, bool) else settings.is_enabled,
            float(rate) if isinstance(rate, int | float) and rate > 0 else settings.rate_mib_s,
            kept_files(saved.get("registered")),
            kept_times(saved.get("restarts")),
            why if isinstance(why, str) else "",
        )

    def content(self, restarts: tuple[int, ...], restarted: str = "") -> dict[str, object]:
        """For the disk."""
        return {
            "enabled": self.is_enabled,
            "rate": self.rate,
            "registered": dict(self.registered),
            "restarts": list(restarts),
            "restarted": restarted,
        }
