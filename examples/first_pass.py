"""The main job: train a small GPT on an emulated H100 payload, and bring it home.

An operator's script: it starts a payload and a ground server, uplinks a text, commands the
training, watches it, kills the flight executive once in the middle, and downlinks what was learnt.
Everything it does can be done by hand; it prints the command for each step.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from examples.session import Session
from examples.texts import shakespeare_or_prose
from ground.client.client import Client
from ground.errors import CommandFailed, LinkDown
from icd.written import whole

DONE = {"DONE", "FAILED", "CANCELLED", "EXPIRED"}


def main() -> int:
    """Fly one pass; exit status 0 when the weights are home and verified."""
    options = _options()
    options.out.mkdir(parents=True, exist_ok=True)
    with Session(options.board) as session:
        _say("starting the payload and the ground server", f"flight run --board {options.board}")
        began = time.monotonic()
        ready = session.start_payload()
        payload = session.start_ground()
        with payload:
            result = payload.ping()
            took = (result.stages[-1][1] - result.queued_ns) / 1e6
            print(
                f"  payload {ready['payload_id']} at {ready['endpoint']} after "
                f"{time.monotonic() - began:.1f} s; ping {took:.1f} ms"
            )
            _uplink(payload, options.out)
            job = _submit(payload, options)
            phase = _watch(session, payload, job, options)
            if phase != "DONE":
                print(f"the job ended {phase}", file=sys.stderr)
                return 1
            _downlink(payload, job, options.out)
        _say("ending both")
    print(f"\nproducts are in {options.out}/")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--board", default="emulated-h100", help="see `flight board list`")
    parser.add_argument("--steps", type=whole, default=1500, help="training steps (default 1500)")
    parser.add_argument("--configuration", default="CPU", help="TINY, CPU or BABY")
    parser.add_argument("--out", type=Path, default=Path("build/first-pass"), help="where to")
    parser.add_argument("--no-kill", action="store_true", help="let the executive live")
    return parser.parse_args()


def _say(text: str, command: str = "") -> None:
    print(f"\n● {text}" + (f"\n  $ {command}" if command else ""), flush=True)


def _uplink(payload: Client, out: Path) -> None:
    origin, text = shakespeare_or_prose()
    path = out / "text.txt"
    path.write_text(text, encoding="utf-8")
    _say(f"uplinking {origin}", f"ground put {path} texts/shakespeare.txt")
    began = time.monotonic()
    payload.put(path, "texts/shakespeare.txt")
    took = time.monotonic() - began
    print(f"  {path.stat().st_size:,} octets in {took:.1f} s, checked on board")


def _submit(payload: Client, options: argparse.Namespace) -> int:
    settings = {
        "text": "texts/shakespeare.txt",
        "steps": options.steps,
        "configuration": options.configuration,
    }
    words = " ".join(f"{name}={value}" for name, value in settings.items())
    _say("commanding the training", f"ground jobs submit nanogpt {words}")
    job: int = payload.submit("nanogpt", settings).result["job"]
    print(f"  job {job} is queued, durably")
    return job


def _watch(session: Session, payload: Client, job: int, options: argparse.Namespace) -> str:
    _say("watching", f"ground jobs watch {job}")
    is_killed = options.no_kill
    bar = _Bar()
    cursor = 0
    while True:
        rows = [row for row in payload.jobs(after=cursor, wait_s=5.0) if row["job"] == job]
        for row in rows:
            cursor = max(cursor, row["cursor"])
            bar.show(row)
            if not is_killed and row["step"] > 0.4 * options.steps:
                is_killed = True
                _kill(session, payload)
            if row["phase"] in DONE:
                print()
                return str(row["phase"])


METRICS = (("loss", "  loss {}", "{:.3f}"), ("tokens_per_s", "  {} tokens/s", "{:,.0f}"))
"""Of a row, what is shown, and how it is written."""


class _Bar:
    """A line that moves on a terminal; elsewhere a line every twentieth, and at each change."""

    def __init__(self) -> None:
        self._shown: tuple[object, int] | None = None

    def show(self, row: dict[str, Any]) -> None:
        """Show a row of the job table."""
        step, total = row["step"], row["total"] or 1
        mark = (row["phase"], 20 * step // total)
        if mark == self._shown and not sys.stdout.isatty():
            return
        self._shown = mark
        filled = 30 * step // total
        metrics = row["metrics"] if step else {}
        shown = "".join(
            form.format("—" if metrics[name] is None else number.format(metrics[name]))
            for name, form, number in METRICS
            if name in metrics
        )
        bar = f"[{'█' * filled}{'░' * (30 - filled)}]"
        line = f"  {bar} {step:>5}/{row['total']}{shown}  {row['phase'].lower()}"
        start, end = ("\r", "") if sys.stdout.isatty() else ("", "\n")
        print(f"{start}{line:<100}", end=end, flush=True)


def _kill(session: Session, payload: Client) -> None:
    _say("killing the flight executive (kill -9); the job's process does not notice")
    began = time.monotonic()
    pid = session.kill_executive()
    after = session.ready(after_pid=pid)
    _command_again(payload, began)
    print(
        f"  executive {pid} is dead, {after['executive_pid']} takes telecommands "
        f"{time.monotonic() - began:.2f} s later"
    )


def _command_again(payload: Client, began: float) -> None:
    while True:
        try:
            payload.cmd("commands.no_operation", timeout_s=1.0)
            return
        except (LinkDown, CommandFailed):
            if time.monotonic() - began > 10:
                raise
            time.sleep(0.02)


def _downlink(payload: Client, job: int, out: Path) -> None:
    _say("downlinking the products", f"ground get products/job-{job}/weights.npz")
    for name in ("weights.npz", "sample.txt", "training.json"):
        payload.get(f"products/job-{job}/{name}", out / name)
        print(f"  {name}: {(out / name).stat().st_size:,} octets, checksum verified")
    training = json.loads((out / "training.json").read_text())
    _say("what the model writes now (it knew no letter before)")
    sample = (out / "sample.txt").read_text(encoding="utf-8")
    print("\n".join("  │ " + line for line in sample.splitlines()[:14]))
    for key in ("validation_loss", "final_validation_loss"):
        if key in training:
            print(f"  validation loss {training[key]:.3f} nat per character")


if __name__ == "__main__":
    sys.exit(main())
