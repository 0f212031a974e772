"""The command `flight`: run a payload, make its keys, print its dictionary, look at its board."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from flight.campaign.cli import campaign
from flight.deployment.configuration import Configuration, ConfigurationError, from_toml
from flight.doctor.cli import doctor
from flight.edac.cli import edac
from flight.fault_tolerance.levels import Level
from icd import extras
from icd.options import Whole, refuse_unfit

_LEVELS = click.Choice([level.name.lower() for level in Level])


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Flight software for a GPU payload."""
    refuse_unfit()


@main.command()
@click.option("--board", help="Board to fly on; `flight board list` names them.")
@click.option("--scenario", help="World that an emulated board flies in: a file, or a name.")
@click.option("--gpus", type=Whole(1, 8), help="How many GPUs an emulated board has.")
@click.option("--state", type=click.Path(path_type=Path), help="What must survive a power-off.")
@click.option("--run", "run_dir", type=click.Path(path_type=Path), help="What need not survive.")
@click.option("--config", type=click.Path(path_type=Path), help="Configuration (TOML).")
@click.option("--link", "endpoint", help="Where stations connect; loopback unless given.")
@click.option("--payload-id", type=Whole(1, 65535), help="Which payload this is.")
@click.option("--insecure", is_flag=True, help="Accept unauthenticated telecommands.")
def run(
    board: str | None,
    scenario: str | None,
    gpus: int | None,
    state: Path | None,
    run_dir: Path | None,
    config: Path | None,
    endpoint: str | None,
    payload_id: int | None,
    insecure: bool,
) -> None:
    """Run a payload until SIGTERM or Ctrl-C."""
    from flight.deployment.launch import become_supervisor, default_state_dir, prepare
    from hal.errors import HalError

    try:
        configuration = from_toml(config) if config else Configuration()
        if board:
            configuration = replace(configuration, board=replace(configuration.board, name=board))
        if scenario or gpus:
            chosen = configuration.board
            chosen = replace(chosen, scenario=scenario or chosen.scenario, gpus=gpus or chosen.gpus)
            configuration = replace(configuration, board=chosen)
        if endpoint or insecure:
            link = configuration.link
            link = replace(link, endpoint=endpoint or link.endpoint, insecure=insecure)
            configuration = replace(configuration, link=link)
        if payload_id:
            configuration = replace(configuration, payload_id=payload_id)
        _warn_without_cuda(configuration)
        run_dir = run_dir or Path(tempfile.mkdtemp(prefix="vanallen-"))
        plan = prepare(configuration, state or default_state_dir(), run_dir, _warn)
    except (ConfigurationError, HalError, OSError) as error:
        raise click.ClickException(str(error)) from None
    if configuration.link.insecure:
        _warn("insecure: anyone who reaches the link may command")
    become_supervisor(plan)


def _warn_without_cuda(configuration: Configuration) -> None:
    """Say what is missing for jobs on a GPU; the payload flies, for it can be told what to do."""
    if configuration.compute == "cuda" and importlib.util.find_spec("numba_cuda") is None:
        sentence = extras.missing("numba_cuda", "compute = 'cuda'")
        click.echo(f"warning: {sentence}; until then every job fails", err=True)


def _warn(sentence: str) -> None:
    click.echo(f"warning: {sentence}", err=True)


@main.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option(
    "--slot",
    "slots",
    type=Whole(1, 65535),
    multiple=True,
    default=(1,),
    show_default=True,
    help="A station's id.",
)
def keygen(path: Path, slots: tuple[int, ...]) -> None:
    """Make link keys in PATH (mode 0600) for the slots that have none."""
    from flight.deployment.launch import make_keys

    try:
        made = make_keys(path, list(slots))
    except (ConfigurationError, OSError) as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"{path}: {'keys made' if made else 'every slot had its key already'}")


@main.command()
@click.option("--out", type=click.Path(path_type=Path), help="Write it to a file instead.")
def dictionary(out: Path | None) -> None:
    """Print the dictionary file that ground works from."""
    from flight.deployment.deployment import dictionary as make

    text = make().to_json()
    if out is None:
        click.echo(text, nl=False)
    else:
        out.write_text(text, encoding="utf-8")


@main.group()
def board() -> None:
    """Look at a board; never changes one."""


@board.command("list")
def list_boards() -> None:
    """Name the boards that can be flown on."""
    from hal import boards

    for name in boards.names():
        click.echo(f"{name:16} {boards.row(name).description}")


@board.command()
@click.argument("name", default="nvml")
@click.option("--run", "run_dir", type=click.Path(path_type=Path), help="Of an emulated board.")
def show(name: str, run_dir: Path | None) -> None:
    """Print identity and readings of a board, read-only."""
    from hal import boards
    from hal.errors import HalError
    from hal.identity_text import lines_of

    try:
        if run_dir is not None:
            os.environ.update(boards.row(name).environment(run_dir))
        opened = boards.open_board(name)
    except HalError as error:
        raise click.ClickException(str(error)) from None
    try:
        identity = opened.identity()
        if not identity.devices:
            version = identity.driver_version or "of unknown version"
            raise click.ClickException(
                f"{name}: the driver (version {version}) shows no GPU; see what nvidia-smi and "
                "dmesg say, and whether this container was given one"
            )
        for line in lines_of(identity):
            click.echo(line)
        for reading in opened.read():
            value = "—" if reading.value is None else f"{reading.value:.6g}"
            note = "" if reading.is_valid else f"  {reading.validity.name}: {reading.reason}"
            click.echo(f"{reading.name:34} {value:>14} {reading.unit:6}{note}")
    finally:
        opened.close()


@main.group("jobs")
def jobs_group() -> None:
    """Look at jobs, or run one by hand, without a payload."""


@jobs_group.command("list")
def list_jobs() -> None:
    """Name the jobs that can be run."""
    from flight.jobs.registry import jobs

    for declaration in jobs().values():
        click.echo(f"{declaration.number:3} {declaration.name:12} {declaration.description}")


@jobs_group.command("run")
@click.argument("name")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="A parameter.")
@click.option("--out", type=click.Path(path_type=Path), default=Path(), show_default=True)
@click.option("--level", type=_LEVELS, default="none", show_default=True, help="Of protection.")
@click.option("--flips", type=click.Path(path_type=Path), help="Log of flips to do again.")
@click.option("--job", type=Whole(), default=0, help="The job of that log, by its number.")
def run_job(
    name: str, settings: tuple[str, ...], out: Path, level: str, flips: Path | None, job: int
) -> None:
    """Run one job here, in this process, and leave its products in --out."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from flight.jobs.local import replaying, run_local
    from hal.errors import HalError

    pairs = [setting.partition("=") for setting in settings]
    words = {key: value for key, _, value in pairs}
    try:
        with replaying(flips, job) as device:
            outcome: Any = run_local(name, words, out, device=device, level=Level[level.upper()])
    except (LookupError, ValueError, OSError, HalError) as error:
        raise click.ClickException(str(error)) from None
    click.echo(json.dumps(outcome, default=str, indent=1))


main.add_command(campaign)
main.add_command(doctor)
main.add_command(edac)

if __name__ == "__main__":
    sys.exit(main())
