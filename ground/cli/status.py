"""`ground status`: links, payloads and archive at a glance."""

from __future__ import annotations

import json
from typing import Any

import click

from ground.cli.common import client_options, connected


def lines(payload: dict[str, Any]) -> list[str]:
    """What an operator asks first about one payload."""
    link, identity = payload["link"], payload["identity"]
    state = click.style("in contact", fg="green") if payload["is_alive"] else "no answer"
    if not payload["is_alive"] and payload["age_s"] is not None:
        state = click.style(f"no answer for {payload['age_s']:.0f} s", fg="red")
    found = [f"{payload['name']} (payload {payload['payload_id']}) {payload['endpoint']}: {state}"]
    if identity:
        found.append(
            f"  boot {identity['boot_count']}, software {identity['software']}, "
            f"dictionary {identity['wire_hash']}"
        )
    if payload["hint"]:
        found.append(f"  {payload['hint']}")
    found.append(
        f"  {payload['packets']} packets, {payload['missing']} missing, "
        f"{link.get('lost', 0)} link messages lost, {payload['commands']['pending']} "
        "telecommands under way"
    )
    odd = payload["qualities"] | link.get("rejected", {})
    if odd:
        found.append("  " + ", ".join(f"{count} {what}" for what, count in sorted(odd.items())))
    return found


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Everything, for programs.")
@client_options
def status(as_json: bool, server: str | None, payload: str | None) -> None:
    """Show links, payloads and archive."""
    with connected(server, payload) as client:
        about = client.status()
    if as_json:
        click.echo(json.dumps(about, indent=1))
        return
    archive = about["archive"]
    click.echo(
        f"ground server {about['state']}: {archive['written']} rows archived, "
        f"{archive['dropped'] + archive['lost']} lost"
    )
    if archive["error"]:
        click.echo(click.style(f"  {archive['error']}", fg="red"))
    for one in about["payloads"]:
        if payload in (None, one["name"]):
            for text in lines(one):
                click.echo(text)
