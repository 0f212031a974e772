"""Quantities as people write them: a number and its unit, such as "550 km"."""

from __future__ import annotations

import math
import re

UNITS: dict[str, dict[str, float]] = {
    "km": {"km": 1.0, "m": 1e-3},
    "mm": {"mm": 1.0, "cm": 10.0},
    "s": {"s": 1.0, "ms": 1e-3, "min": 60.0, "h": 3600.0, "day": 86400.0, "days": 86400.0},
    "deg": {"deg": 1.0, "°": 1.0, "rad": math.degrees(1.0)},
    "°C": {"°C": 1.0, "degC": 1.0},
    "W": {"W": 1.0, "kW": 1e3, "mW": 1e-3},
    "Wh": {"Wh": 1.0, "kWh": 1e3},
    "m2": {"m2": 1.0, "m²": 1.0},
    "cm2": {"cm2": 1.0, "cm²": 1.0},
}
"""Unit a quantity is kept in -> the units it may be written in, and their size in it."""

_WRITTEN = re.compile(r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*(\S*)\s*", re.ASCII)


class QuantityError(ValueError):
    """What was written is no quantity of that kind; says what to write."""


def parse(written: object, unit: str, example: str) -> float:
    """The value of `written` in `unit`; a unit of "" is a bare number."""
    if not unit:
        if isinstance(written, bool) or not isinstance(written, (int, float)):
            raise QuantityError(f"is a bare number; write {example}")
        return float(written)
    units = UNITS[unit]
    if not isinstance(written, str):
        raise QuantityError(f'has a unit; write "{example}"')
    match = _WRITTEN.fullmatch(written)
    if match is None:
        raise QuantityError(f'is not a number and a unit; write "{example}"')
    number, name = match.groups()
    if name not in units:
        known = ", ".join(units)
        found = f'the unit "{name}" is not one of {known}' if name else f"it has no unit ({known})"
        raise QuantityError(f'{found}; write "{example}"')
    return float(number) * units[name]


def spell(value: float, unit: str) -> str:
    """The quantity as one would write it."""
    return f"{value:g} {unit}" if unit else f"{value:g}"
