"""`ground history`: what was sent, and what became of it."""

from __future__ import annotations

import click

from ground.cli.common import client_options, connected, shown, utc
from ground.client.results import CommandResult
from icd.options import Whole

_TICKS = {"accepted": "A", "started": "S", "completed": "C"}


def line(result: CommandResult) -> str:
    """One telecommand: when, its ticks, its state, how it was written, why it failed."""
    reached = {stage for stage, _ in result.stages}
    ticks = "".join(letter if stage in reached else "·" for stage, letter in _TICKS.items())
    arguments = " ".join(f"{name}={shown(value)}" for name, value in result.arguments.items())
    colour = "green" if result.ok else "red" if result.is_settled else None
    state = click.style(f"{result.state:<9}", fg=colour)
    late = " (late)" if result.is_late else ""
    text = f"{utc(result.queued_ns)} {ticks} {state} {result.name} {arguments}".rstrip()
    return f"{text}{late}{'  ' + result.reason if result.reason else ''}"


@click.command()
@click.option("-n", "--limit", type=Whole(1, 2000), default=50, help="At most so many.")
@client_options
def history(limit: int, server: str | None, payload: str | None) -> None:
    """Show the newest telecommands, oldest first."""
    with connected(server, payload) as client:
        listed = client.history(limit)
        for result in listed:
            click.echo(line(result))
        if not listed:
            click.echo("nothing was sent yet")
