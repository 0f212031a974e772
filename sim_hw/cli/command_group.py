"""A group of commands whose options, such as the board's folder, are not needed to ask for help."""

from __future__ import annotations

import click


class CommandGroup(click.Group):
    """`GROUP COMMAND --help` explains the command though an option of the group is missing."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        named = [word for word in args if word in self.commands]
        if "--help" in args and named:
            self.commands[named[0]].make_context(named[0], ["--help"], parent=ctx)  # exits
        return super().parse_args(ctx, args)
