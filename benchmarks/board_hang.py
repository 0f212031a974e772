"""What a hung driver costs: how soon its board server is replaced, and how the executive runs on.

    python benchmarks/board_hang.py [--rounds 5]

Flies a payload on the emulated H100, blocks every NVML call (`sim_hw inject hang`), and waits
until the board server was asked to be replaced and another one is there. The executive is timed
from inside: the time from one poll to the next, that is, everything it does between two waits.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROUNDS = 5
DETECTED_S, LOOP_P99_MS = 2.0, 10.0
_SETTLE_S = 4.0
_AFTER_S = 3.0


def executive(out: str, arguments: list[str]) -> int:
    """The executive, with a poller that keeps the time; SIGTERM ends it and `out` is written."""
    import zmq

    from flight.executive import process as executive_process

    turns: list[tuple[int, int]] = []
    asked: list[tuple[int, str]] = []

    class TimedPoller(zmq.Poller):
        left_ns = 0

        def poll(self, timeout: int | None = None) -> list[tuple[object, int]]:
            now = time.monotonic_ns()
            if self.left_ns:
                turns.append((now, now - self.left_ns))
            try:
                return super().poll(timeout)
            finally:
                self.left_ns = time.monotonic_ns()

    replace = executive_process.SupervisorLink.replace

    def timed(link: executive_process.SupervisorLink, worker: str) -> None:
        asked.append((time.monotonic_ns(), worker))
        replace(link, worker)

    zmq.Poller = TimedPoller  # type: ignore[misc]
    executive_process.SupervisorLink.replace = timed  # type: ignore[method-assign]
    status = executive_process.main(arguments)
    Path(out).write_text(json.dumps({"turns": turns, "asked": asked}))
    return status


def plan(root: Path) -> Path:
    """The plan of `flight run`, with the timed executive in place of the plain one."""
    from flight.deployment.configuration import Configuration
    from flight.deployment.launch import prepare

    path = prepare(Configuration(), root / "s", root / "r")
    content = json.loads(path.read_text())
    argv = content["executive"]["argv"]
    ours = [sys.executable, str(Path(__file__).absolute()), "--executive", str(root / "times")]
    content["executive"]["argv"] = [*ours, *argv[argv.index("flight.executive.process") + 1 :]]
    content["executive"]["env"]["PYTHONPATH"] = str(Path(__file__).absolute().parent.parent)
    path.write_text(json.dumps(content))
    return path


def board_server(root: Path, other_than: int = 0) -> int:
    """Process id of the board server, once it is another one."""
    deadline = time.monotonic() + 60.0
    while time.monotonic() < deadline:
        try:
            pid = int(json.loads((root / "r" / "ready.json").read_text())["workers"]["board"])
            if pid != other_than:
                return pid
        except (OSError, KeyError, ValueError):
            pass
        rest(0.01)
    raise TimeoutError(f"no board server other than {other_than}; see {root}/r/*.log")


def rest(seconds: float) -> None:
    select.select([], [], [], seconds)


def hang_once(root: Path) -> tuple[int, int, int]:
    """Monotonic ns: when every call began to block, when another server was there, and the end."""
    from sim_hw.nvml.inject import World

    before = board_server(root)
    with World(root / "r" / "board") as world:
        start = time.monotonic_ns()
        world.hang(True)
        board_server(root, other_than=before)
        replaced = time.monotonic_ns()
        world.hang(False)
    rest(_AFTER_S)
    return start, replaced, time.monotonic_ns()


def percentile(values: list[int], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] / 1e6


Figures = dict[str, list[list[int]]]


def fly() -> tuple[tuple[int, int, int], Figures]:
    """One payload, one hang: each finds the watchdog without a memory of the one before."""
    root = Path(tempfile.mkdtemp(prefix="va-"))
    supervisor = subprocess.Popen(
        [sys.executable, "-m", "flight.supervisor", str(plan(root))],
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        board_server(root)
        rest(_SETTLE_S)
        hang = hang_once(root)
        supervisor.send_signal(signal.SIGTERM)
        supervisor.wait(30)
        return hang, json.loads((root / "times").read_text())
    finally:
        if supervisor.poll() is None:
            os.killpg(supervisor.pid, signal.SIGKILL)
        shutil.rmtree(root, ignore_errors=True)


def main(rounds: int) -> int:
    """Print the figures; 1 when one of them is beyond what the mission allows."""
    detected: list[float] = []
    meanwhile: list[int] = []
    for _ in range(rounds):
        (start, replaced, end), times = fly()
        asked = [at for at, name in times["asked"] if str(name) == "board" and at > start]
        detected.append((asked[0] - start) / 1e9)
        meanwhile += [busy for at, busy in times["turns"] if start <= at <= end]
        after_s = (replaced - start) / 1e9
        print(f"found silent after {detected[-1]:.2f} s, replaced after {after_s:.2f} s")
    p99 = percentile(meanwhile, 0.99)
    print(
        f"executive meanwhile: {len(meanwhile)} turns, p50 {percentile(meanwhile, 0.5):.3f} ms, "
        f"p99 {p99:.3f} ms, longest {max(meanwhile) / 1e6:.3f} ms"
    )
    return int(max(detected) > DETECTED_S or p99 > LOOP_P99_MS)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--executive"]:
        sys.exit(executive(sys.argv[2], ["executive", *sys.argv[3:]]))
    sys.exit(main(int(sys.argv[2]) if sys.argv[1:2] == ["--rounds"] else ROUNDS))
