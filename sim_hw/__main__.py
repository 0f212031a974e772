"""The world around the payload: emulated boards, and what happens to them."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from icd.options import Real, Whole, refuse_unfit
from sim_hw.model.constants import provenance
from sim_hw.model.traffic import measured_bytes_s
from sim_hw.nvml.board import EmulatedBoard
from sim_hw.nvml.commands import inject
from sim_hw.nvml.profiles import BOARDS
from sim_hw.nvml.vendor_tools import install, tool
from sim_hw.nvml_library import build
from sim_hw.nvml_library.layout import GPUS
from sim_hw.orin.board import EmulatedOrin
from sim_hw.orin.commands import inject_orin
from sim_hw.orin.constants import ORIN, RAILS, THERMAL
from sim_hw.world import commands as world

Wait = Callable[[float], bool]
"""Waits at most so many seconds; true when it is time to end."""
Tick = Callable[[int], float]
"""Advances to a time; seconds until it wants to be called again."""

_LEASE = "VANALLEN_LEASE_FD"
_FOLDER = click.Path(file_okay=False, path_type=Path)
_MODELS = click.Choice(sorted([*BOARDS, "orin"]))


@click.group()
def main() -> None:
    """Emulated boards for the payload, and what the world does to them."""
    refuse_unfit()


@main.command()
@click.option("--model", type=_MODELS, default="h100", show_default=True)
@click.option("--dir", "folder", type=_FOLDER, required=True, help="Folder of the board.")
@click.option("--gpus", type=Whole(1, GPUS), default=1, show_default=True)
@click.option("--seed", type=Whole(1), help="Draws UUIDs, noise and, with a scenario, faults.")
@click.option("--ready", type=click.Path(path_type=Path), help="File to write once usable.")
@click.option("--recovery-scale", type=Real(0.0), default=1.0, help="Of durations.")
@click.option("--scenario", help="World to fly in: a file, or the name of a shipped one.")
@click.option("--check", is_flag=True, help="Only say what is wrong with the scenario.")
def board(
    model: str,
    folder: Path,
    gpus: int,
    seed: int | None,
    ready: Path | None,
    recovery_scale: float,
    scenario: str | None,
    check: bool,
) -> None:
    """Play a board until SIGTERM, or until the process that started it is gone."""
    if model == "orin" and gpus != 1:
        raise click.UsageError("a Jetson has one GPU; leave out --gpus, or choose another --model")
    if scenario is not None and gpus != 1:
        raise click.UsageError("a scenario flies one GPU; leave out --gpus, or --scenario")
    flown = None if scenario is None else world.load(scenario, model, seed)
    if check:
        return
    with _until_told() as wait, contextlib.ExitStack() as stack:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        emulated: EmulatedBoard | EmulatedOrin
        if model == "orin":
            emulated = EmulatedOrin(folder, seed or 1, measured_bytes_s())
        else:
            emulated = _nvml_board(folder, model, gpus, seed or 1, recovery_scale)
        stack.callback(emulated.close)
        ticks: list[Tick] = [lambda now_ns: _turn(emulated, now_ns)]
        if flown is not None:
            now_ns = time.monotonic_ns()
            beside = world.beside(emulated, flown, folder, model, now_ns)
            ticks.append(stack.enter_context(beside))
        if ready is not None:
            stack.callback(ready.unlink, missing_ok=True)
            _write_atomically(ready, f"{os.getpid()}\n")
        while not wait(_soonest(ticks)):
            pass


def _turn(emulated: EmulatedBoard | EmulatedOrin, now_ns: int) -> float:
    """Advance a board, and show that somebody does."""
    wait_s = emulated.tick(now_ns, time.time_ns())
    emulated.beat(now_ns)
    return wait_s


def _soonest(ticks: list[Tick]) -> float:
    """Advance all to now; seconds until the first wants to be called again."""
    now_ns = time.monotonic_ns()
    return min([tick(now_ns) for tick in ticks])


def _nvml_board(folder: Path, model: str, gpus: int, seed: int, scale: float) -> EmulatedBoard:
    """A board behind an NVML library, which is built when it is not yet."""
    try:
        _link(folder / "lib" / build.NAME, build.library())
        install(folder)
    except (build.BuildError, OSError) as error:
        raise click.ClickException(str(error)) from error
    return EmulatedBoard(folder, model, gpus, seed, scale, measured_bytes_s())


def _link(link: Path, target: Path) -> None:
    """Let `link` lead to `target`, whatever it led to before."""
    link.parent.mkdir(exist_ok=True)
    temporary = link.with_name(f".{link.name}.{os.getpid()}")
    temporary.symlink_to(target)
    temporary.rename(link)


def _write_atomically(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text)
    temporary.rename(path)


@contextlib.contextmanager
def _until_told() -> Iterator[Wait]:
    """A wait that ends early at SIGTERM, SIGINT, or when the lease pipe hangs up."""
    told, teller = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    poll = select.poll()
    poll.register(told, select.POLLIN)
    if lease := os.environ.get(_LEASE):
        poll.register(int(lease), select.POLLHUP)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: None)
    before = signal.set_wakeup_fd(teller)
    try:
        yield lambda seconds: bool(poll.poll(seconds * 1000))
    finally:
        signal.set_wakeup_fd(before)
        os.close(told)
        os.close(teller)


@main.command()
@click.option("--model", type=_MODELS, default="h100", show_default=True)
def constants(model: str) -> None:
    """Print every constant of a model: value, unit, and where it comes from."""
    chosen = BOARDS.get(model)
    profiles = (ORIN, THERMAL, RAILS) if chosen is None else (chosen.profile, chosen.heat)
    for profile in profiles:
        for name, (value, unit, source) in provenance(profile).items():
            click.echo(f"{name:30} {value:>14g} {unit:12} {source}")


main.add_command(inject)
main.add_command(inject_orin)
main.add_command(tool)
world.add(main, time.monotonic, _until_told)

if __name__ == "__main__":
    main(prog_name="sim_hw")
