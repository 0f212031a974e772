"""Sets the date of a flying payload with libfaketime: python -m benchmarks.clock_steps.

The monotonic clock is left alone, as it is when somebody sets the date. After each step nothing may
have happened but one event that tells of it: no action, no event of the board, the job at work.
Needs the Debian package faketime; exits with 1 when anything else happened.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from examples.session import Session
from ground.client.client import Client

STEPS_S = (-1.0, -40.0, -400 * 86_400.0, 3600.0, -3600.0)
CONFIGURATION = '[recovery]\nmax_level = "L5"\n[board]\nallow_control = ["power_limit_w"]\n'
USUAL = ("jobs.", "telemetry.", "files.", "executive.cycles_slipped")
"""Events that a flying job brings, and a computer that others keep busy."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--board", default="emulated-h100")
    parser.add_argument("--settle", type=float, default=45.0, help="seconds to look after a step")
    chosen = parser.parse_args()
    with _flying(chosen.board) as (client, date):
        job = client.submit("matmul", {"size": 256, "repeats": 1_000_000}).result["job"]
        _until_at_work(client, job)
        offset_s, is_well = 0.0, True
        for step_s in STEPS_S:
            cursor, before = client.cursor(), _steps(client, job)
            offset_s += step_s
            date.write_text(f"{offset_s:+.3f}\n")
            time.sleep(chosen.settle)
            events = [e for e in client.events(cursor) if not e.name.startswith(USUAL)]
            told = [e.text for e in events]
            done = _steps(client, job) - before
            names = [event.name for event in events]
            is_as_wanted = names == ["executive.clock_stepped"] and done > 0
            is_well = is_well and is_as_wanted
            verdict = "as wanted" if is_as_wanted else "NOT AS WANTED"
            print(f"{step_s:+.0f} s: {told}, {done} steps of the job: {verdict}")
    return 0 if is_well else 1


@contextmanager
def _flying(board: str) -> Iterator[tuple[Client, Path]]:
    """A payload whose date is in a file, and its client."""
    with Session(board) as session:
        configuration, date = session.root / "payload.toml", session.root / "date"
        configuration.write_text(CONFIGURATION)
        date.write_text("+0\n")
        faked = {
            "LD_PRELOAD": str(_library()),
            "DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_TIMESTAMP_FILE": str(date),
        }
        os.environ.update(faked)
        session.start_payload("--config", str(configuration))
        for name in faked:
            del os.environ[name]
        with session.start_ground() as client:
            client.wait_value("board.power_w", lambda watts: watts > 0, timeout_s=60)
            yield client, date


def _library() -> Path:
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
    if not found:
        raise SystemExit("libfaketime is not installed: apt install faketime")
    return found[0]


def _steps(client: Client, job: int) -> int:
    row = next(row for row in client.jobs(refresh=True) if row["job"] == job)
    return int(row["step"]) if row["phase"] == "RUNNING" else -1


def _until_at_work(client: Client, job: int) -> None:
    deadline = time.monotonic() + 60
    while _steps(client, job) < 1:
        if time.monotonic() > deadline:
            raise SystemExit(f"job {job} does not get to work")
        time.sleep(0.5)


if __name__ == "__main__":
    sys.exit(main())
