"""`ground put`, `get` and `files`: the payload's file store."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from ground.cli.common import client_options, connected

BAR = 30


class Bar:
    """A moving bar on a terminal, a line for each tenth elsewhere."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._moves = sys.stdout.isatty()
        self._tenth = -1

    def __call__(self, done: int, total: int) -> None:
        share = done / total if total else 1.0
        if self._moves:
            filled = round(share * BAR)
            bar = "█" * filled + "·" * (BAR - filled)
            click.echo(f"\r\x1b[K{self._what} {bar} {done}/{total} B", nl=False)
            sys.stdout.flush()
        elif int(share * 10) > self._tenth:
            self._tenth = int(share * 10)
            click.echo(f"{self._what} {share:4.0%} {done}/{total} B")

    def end(self, text: str) -> None:
        """The last line."""
        click.echo(f"\r\x1b[K{text}" if self._moves else text)


@click.command()
@click.argument("local", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("remote", required=False)
@client_options
def put(local: Path, remote: str | None, server: str | None, payload: str | None) -> None:
    """Send file LOCAL to the payload, as REMOTE (default: its own name).

    The same put, given again after a break, goes on from where it was.
    """
    remote = remote or local.name
    bar = Bar(f"put {remote}")
    with connected(server, payload) as client:
        state = client.put(local, remote, bar)
        bar.end(f"{click.style('✓', fg='green')} {remote}: {state['total']} B, checked on board")


@click.command()
@click.argument("remote")
@click.argument("local", required=False, type=click.Path(path_type=Path))
@client_options
def get(remote: str, local: Path | None, server: str | None, payload: str | None) -> None:
    """Fetch file REMOTE from the payload, as LOCAL (default: its own name, here)."""
    local = local or Path(Path(remote).name)
    if local.is_dir():
        local = local / Path(remote).name
    bar = Bar(f"get {remote}")
    with connected(server, payload) as client:
        state = client.get(remote, local, bar)
        bar.end(f"{click.style('✓', fg='green')} {local}: {state['total']} B, checksum good")


@click.command()
@click.argument("path", default="")
@client_options
def files(path: str, server: str | None, payload: str | None) -> None:
    """List folder PATH of the payload's file store (default: all of it)."""
    with connected(server, payload) as client:
        rows = client.files(path)
        for row in rows:
            size = "" if row.get("is_folder") else f"{row.get('size', 0):>12}"
            slash = "/" if row.get("is_folder") else ""
            click.echo(f"{size:>12}  {row['path']}{slash}")
        if not rows:
            click.echo("no files")
