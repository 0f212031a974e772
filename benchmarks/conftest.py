"""Figures beside their goals: a missed goal is shown and fails nothing, for machines are noisy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

_NOTED: list[str] = []


@pytest.fixture
def goal(benchmark: Any) -> Callable[..., None]:
    """`goal(what, value, at_most=…)` or `at_least=…`: note a figure beside its goal."""

    def note(
        what: str,
        value: float,
        *,
        at_most: float | None = None,
        at_least: float | None = None,
        unit: str = "",
    ) -> None:
        is_met = (at_most is None or value <= at_most) and (at_least is None or value >= at_least)
        bound = f"≤ {at_most:g}" if at_most is not None else f"≥ {at_least:g}"
        benchmark.extra_info[what] = value
        _NOTED.append(
            f"{'met   ' if is_met else 'MISSED'} {what}: {value:.4g} (goal {bound}) {unit}"
        )

    return note


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """List every figure that has a goal."""
    if _NOTED:
        terminalreporter.section("figures beside their goals")
        for line in _NOTED:
            terminalreporter.line(line.rstrip())
