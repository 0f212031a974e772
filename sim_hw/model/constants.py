"""Physical constants that say where they come from."""

from __future__ import annotations

import dataclasses
from typing import Any


def constant(value: float, unit: str, provenance: str) -> Any:
    """A dataclass field with a default, a unit and the source of its number."""
    return dataclasses.field(default=value, metadata={"unit": unit, "provenance": provenance})


def provenance(profile: Any) -> dict[str, tuple[float, str, str]]:
    """Field name -> (value, unit, source) of a profile made of constants."""
    return {
        field.name: (
            getattr(profile, field.name),
            field.metadata.get("unit", ""),
            field.metadata.get("provenance", ""),
        )
        for field in dataclasses.fields(profile)
    }
