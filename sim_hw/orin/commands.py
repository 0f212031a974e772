"""The command `sim_hw inject-orin`: do something to a running emulated Orin, by hand."""

from __future__ import annotations

from pathlib import Path

import click

from icd.board_state import BoardStateError
from icd.options import Real, Whole
from sim_hw.cli.command_group import CommandGroup
from sim_hw.orin.inject import LEVELS, OrinWorld
from sim_hw.orin.kernel_files import RAILS, ZONES

_NEGATIVE = {"ignore_unknown_options": True}


@click.group("inject-orin", cls=CommandGroup)
@click.option("--dir", "folder", type=click.Path(path_type=Path), required=True)
@click.pass_context
def inject_orin(context: click.Context, folder: Path) -> None:
    """Do something to a running emulated Orin."""
    try:
        context.obj = OrinWorld(folder)
    except ValueError as error:
        raise click.ClickException(str(error)) from error


@inject_orin.command("over-current")
@click.argument("rail", type=click.Choice(sorted(RAILS)))
@click.argument("level", type=click.Choice([*LEVELS, "none"]))
@click.pass_obj
def over_current(world: OrinWorld, rail: str, level: str) -> None:
    """Raise the alarm of RAIL, or lower it (`none`)."""
    world.over_current(rail, None if level == "none" else level)


@inject_orin.command(context_settings=_NEGATIVE)
@click.argument("offset_k", type=Real())
@click.pass_obj
def temperature(world: OrinWorld, offset_k: float) -> None:
    """Let every zone measure OFFSET_K kelvin more than it is: up to a thermal trip."""
    world.temperature(offset_k)


@inject_orin.command(context_settings=_NEGATIVE)
@click.argument("sink_c", type=Real())
@click.pass_obj
def sink(world: OrinWorld, sink_c: float) -> None:
    """Let the radiator see SINK_C degrees Celsius."""
    world.sink(sink_c)


@inject_orin.command()
@click.argument("name", type=click.Choice(ZONES))
@click.argument("state", type=click.Choice(["on", "off"]))
@click.pass_obj
def zone(world: OrinWorld, name: str, state: str) -> None:
    """Switch the block of a thermal zone on or off; off, it says -256 °C."""
    world.zone(name, state == "on")


@inject_orin.command()
@click.argument("number", type=Whole(0, 1))
@click.argument("state", type=click.Choice(["boots", "broken"]))
@click.pass_obj
def slot(world: OrinWorld, number: int, state: str) -> None:
    """Let the software in boot slot NUMBER come up at the next boot, or not."""
    world.slot(number, state == "boots")


@inject_orin.command()
@click.option("--corrected", type=Whole(0), default=0)
@click.option("--uncorrected", type=Whole(0), default=0)
@click.pass_obj
def ecc(world: OrinWorld, corrected: int, uncorrected: int) -> None:
    """Count memory errors."""
    world.ecc(corrected, uncorrected)


@inject_orin.command()
@click.option("--pid", type=Whole(), help="Of this process only.")
@click.pass_obj
def crash(world: OrinWorld, pid: int | None) -> None:
    """End compute contexts, as a fault of the GPU does."""
    try:
        click.echo(f"{world.crash(pid)} context(s) ended")
    except BoardStateError as error:
        raise click.ClickException(str(error)) from error


@inject_orin.command("file")
@click.argument("path")
@click.option("--text", help="What it says instead; without it, the file vanishes.")
@click.option("--mend", is_flag=True, help="Let it be what it was.")
@click.pass_obj
def file(world: OrinWorld, path: str, text: str | None, mend: bool) -> None:
    """Break a file of the board, given as sys/… below its root."""
    if mend:
        world.mend(path)
        return
    try:
        world.file(path, text)
    except ValueError as error:
        raise click.ClickException(str(error)) from error


@inject_orin.command()
@click.argument("state", type=click.Choice(["on", "off"]))
@click.pass_obj
def power(world: OrinWorld, state: str) -> None:
    """Switch the rail of the whole module."""
    world.power(state == "on")
