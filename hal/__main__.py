"""Record a board, put load on one, and compare two recordings."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import click

from hal import boards
from hal.compute.device import open_device
from hal.errors import HalError
from hal.reading import tai_now
from hal.recording import trace
from hal.recording.load import PHASES, work
from hal.recording.recorder import Load, Phase, record
from icd.board_state import ENVIRONMENT
from icd.options import Real, refuse_unfit

_KINDS = click.Choice(["host", "cuda"])
_QUANTITIES = ("power_w", "temperature_c", "temperature_memory_c", "clock_sm_mhz")


@click.group()
def main() -> None:
    """Record and compare boards."""
    refuse_unfit()


@main.command("record")
@click.option("--board", default="nvml", show_default=True, help="As `flight board list` says.")
@click.option("--run", "run_dir", type=click.Path(path_type=Path), help="Of an emulated board.")
@click.option("--rate", type=Real(0.1, 100.0), default=10.0, show_default=True)
@click.option("--seconds", type=Real(0.1), default=20.0, help="Of each phase.")
@click.option("--phases", default=",".join(PHASES), show_default=True, help="Loads, in order.")
@click.option("--compute", type=_KINDS, default="cuda", show_default=True, help="Who computes.")
@click.option("--out", type=click.Path(path_type=Path), required=True)
def record_board(
    board: str,
    run_dir: Path | None,
    rate: float,
    seconds: float,
    phases: str,
    compute: str,
    out: Path,
) -> None:
    """Write a trace of every reading of a board, read-only, through phases of load."""
    names = [name.strip() for name in phases.split(",")]
    if wrong := [name for name in names if name not in PHASES]:
        raise click.ClickException(f"no load {wrong[0]!r}; give any of {', '.join(PHASES)}")
    try:
        if run_dir is not None:
            os.environ.update(boards.row(board).environment(run_dir))
        opened = boards.open_board(board)
        try:
            made = record(
                opened,
                [Phase(name, seconds) for name in names],
                rate,
                _load(compute),
                tai_now,
                time.sleep,
            )
        finally:
            opened.close()
        trace.write(out, made)
    except (HalError, OSError) as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"{out}: {len(made.samples)} samples of {made.identity.board}")


def _load(compute: str) -> Load:
    """Loads in a process of their own, so that the reading is not disturbed by them."""

    @contextlib.contextmanager
    def load(phase: str) -> Iterator[None]:
        if phase == "idle":
            yield
            return
        words = [sys.executable, "-m", "hal", "load", phase, "--compute", compute]
        with subprocess.Popen(words, stdin=subprocess.DEVNULL) as process:
            try:
                yield
                if process.poll() is not None:
                    raise click.ClickException(f"the {phase} load ended by itself; see above")
            finally:
                process.terminate()

    return load


@main.command("load")
@click.argument("phase", type=click.Choice(PHASES[1:]))
@click.option("--compute", type=_KINDS, default="cuda", show_default=True)
def put_load(phase: str, compute: str) -> None:
    """Put one kind of load on the board until SIGTERM."""
    told = threading.Event()

    def tell(_number: int, _frame: FrameType | None) -> None:
        told.set()

    signal.signal(signal.SIGTERM, tell)
    signal.signal(signal.SIGINT, tell)
    try:
        device = open_device(compute, os.environ.get(ENVIRONMENT))
        try:
            work(device, phase, told.is_set)
        finally:
            device.close()
    except HalError as error:
        raise click.ClickException(str(error)) from None


@main.command()
@click.argument("one", type=click.Path(path_type=Path))
@click.argument("other", type=click.Path(path_type=Path))
def compare(one: Path, other: Path) -> None:
    """Print the RMSE of two traces, phase by phase, of what an emulator is tuned to."""
    try:
        first, second = trace.read(one), trace.read(other)
    except HalError as error:
        raise click.ClickException(str(error)) from None
    for phase in dict.fromkeys(sample.phase for sample in first.samples):
        for quantity in _QUANTITIES:
            name = f"gpu0.{quantity}"
            with contextlib.suppress(ValueError):
                found = trace.rmse(first.values(name, phase), second.values(name, phase))
                click.echo(f"{phase:10} {quantity:22} {found:.3f}")


if __name__ == "__main__":
    main(prog_name="hal")
