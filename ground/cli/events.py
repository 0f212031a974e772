"""`ground events`: what the payload reported, past and coming."""

from __future__ import annotations

import sys

import click

from ground.cli.common import client_options, connected, utc
from ground.client.results import Event
from icd.options import Whole

SEVERITIES = ("info", "low", "medium", "high")
_COLOURS = {2: "cyan", 3: "yellow", 4: "red"}


def line(event: Event) -> str:
    """One event: when it came, how severe, which, and its words."""
    severity = click.style(
        f"{SEVERITIES[event.severity - 1].upper():<6}", fg=_COLOURS.get(event.severity)
    )
    return f"{utc(event.received_ns)} {severity} {event.name}: {event.text}"


@click.command()
@click.option("--follow", "-f", is_flag=True, help="Go on as they come.")
@click.option("--severity", type=click.Choice(SEVERITIES), default="info", help="At least so much.")
@click.option(
    "--after", type=Whole(), default=0, metavar="CURSOR", help="Only those after a cursor."
)
@client_options
def events(
    follow: bool, severity: str, after: int, server: str | None, payload: str | None
) -> None:
    """Show events, oldest first."""
    least = SEVERITIES.index(severity) + 1
    with connected(server, payload) as client:
        listed = client.events(after, severity=least, limit=100_000)
        while True:
            for event in listed:
                click.echo(line(event))
                after = event.cursor
            sys.stdout.flush()
            if not follow:
                return
            listed = client.events(after, severity=least, wait_s=5.0)
