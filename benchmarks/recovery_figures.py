"""How long recoveries take on the emulated boards: python -m benchmarks.recovery_figures."""

from __future__ import annotations

import argparse
import math
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from examples.session import Session
from ground.client.client import Client
from ground.errors import GroundError

EVERYTHING = '[recovery]\nmax_level = "L7"\n'
XIDS = ((31, 1), (62, 3), (143, 4), (79, 5))
"""An XID for each level of the ladder."""
GIVE_UP_S = 120.0


def main() -> None:
    """Measure each figure several times and print its median, 95th percentile and range."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = range(parser.parse_args().rounds)
    with _flying("emulated-h100") as (session, client):
        job = client.submit("matmul", {"size": 96, "repeats": 1_000_000}).result["job"]
        for code, level in XIDS:
            times = [_until_job_runs(session, client, job, code) for _ in rounds]
            _show(f"XID {code} to its job running again (L{level})", times)
    with _flying("emulated-orin") as (session, client):
        times = [_until_other_slot(session, client) for _ in rounds]
        _show("other slot commanded to found well by the next executive (L6)", times)


@contextmanager
def _flying(board: str) -> Iterator[tuple[Session, Client]]:
    with Session(board) as session:
        configuration = session.root / "payload.toml"
        configuration.write_text(EVERYTHING)
        session.start_payload("--config", str(configuration))
        with session.start_ground() as client:
            client.wait_value("board.power_w", lambda watts: watts > 0, timeout_s=30)
            client.send("jobs.set", {"back_off_s": 0.1, "retries": 100})
            client.send("recovery.set", {"most_actions": 1000, "most_heavy": 1000})
            yield session, client


def _until_job_runs(session: Session, client: Client, job: int, code: int) -> float:
    client.send("recovery.reset_strikes", {"device": 255, "code": 0})
    before = _await(lambda: _running(client, job, after=-1), f"job {job} at work")
    command = ["-m", "sim_hw", "inject", "--dir", str(session.run / "board"), "xid", str(code)]
    subprocess.run([sys.executable, *command], check=True, stdout=subprocess.DEVNULL)
    begun = time.monotonic()
    _await(lambda: _running(client, job, after=before), f"job {job} after XID {code}")
    return time.monotonic() - begun


def _running(client: Client, job: int, after: int) -> int | None:
    """Its attempt, if it runs and is a later one than `after`."""
    for row in client.jobs(refresh=True):
        if row["job"] == job and row["phase"] == "RUNNING" and row["attempt"] > after:
            return int(row["attempt"])
    return None


def _until_other_slot(session: Session, client: Client) -> float:
    pid, cursor = session.ready()["executive_pid"], client.cursor()
    client.send("commands.arm", {"apid": 8, "opcode": 3})
    begun = time.monotonic()
    client.send("recovery.act", {"level": 6, "device": 0}, wait="started")
    session.ready(after_pid=pid)
    client.expect_event("recovery.recovered", where={"level": 6}, after=cursor, timeout_s=GIVE_UP_S)
    taken = time.monotonic() - begun
    client.expect_event("recovery.slot_confirmed", after=cursor)
    return taken


def _await(look: Callable[[], int | None], what: str) -> int:
    deadline = time.monotonic() + GIVE_UP_S
    while time.monotonic() < deadline:
        try:
            found = look()
        except GroundError:  # the link is down while everything starts again
            found = None
        if found is not None:
            return found
        time.sleep(0.01)
    raise TimeoutError(f"{what}: not within {GIVE_UP_S:g} s")


def _show(what: str, times: list[float]) -> None:
    ordered = sorted(times)
    middle = ordered[len(ordered) // 2]
    p95 = ordered[math.ceil(0.95 * len(ordered)) - 1]
    span = f"{ordered[0]:.2f} … {ordered[-1]:.2f}, n={len(ordered)}"
    print(f"{what}: {middle:.2f} s, p95 {p95:.2f} s ({span})", flush=True)


if __name__ == "__main__":
    main()
