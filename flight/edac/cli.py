"""`flight edac`: look at container files and set them right, on board or on the ground."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NoReturn

import click

from icd.files import opened
from icd.options import Whole

FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
OUT = click.Path(path_type=Path, dir_okay=False)
REPAIRABLE, LOST = 1, 2


@click.group()
def edac() -> None:
    """Look at files protected against upsets, and repair them.

    The exit status is 0 for a sound file, 1 for one that can be repaired, 2 for one that cannot.
    """


@edac.command()
@click.argument("file", type=FILE)
def verify(file: Path) -> None:
    """Read every octet of FILE and say what is wrong, changing nothing.

    FILE is a container, or a plain file with a sidecar (FILE.edac) beside it.
    """
    from flight.edac import container, sidecar

    look = sidecar.verify if sidecar.has(file) else container.verify
    try:
        report = look(file)
    except (container.ContainerError, OSError) as failure:
        _fail(file, failure)
    for sentence in report.sentences():
        click.echo(f"{file}: {sentence}")
    if not report.is_sound:
        sys.exit(REPAIRABLE if report.is_recoverable else LOST)


@edac.command()
@click.argument("file", type=FILE)
@click.option("--out", type=OUT, help="Leave FILE alone and write the repaired file here.")
def repair(file: Path, out: Path | None) -> None:
    """Write FILE anew with every error corrected; nothing is written when content is lost.

    FILE is a container, or a plain file with a sidecar (FILE.edac) beside it.
    """
    from flight.edac import container, sidecar

    set_right = sidecar.repair if sidecar.has(file) else container.repair
    try:
        report = set_right(file, out)
    except (container.ContainerError, OSError) as failure:
        _fail(file, failure)
    for sentence in report.sentences():
        click.echo(f"{file}: {sentence}")
    if not report.is_sound:
        click.echo(f"{out or file}: written, sound")


@edac.command()
@click.argument("file", type=FILE)
@click.argument("out", type=OUT)
@click.option("--label", default="", help="What it is, up to 24 octets.")
@click.option(
    "--n", type=Whole(), default=512, show_default=True, help="Symbols a block: 64 to 4096."
)
def protect(file: Path, out: Path, label: str, n: int) -> None:
    """Put the content of FILE into the container file OUT."""
    from flight.edac import container
    from flight.edac.code import Code

    try:
        with opened(file) as source:
            container.write(out, iter(lambda: source.read(1 << 20), b""), label, Code(n))
    except (ValueError, OSError) as failure:
        _fail(file, failure)


@edac.command()
@click.argument("file", type=FILE)
def beside(file: Path) -> None:
    """Protect FILE by a sidecar beside it, FILE.edac; FILE stays as it is."""
    from flight.edac import sidecar

    try:
        sidecar.write(file)
    except OSError as failure:
        _fail(file, failure)


@edac.command()
@click.argument("file", type=FILE)
@click.argument("out", type=OUT)
def extract(file: Path, out: Path) -> None:
    """Write the content of the container FILE, corrected, to OUT."""
    from flight.edac import container

    try:
        content = container.read(file)
        out.write_bytes(content.data)
    except (container.ContainerError, OSError) as failure:
        _fail(file, failure)


def _fail(file: Path, failure: Exception) -> NoReturn:
    said = failure.strerror if isinstance(failure, OSError) else None
    click.echo(f"{file}: {said or failure}", err=True)
    sys.exit(LOST)
