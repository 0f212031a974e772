"""The `ground` command: serve, and everything an operator asks of a running server."""

from __future__ import annotations

import importlib
from typing import Any

import click

from icd.options import refuse_unfit

COMMANDS = {
    "serve": ("ground.cli.serve", "serve", "Run the ground server."),
    "send": ("ground.cli.send", "send", "Send a telecommand and tick off its stages."),
    "ping": ("ground.cli.send", "ping", "Ask the payload for a sign of life."),
    "watch": ("ground.cli.watch", "watch", "Show housekeeping values as they come."),
    "events": ("ground.cli.events", "events", "Show events, past and coming."),
    "jobs": ("ground.cli.jobs", "jobs", "List, submit, watch and control jobs."),
    "put": ("ground.cli.files", "put", "Send a file to the payload."),
    "get": ("ground.cli.files", "get", "Fetch a file from the payload."),
    "files": ("ground.cli.files", "files", "List the payload's files."),
    "commands": ("ground.cli.commands", "commands", "List telecommands, or explain one."),
    "history": ("ground.cli.history", "history", "Show what was sent, and what became of it."),
    "status": ("ground.cli.status", "status", "Show links, payloads and archive."),
    "decode": ("ground.cli.decode", "decode", "Export archived packets as CSV."),
}


class Lazy(click.Group):
    """Imports only the subcommand that is run."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[cmd_name]
        found: click.Command = getattr(importlib.import_module(module), attribute)
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, about[2]) for name, about in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from ground.errors import nearest

            ctx.fail(f"no command '{args[0]}'; {nearest(args[0], list(COMMANDS))}")
        return super().resolve_command(ctx, args)


@click.group(cls=Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--server", metavar="DIR", help="State folder of the server (or $VANALLEN_GROUND).")
@click.option("--payload", metavar="NAME", help="Which payload, where the server knows several.")
@click.pass_context
def ground(context: click.Context, server: str | None, payload: str | None) -> None:
    """Command and watch Van Allen payloads."""
    refuse_unfit(compiles=False)
    context.obj = {"server": server, "payload": payload}


def main(arguments: list[str] | None = None) -> Any:
    """Run the command line; what goes wrong is a sentence and exit code 1."""
    return ground.main(args=arguments, prog_name="ground")


if __name__ == "__main__":
    main()
