"""What the scrubber keeps across restarts: what ground chose, and why it restarted."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from flight.components.scrubber.dictionary import ScrubberSettings
from flight.components.scrubber.regions import is_name
from flight.storage.file_names import file_path

MOST_FILES = 64


@dataclass
class SavedSettings:
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
    def read(cls, saved: dict[str, Any], settings: ScrubberSettings) -> SavedSettings:
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

    def golden_of(self, region: str) -> dict[str, str]:
        """Where a registered region's golden copy is, as the worker takes it; else nothing."""
        file = self.registered.get(region)
        return {"golden": file_path(file)} if file else {}

    def content(self, restarts: tuple[int, ...], restarted: str = "") -> dict[str, object]:
        """For the disk."""
        return {
            "enabled": self.is_enabled,
            "rate": self.rate,
            "registered": dict(self.registered),
            "restarts": list(restarts),
            "restarted": restarted,
        }


def kept_files(saved: Any) -> dict[str, str]:
    """Registered files out of saved state: name → path in the file store; nonsense is left out."""
    if not isinstance(saved, dict):
        return {}
    pairs = ((str(name), path) for name, path in saved.items() if isinstance(path, str))
    return dict([pair for pair in pairs if is_name(pair[0])][:MOST_FILES])


def kept_times(saved: Any) -> tuple[int, ...]:
    """On-board times out of saved state."""
    return tuple(time for time in saved if type(time) is int) if isinstance(saved, list) else ()
