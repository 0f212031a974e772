"""Running a vendor's tool: bounded in time, never through a shell, answering with our errors."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from hal.errors import DriverFault, DriverMissing, NotPermitted, TimedOut

Runner = Callable[[Sequence[str]], str]
"""Runs a tool by name with arguments and answers what it printed. Raises BoardError."""

TIMEOUT_S = 10.0
_PLACES = ("usr/sbin", "usr/bin", "sbin", "bin")


def runner(root: Path, timeout_s: float = TIMEOUT_S) -> Runner:
    """A runner of the tools installed below `root`, which is `/` on a board."""

    def run(arguments: Sequence[str]) -> str:
        name, *rest = arguments
        for place in _PLACES:
            if (tool := root / place / name).is_file():
                return _run([str(tool), *rest], name, timeout_s)
        raise DriverMissing(f"{name} is not installed; it comes with JetPack", name)

    return run


def _run(command: list[str], name: str, timeout_s: float) -> str:
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise TimedOut(f"{name} did not end within {timeout_s:g} s", name) from None
    except PermissionError as error:
        raise NotPermitted(f"{name}: {error.strerror}", name) from error
    except OSError as error:
        raise DriverFault(f"{name}: {error.strerror}", name) from error
    text = done.stdout.decode("utf-8", "replace").strip()
    if done.returncode != 0:
        last = text.splitlines()[-1][:120] if text else f"exit status {done.returncode}"
        raise DriverFault(f"{name}: {last}", name)
    return text
