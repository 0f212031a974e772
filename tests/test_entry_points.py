"""What a Python cannot run as it was started is refused by every command, with one sentence."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


def started(module: str, *words: str, **environment: str) -> tuple[int, str, str]:
    """A command's exit status and what it said."""
    ended = subprocess.run(
        [sys.executable, "-B", "-m", module, *words],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )
    return ended.returncode, ended.stdout, ended.stderr


COMMANDS = [
    ("flight", "dictionary"),
    ("flight", "run"),
    ("flight", "edac", "verify", "none"),
    ("ground", "status"),
    ("sim_hw", "scenarios"),
    ("hal", "compare", "a", "b"),
    ("flight.supervisor", "plan.json"),
]


@pytest.mark.verifies("VA-SEC-06")
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_python_without_docstrings_is_refused(command: tuple[str, ...]) -> None:
    status, said, complained = started(*command, PYTHONOPTIMIZE="2")
    assert status != 0
    assert said == ""
    assert "Python runs with -OO" in complained
    assert len(complained.splitlines()) == 1


@pytest.mark.parametrize("threads", ["0", "-1", "1_0", "many"])
def test_no_threads_for_numba_are_refused(threads: str) -> None:
    status, _, complained = started("flight", "jobs", "list", NUMBA_NUM_THREADS=threads)
    assert status == 1
    assert complained == (
        f"Error: NUMBA_NUM_THREADS is {threads!r}; give a whole number from 1, or leave it away\n"
    )


def test_a_command_that_compiles_nothing_does_not_mind() -> None:
    _, _, complained = started("ground", "status", NUMBA_NUM_THREADS="0", VANALLEN_GROUND="")
    assert "which ground server?" in complained
