"""`flight campaign`: strike kernels with faults, and count what comes of it."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import click

from icd.options import Whole

FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)
ANOTHER = 1
"""Exit status of a replay that ended otherwise than what is kept."""


class _RunsByDefault(click.Group):
    """A group whose first word may be a campaign file: then it is `run`."""

    def parse_args(self, context: click.Context, arguments: list[str]) -> list[str]:
        is_help = bool({"-h", "--help"} & set(arguments[:1]))
        if arguments and not is_help and arguments[0] not in self.commands:
            arguments = ["run", *arguments]
        return super().parse_args(context, arguments)


@click.group(cls=_RunsByDefault)
def campaign() -> None:
    """Strike kernels with faults and count what comes of it.

    `flight campaign CAMPAIGN.toml` is `flight campaign run CAMPAIGN.toml`.
    """


@campaign.command()
@click.argument("file", type=FILE)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Folder of results.")
@click.option("--jobs", type=Whole(1, 256), help="Processes; as many as processors.")
def run(file: Path, out: Path | None, jobs: int | None) -> None:
    """Run the trials of FILE that --out does not hold yet, and write its report.

    Results go to a folder beside FILE, with its name, unless --out is given.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from flight.campaign import engine

    folder = out or file.with_suffix("")
    shown = _Progress()
    engine_errors = _errors()
    try:
        engine.run(file, folder, jobs or len(os.sched_getaffinity(0)), shown)
    except engine_errors as error:
        raise click.ClickException(str(error)) from None
    except KeyboardInterrupt:
        raise click.ClickException("stopped; the same command goes on from here") from None
    click.echo(f"{folder / engine.REPORT}")


@campaign.command()
@click.argument("folder", type=FOLDER)
@click.argument("trial", type=Whole(0))
def replay(folder: Path, trial: int) -> None:
    """Do TRIAL of the campaign in FOLDER again and print all of it.

    The exit status is 1 when it ends otherwise than what is kept.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from flight.campaign import engine

    try:
        shown, record, kept = engine.replay(folder, trial)
    except (*_errors(), LookupError) as error:
        raise click.ClickException(str(error)) from None
    click.echo(json.dumps(shown, indent=1, default=str))
    if kept is None:
        click.echo("the folder holds no result of this trial yet", err=True)
    elif kept == record:
        click.echo("the same as what is kept", err=True)
    else:
        click.echo(f"kept is another: {json.dumps(kept)}", err=True)
        sys.exit(ANOTHER)


@campaign.command()
@click.argument("folder", type=FOLDER)
def report(folder: Path) -> None:
    """Write summary and report of FOLDER anew from the results that it holds."""
    from flight.campaign import engine

    try:
        click.echo(engine.write_report(folder))
    except _errors() as error:
        raise click.ClickException(str(error)) from None


class _Progress:
    """A line that says how far it is, rewritten on a terminal, ten times otherwise."""

    def __init__(self) -> None:
        self._said = -1

    def __call__(self, done: int, total: int) -> None:
        steps = 1000 if sys.stderr.isatty() else 10
        if done * steps // total != self._said or done == total:
            self._said = done * steps // total
            end = not sys.stderr.isatty() or done == total
            click.echo(f"\r{done:,} of {total:,} trials", err=True, nl=end)


def _errors() -> Any:
    from flight.campaign.engine import FolderError
    from flight.campaign.pool import PoolError
    from flight.campaign.results import OtherCampaign
    from flight.campaign.settings import SettingsError

    return FolderError, PoolError, OtherCampaign, SettingsError, OSError
