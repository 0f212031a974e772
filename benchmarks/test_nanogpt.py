"""How fast the nanogpt job trains: the step alone, and beside the same model in PyTorch."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.nanogpt_step import TrainingStep
from flight.jobs.nanogpt import Configuration

ROOT = Path(__file__).parents[1]
GOAL = 0.9
"""Our speed over PyTorch's on the same cores: at least this."""


@pytest.fixture
def step() -> Iterator[TrainingStep]:
    with TrainingStep(Configuration.CPU, rate=1e-3) as made:
        made(0)
        yield made


def test_a_training_step_of_the_cpu_configuration(benchmark: Any, step: TrainingStep) -> None:
    benchmark.extra_info["tokens"] = step.tokens
    benchmark.pedantic(step, args=(1,), rounds=50, warmup_rounds=5)


def reference_python() -> str | None:
    """A Python that has PyTorch: the one that is named, or this one."""
    named = os.environ.get("VANALLEN_REFERENCE_PYTHON")
    return named or (sys.executable if importlib.util.find_spec("torch") else None)


@pytest.mark.timeout(300)
def test_training_is_about_as_fast_as_pytorch(benchmark: Any, goal: Any, tmp_path: Path) -> None:
    python = reference_python()
    if python is None:
        pytest.skip("no PyTorch here; name a Python that has it in VANALLEN_REFERENCE_PYTHON")
    figures = tmp_path / "figures.json"
    command = [python, "-m", "benchmarks.nanogpt_against_torch", "--json", str(figures)]

    def compare() -> dict[str, Any]:
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        found: dict[str, Any] = json.loads(figures.read_text())
        return found

    found = benchmark.pedantic(compare, rounds=1)
    benchmark.extra_info.update(found)
    losses = found["loss_at_the_end"]
    assert losses["vanallen"] == pytest.approx(losses["torch"], abs=1e-2)
    goal("nanogpt speed over PyTorch", found["speed_over_torch"], at_least=GOAL)
