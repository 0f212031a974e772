"""How stories wait: on a process, a value or an answer, each with a deadline."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from ground.client.client import Client
from ground.errors import GroundError

PATIENCE_S = 90.0
"""The least that a wait is given: it is there to end a story that is stuck, on whatever machine.
What must happen within a time is held to it by tests on a clock of their own, and measured by
`benchmarks/mission_figures.py`."""

T = TypeVar("T")
ENDED = {"DONE", "FAILED", "CANCELLED", "EXPIRED"}


def until(check: Callable[[], T], timeout_s: float, what: str) -> T:
    """What `check` answers, once it is true; raises TimeoutError saying what was awaited."""
    patience_s = max(timeout_s, PATIENCE_S)
    deadline = time.monotonic() + patience_s
    while not (found := check()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {patience_s:g} s")
        select.select([], [], [], 0.02)
    return found


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and is not reaped yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def await_end(pid: int, timeout_s: float = PATIENCE_S) -> None:
    """Wait until a process has ended; raises TimeoutError."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        if not select.select([descriptor], [], [], timeout_s)[0]:
            raise TimeoutError(f"process {pid} lives on after {timeout_s:g} s")
    finally:
        os.close(descriptor)


def kill(pid: int) -> None:
    """kill -9, and wait until it is dead."""
    os.kill(pid, signal.SIGKILL)
    await_end(pid)


def command_again(payload: Client, since: float, timeout_s: float = PATIENCE_S) -> float:
    """Send telecommands until one completes; seconds since `since` (monotonic)."""
    while True:
        try:
            payload.cmd("commands.no_operation", timeout_s=0.5)
        except GroundError:  # no link, no answer, or a restarted ground that knows nobody yet
            if time.monotonic() - since > timeout_s:
                raise
            select.select([], [], [], 0.02)
        else:
            return time.monotonic() - since


def counters(payload: Client) -> dict[str, int]:
    """Counters of the command handler at one moment; asking costs three telecommands."""
    payload.send("commands.hk_disable")  # else a periodic one may come in between, and be older
    cursor = payload.cursor()
    payload.send("commands.hk_now")
    values = payload.values("commands", after=cursor, wait_s=5.0)
    payload.send("commands.hk_enable")
    return {
        name.removeprefix("commands."): int(value.raw)
        for name, value in values.items()
        if not name.endswith(".mode")
    }


ASKING = 3


def rise(payload: Client, before: dict[str, int]) -> dict[str, int]:
    """By how much counters rose since `before`, the asking itself taken off."""
    now = counters(payload)
    own = {"accepted": ASKING, "completed": ASKING}
    return {name: now[name] - before[name] - own.get(name, 0) for name in now}


def job_row(payload: Client, job: int, *, after: int = 0, wait_s: float = 0.0) -> dict[str, Any]:
    """The newest row of a job, or an empty one."""
    rows = payload.jobs(after=after, wait_s=wait_s)
    return next((row for row in rows if row["job"] == job), {})


def await_job(
    payload: Client,
    job: int,
    wanted: Callable[[dict[str, Any]], bool],
    timeout_s: float = PATIENCE_S,
) -> dict[str, Any]:
    """The row of a job, once it is as wanted; raises TimeoutError, or AssertionError when the job
    ended in another way."""
    timeout_s = max(timeout_s, PATIENCE_S)
    deadline = time.monotonic() + timeout_s
    cursor, row = 0, {}
    while time.monotonic() < deadline:
        try:
            row = job_row(payload, job, after=cursor, wait_s=1.0) or row
        except GroundError:
            select.select([], [], [], 0.05)
            continue
        if row and wanted(row):
            return row
        assert row.get("phase") not in ENDED, f"job {job} ended {row['phase']}: {row['reason']}"
        cursor = row.get("cursor", 0)
    raise TimeoutError(f"job {job} was not as wanted within {timeout_s:g} s; it is {row}")


def await_done(payload: Client, job: int, timeout_s: float = 90.0) -> dict[str, Any]:
    """The last row of a job that must end well."""
    return await_job(payload, job, lambda row: row["phase"] == "DONE", timeout_s)


def run(*words: str, timeout_s: float = 120.0, **options: Any) -> subprocess.CompletedProcess[str]:
    """One of our commands as a subprocess, such as run("flight", "board", "list")."""
    return subprocess.run(
        [sys.executable, "-m", *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
        **options,
    )


def inject(run_dir: Path, *words: str) -> None:
    """Do something to the emulated board of a running payload."""
    done = run("sim_hw", "inject", "--dir", str(run_dir / "board"), *words)
    assert done.returncode == 0, done.stderr
