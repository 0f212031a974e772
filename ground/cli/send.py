"""`ground send` and `ground ping`: one telecommand, one tick for each stage."""

from __future__ import annotations

from typing import Any

import click

from ground.cli.common import client_options, connected, pairs, shown
from ground.cli.completion import complete_argument, complete_command
from ground.client.results import CommandResult
from icd.options import Real

_TICKS = {"failed": "✗", "rejected": "✗", "timed out": "✗"}


class Ticker:
    """Prints each stage of a telecommand once, as it is reached."""

    def __init__(self) -> None:
        self._shown = 0

    def __call__(self, result: CommandResult) -> None:
        for stage, time_ns in result.stages[self._shown :]:
            after_ms = (time_ns - result.queued_ns) / 1e6
            tick = _TICKS.get(stage, "✓")
            colour = "red" if tick == "✗" else "green"
            reason = f"  {result.reason}" if tick == "✗" else ""
            click.echo(f"{click.style(tick, fg=colour)} {stage:<10} {after_ms:9.1f} ms{reason}")
        self._shown = len(result.stages)


def run(client: Any, name: str, arguments: dict[str, Any], wait: str, timeout_s: Any) -> None:
    """Send, tick, show the result; exit code 1 unless the stage was reached."""
    result = client.send(
        name, arguments, wait=wait, timeout_s=timeout_s, check=False, on_stage=Ticker()
    )
    conclude(result, wait)


def conclude(result: CommandResult, wait: str = "completed") -> None:
    """Show what a telecommand answered; exit code 1 unless it got to the stage `wait`."""
    for field, value in result.result.items():
        click.echo(f"  {field} = {shown(value)}")
    reached = result.ok or wait in [stage for stage, _ in result.stages]
    if not reached or result.state in _TICKS:
        raise click.exceptions.Exit(1)


@click.command()
@click.argument("name", shell_complete=complete_command)
@click.argument("arguments", nargs=-1, metavar="[ARG=VALUE]…", shell_complete=complete_argument)
@click.option(
    "--wait",
    type=click.Choice(["sent", "accepted", "started", "completed"]),
    default="completed",
    help="The stage to wait for.",
)
@click.option("--timeout", "timeout_s", type=Real(), metavar="S", help="Give up after so long.")
@client_options
def send(
    name: str,
    arguments: tuple[str, ...],
    wait: str,
    timeout_s: float | None,
    server: str | None,
    payload: str | None,
) -> None:
    """Send telecommand NAME, such as: ground send watchdog.set_limit limit=5"""
    given = pairs(arguments)
    with connected(server, payload) as client:
        run(client, name, given, wait, timeout_s)


@click.command()
@client_options
def ping(server: str | None, payload: str | None) -> None:
    """Ask the payload for a sign of life."""
    with connected(server, payload) as client:
        run(client, "ping", {}, "completed", 5.0)
