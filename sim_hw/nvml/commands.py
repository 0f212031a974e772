"""The command `sim_hw inject`: do something to a running emulated board, by hand."""

from __future__ import annotations

from pathlib import Path

import click

from icd.board_state import BoardStateError
from icd.options import Real, Whole
from sim_hw.cli.command_group import CommandGroup
from sim_hw.nvml.inject import CONTAINMENTS, PCIE_COUNTERS, World
from sim_hw.nvml.vendor_tools import RUNGS, wait_for
from sim_hw.nvml.xid import Cure
from sim_hw.nvml_library.state import StateError

_FOLDER = click.Path(file_okay=False, path_type=Path)
_RUNG = click.Choice(sorted(RUNGS))


@click.group(cls=CommandGroup)
@click.option("--dir", "folder", type=_FOLDER, required=True, help="Folder of the board.")
@click.option("--gpu", type=Whole(), default=0, show_default=True)
@click.pass_context
def inject(context: click.Context, folder: Path, gpu: int) -> None:
    """Do something to a running emulated board."""
    try:
        world = context.with_resource(World(folder))
        world.gpu(gpu)
    except (StateError, BoardStateError, ValueError) as error:
        raise click.ClickException(str(error)) from error
    context.obj = (world, gpu)


@inject.command()
@click.argument("code", type=Whole(1, 999))
@click.option("--count", type=Whole(1), default=1, help="Report it so many times.")
@click.option("--pid", type=Whole(), help="Process whose context dies, where one does.")
@click.pass_obj
def xid(target: tuple[World, int], code: int, count: int, pid: int | None) -> None:
    """Report XID CODE, and do to the GPU what it stands for."""
    world, gpu = target
    for _ in range(count):
        world.xid(gpu, code, pid)


@inject.command()
@click.pass_obj
def lost(target: tuple[World, int]) -> None:
    """Take the GPU off the bus."""
    world, gpu = target
    world.lose(gpu)


@inject.command()
@click.pass_obj
def restore(target: tuple[World, int]) -> None:
    """Reset the GPU; what computed on it must start again."""
    world, gpu = target
    world.restore(gpu)


@inject.command()
@click.option("--corrected", type=Whole(0), default=0)
@click.option("--uncorrected", type=Whole(0), default=0)
@click.option("--place", type=click.Choice(["dram", "sram"]), default="dram", show_default=True)
@click.option("--bank", type=Whole(), help="Memory bank of an uncorrected DRAM error.")
@click.option("--containment", type=click.Choice(sorted(CONTAINMENTS)), help="XID 94 or 95.")
@click.pass_obj
def ecc(
    target: tuple[World, int],
    corrected: int,
    uncorrected: int,
    place: str,
    bank: int | None,
    containment: str | None,
) -> None:
    """Count ECC errors."""
    world, gpu = target
    try:
        world.ecc(gpu, corrected, uncorrected, place, bank, containment)
    except ValueError as problem:
        raise click.ClickException(str(problem)) from problem


@inject.command()
@click.argument("counter", type=click.Choice(["replays", *PCIE_COUNTERS]))
@click.argument("count", type=Whole(1), default=1)
@click.pass_obj
def pcie(target: tuple[World, int], counter: str, count: int) -> None:
    """Count errors of the bus."""
    world, gpu = target
    world.pcie(gpu, **{counter: count})


@inject.command()
@click.argument("rung", type=_RUNG)
@click.pass_obj
def stick(target: tuple[World, int], rung: str) -> None:
    """Let nothing milder than RUNG help the GPU."""
    world, gpu = target
    world.stick(gpu, RUNGS[rung])


@inject.command("gpu-reset")
@click.pass_obj
def gpu_reset(target: tuple[World, int]) -> None:
    """Reset the GPU as the driver's tool does: it takes its time, and may not help."""
    world, gpu = target
    if not wait_for(world, gpu, world.ask(gpu, Cure.GPU_RESET)):
        raise click.ClickException("the reset did not help; something stronger is needed")


@inject.command()
@click.pass_obj
def status(target: tuple[World, int]) -> None:
    """Print what is wrong with the GPU, and how many events were lost to slow clients."""
    world, number = target
    gpu = world.gpu(number)
    for name, value in (
        ("lost", gpu.lost),
        ("needs reset", gpu.needs_reset),
        ("cure", Cure(gpu.cure).name.lower()),
        ("recovery action", gpu.recovery_action),
        ("remap pending", gpu.remap_pending),
        ("events posted", world.nvml.state.event_head),
        ("events lost", world.nvml.state.events_lost),
    ):
        click.echo(f"{name:16} {value}")


@inject.command(context_settings={"ignore_unknown_options": True})
@click.argument("offset_k", type=Real())
@click.pass_obj
def temperature(target: tuple[World, int], offset_k: float) -> None:
    """Let the GPU measure OFFSET_K kelvin more than it is."""
    world, gpu = target
    world.temperature(gpu, offset_k)


@inject.command(context_settings={"ignore_unknown_options": True})
@click.argument("sink_c", type=Real())
@click.pass_obj
def sink(target: tuple[World, int], sink_c: float) -> None:
    """Let the radiator see SINK_C degrees Celsius."""
    world, gpu = target
    world.sink(gpu, sink_c)


@inject.command()
@click.pass_obj
def hang(target: tuple[World, int]) -> None:
    """Block every driver call, in every process."""
    target[0].hang(True)


@inject.command()
@click.pass_obj
def unhang(target: tuple[World, int]) -> None:
    """Let blocked driver calls go on."""
    target[0].hang(False)


@inject.command()
@click.argument("call")
@click.argument("error", type=Whole(0, 999))
@click.pass_obj
def fail(target: tuple[World, int], call: str, error: int) -> None:
    """Let CALL (or `all`) answer the nvmlReturn_t ERROR; 0 ends it."""
    try:
        target[0].fail(call, error)
    except ValueError as problem:
        raise click.ClickException(str(problem)) from problem
