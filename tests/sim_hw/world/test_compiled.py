"""Compiled functions of the world are kept where they can be, and work where they cannot."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
from sim_hw.world import vehicle
constants = vehicle.Constants(*[1.0] * len(vehicle.Constants._fields))
print(vehicle.gpu_power(constants, 0.5, 1.0, 40.0))
"""


@pytest.mark.parametrize("folder", ["kept", "file/below"])
def test_a_function_runs_whether_or_not_it_can_be_kept(tmp_path: Path, folder: str) -> None:
    (tmp_path / "file").touch()
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / folder)},
    )
    assert ended.returncode == 0, ended.stderr
    assert float(ended.stdout.splitlines()[-1]) > 0.0
    assert bool(list(tmp_path.rglob("*.nbi"))) == (folder == "kept")
