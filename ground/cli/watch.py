"""`ground watch`: housekeeping values as they come, or once."""

from __future__ import annotations

import sys

import click

from ground.cli.common import Failure, client_options, connected, onboard, shown
from ground.client.results import Value
from ground.errors import nearest


def line(value: Value, width: int) -> str:
    """One value: name, value, unit, then a letter where it is outside a limit, or stale."""
    mark = {"low": "L", "high": "H", "not a number": "N"}.get(value.limit, " ")
    text = f"{value.name:<{width}} {shown(value.value):>14} {value.unit:<8} {mark}"
    if value.validity == "stale":
        return click.style(f"{text} stale", dim=True)
    return click.style(text, fg="yellow" if value.limit else None)


@click.command()
@click.argument("name", required=False, metavar="[COMPONENT[.FIELD]]")
@click.option("--once", is_flag=True, help="Show the current values and end.")
@client_options
def watch(name: str | None, once: bool, server: str | None, payload: str | None) -> None:
    """Show housekeeping values as they come, such as: ground watch board.power"""
    component, _, field = (name or "").partition(".")
    with connected(server, payload) as client:
        after = 0
        while True:
            wait_s = 0.0 if once else 5.0
            values = client.values(component or None, after=after, wait_s=wait_s)
            chosen = [v for v in values.values() if not field or v.name == f"{component}.{field}"]
            if values and not chosen:
                known = [v.name for v in values.values()]
                raise Failure(f"no field '{name}'; {nearest(name or '', known)}")
            _show(chosen)
            if once:
                if not values:
                    raise Failure("no housekeeping has come yet; try without --once")
                return
            after = max([after, *(v.cursor for v in values.values())])


def _show(values: list[Value]) -> None:
    width = max((len(value.name) for value in values), default=0)
    previous = -1
    for value in values:
        if value.cursor != previous and len(values) > 1:
            click.echo(click.style(f"— on-board time {onboard(value.time_ns)}", dim=True))
        previous = value.cursor
        click.echo(line(value, width))
    sys.stdout.flush()
