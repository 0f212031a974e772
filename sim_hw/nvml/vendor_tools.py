"""Stand-ins for the programs that recover a real board: nvidia-smi, modprobe, the host bus."""

from __future__ import annotations

import os
import select
import shlex
import sys
from pathlib import Path

import click

from icd.board_state import BoardStateError
from sim_hw.nvml.inject import World
from sim_hw.nvml.xid import Cure
from sim_hw.nvml_library.state import StateError

NAMES = ("nvidia-smi", "modprobe", "host-bus")
RUNGS = {
    "gpu-reset": Cure.GPU_RESET,
    "driver-reload": Cure.DRIVER_RELOAD,
    "rail-power-cycle": Cure.RAIL_POWER_CYCLE,
}
_LONGEST_S = 120.0
_LOOK_S = 0.02


class Failed(Exception):
    """A tool ends with this text and exit status."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status


def install(folder: Path) -> None:
    """Put the programs into `folder/bin`, each bound to the board of that folder."""
    places = (folder / "bin" / name for name in NAMES)
    (folder / "bin").mkdir(exist_ok=True)
    root = Path(__file__).parents[2]
    for place in places:
        words = [sys.executable, "-m", "sim_hw", "tool", "--dir", str(folder), place.name]
        search = f"PYTHONPATH={shlex.quote(str(root))}${{PYTHONPATH:+:$PYTHONPATH}}"
        temporary = place.with_name(f".{place.name}.{os.getpid()}")
        temporary.write_text(f'#!/bin/sh\n{search} exec {shlex.join(words)} -- "$@"\n')
        temporary.chmod(0o700)
        temporary.rename(place)


def wait_for(world: World, index: int, ticket: int) -> bool:
    """Wait until the model has done what was asked for; whether it helped."""
    for _ in range(round(_LONGEST_S / _LOOK_S)):
        if world.has_ended(index, ticket):
            return not world.gpu(index).action_failed
        select.select([], [], [], _LOOK_S)
    raise Failed("the board does not react; is its companion running?", 1)


@click.command(context_settings={"ignore_unknown_options": True})
@click.option("--dir", "folder", type=click.Path(path_type=Path), required=True)
@click.argument("name", type=click.Choice(NAMES))
@click.argument("words", nargs=-1)
def tool(folder: Path, name: str, words: tuple[str, ...]) -> None:
    """Be one of the programs that `sim_hw board` puts into its folder."""
    try:
        with World(folder) as world:
            click.echo(_TOOLS[name](world, words))
    except Failed as error:
        click.echo(str(error))
        sys.exit(error.status)
    except (StateError, BoardStateError) as error:
        raise click.ClickException(str(error)) from error


def _nvidia_smi(world: World, words: tuple[str, ...]) -> str:
    """Only `--gpu-reset -i GPU`, with the refusals of the real one."""
    if len(words) != 3 or words[0] not in ("--gpu-reset", "-r") or words[1] != "-i":
        raise Failed("the emulated nvidia-smi knows only: --gpu-reset -i GPU", 2)
    if not world.nvml.state.driver_loaded:
        raise Failed("NVIDIA-SMI has failed because it couldn't communicate with the driver.", 9)
    index = _find(world, words[2])
    bus_id = world.gpu(index).bus_id.decode()
    if world.users(index):
        raise Failed(f"GPU {bus_id} is currently in use by another process.", 19)
    if world.gpu(index).lost:
        raise Failed(f"Unable to reset GPU {bus_id}: GPU is lost.", 15)
    if not wait_for(world, index, world.ask(index, Cure.GPU_RESET)):
        raise Failed(f"GPU {bus_id} could not be reset: Unknown Error", 255)
    return f"GPU {bus_id} was successfully reset.\nAll done."


def _find(world: World, wanted: str) -> int:
    for index in range(world.nvml.state.gpu_count):
        gpu = world.gpu(index)
        if wanted.lower() in (str(index), gpu.bus_id.decode().lower(), gpu.uuid.decode().lower()):
            return index
    raise Failed(f"No devices were found: {wanted}", 6)


def _modprobe(world: World, words: tuple[str, ...]) -> str:
    """`-r MODULE…` unloads the driver, `nvidia` loads it."""
    if words[:1] == ("-r",):
        if any(world.users(index) for index in range(world.nvml.state.gpu_count)):
            raise Failed("modprobe: FATAL: Module nvidia is in use.", 1)
        world.load_driver(False)
        return ""
    if words != ("nvidia",):
        raise Failed(f"modprobe: FATAL: Module {' '.join(words)} not found.", 1)
    wait_for(world, 0, world.ask(0, Cure.DRIVER_RELOAD))
    return ""


def _host_bus(world: World, words: tuple[str, ...]) -> str:
    """`power-cycle`: the rail of the payload's GPUs goes off and on."""
    if words != ("power-cycle",):
        raise Failed("the emulated host bus knows only: power-cycle", 2)
    wait_for(world, 0, world.ask(0, Cure.RAIL_POWER_CYCLE))
    return "payload rail cycled"


_TOOLS = {"nvidia-smi": _nvidia_smi, "modprobe": _modprobe, "host-bus": _host_bus}
