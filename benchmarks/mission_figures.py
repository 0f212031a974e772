"""Start-up, recovery and idle figures of a whole payload: python -m benchmarks.mission_figures."""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import time
from collections.abc import Callable

import psutil

from examples.session import Session
from ground.client.client import Client
from ground.errors import GroundError


def main() -> None:
    """Measure each figure several times and print medians with their range."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--idle-s", type=float, default=20.0)
    options = parser.parse_args()
    _show("flight run to ready", "s", [_start_up() for _ in range(options.rounds)])
    with Session() as session:
        session.start_payload()
        with session.start_ground() as client:
            client.ping()
            kill: Callable[[int], None] = lambda pid: os.kill(pid, signal.SIGKILL)  # noqa: E731
            stop: Callable[[int], None] = lambda pid: os.kill(pid, signal.SIGSTOP)  # noqa: E731
            rounds = range(options.rounds)
            killed = [_until_commanding(session, client, kill) for _ in rounds]
            _show("executive killed (-9) to commanding again", "s", killed)
            stopped = [_until_commanding(session, client, stop) for _ in range(2)]
            _show("executive stopped (SIGSTOP) to commanding again", "s", stopped)
            pings = [_ping_ms(client) for _ in range(200)]
            _show("ping through the ground server to its completion", "ms", pings)
        session.end("ground")
        _idle(session, options.idle_s)


def _show(what: str, unit: str, values: list[float]) -> None:
    middle = statistics.median(values)
    print(f"{what}: {middle:.3g} {unit} ({min(values):.3g} … {max(values):.3g}, n={len(values)})")


def _start_up() -> float:
    with Session() as session:
        began = time.monotonic()
        session.start_payload()
        return time.monotonic() - began


def _until_commanding(session: Session, client: Client, hit: Callable[[int], None]) -> float:
    pid = session.ready()["executive_pid"]
    began = time.monotonic()
    hit(pid)
    session.ready(after_pid=pid)
    while True:
        try:
            client.ping(timeout_s=0.5)
            return time.monotonic() - began
        except GroundError:
            time.sleep(0.005)


def _ping_ms(client: Client) -> float:
    result = client.ping()
    return (result.stages[-1][1] - result.queued_ns) / 1e6


def _idle(session: Session, seconds: float) -> None:
    ready = session.ready()
    pids = {"supervisor": ready["pid"], "executive": ready["executive_pid"], **ready["workers"]}
    processes = {name: psutil.Process(pid) for name, pid in pids.items()}
    before = {name: sum(p.cpu_times()[:2]) for name, p in processes.items()}
    time.sleep(seconds)
    for name, process in processes.items():
        share = 100 * (sum(process.cpu_times()[:2]) - before[name]) / seconds
        rss = process.memory_info().rss / 2**20
        print(f"idle {name}: {share:.2f} % of a core, {rss:.1f} MiB resident")


if __name__ == "__main__":
    main()
