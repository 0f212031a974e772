"""`ground commands`: every telecommand of the payload, or one with its arguments explained."""

from __future__ import annotations

import click

from ground.cli.common import client_options, connected
from ground.cli.completion import complete_command
from ground.server.commanding import Catalogue, Known, describe


@click.command()
@click.argument("name", required=False, shell_complete=complete_command)
@click.option("--standard", is_flag=True, help="List those that every component has, too.")
@client_options
def commands(name: str | None, standard: bool, server: str | None, payload: str | None) -> None:
    """List telecommands; with NAME (a command or a component), explain."""
    with connected(server, payload) as client:
        dictionary = client.dictionary(wait_s=5.0)
        catalogue = Catalogue(dictionary)
        components = [component.name for component in dictionary.components]
        if name is None or name in components:
            for known in catalogue.known.values():
                if known.is_standard and not standard and name is None:
                    continue
                if name is None or known.name.startswith(f"{name}."):
                    click.echo(summary(known))
        else:
            for text in explanation(catalogue.find(name)):
                click.echo(text)


def summary(known: Known) -> str:
    """One line: how it is written, and what it does."""
    arguments = " ".join(f"{field.name}=" for field in known.entry.arguments)
    written = f"{known.name} {arguments}".rstrip()
    return f"{written:<44} {known.entry.description}"


def explanation(known: Known) -> list[str]:
    """All about one telecommand."""
    entry = known.entry
    lines = [known.name, f"  {entry.description}"]
    if entry.is_critical:
        lines.append("  critical: it must be armed first")
    if known.is_partial:
        lines.append("  give any of these arguments")
    width = max((len(f.name) for f in (*entry.arguments, *entry.results)), default=0)
    for field in entry.arguments:
        about = f"; {field.description}" if field.description else ""
        lines.append(f"  {field.name:<{width}} = {describe(field)}{about}")
    if entry.results:
        lines.append("  answers:")
    for field in entry.results:
        about = f"; {field.description}" if field.description else ""
        lines.append(f"  {field.name:<{width}} : {describe(field)}{about}")
    lines.append(f"  within {entry.timeout_s:g} s; in modes {', '.join(entry.modes)}")
    return lines
