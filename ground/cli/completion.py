"""Shell completion of command names, arguments and jobs, from the dictionaries in the state folder;
no server is asked."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from icd.dictionary import Dictionary
    from icd.fields import Field


def newest_dictionary(context: click.Context) -> Dictionary | None:
    """The dictionary last given to the server that this command line names."""
    from icd.dictionary import Dictionary

    root = context.find_root().params.get("server")
    folder = context.params.get("server") or root or os.environ.get("VANALLEN_GROUND")
    kept = sorted(
        (Path(folder) / "dictionaries").glob("*.json") if folder else [],
        key=lambda path: path.stat().st_mtime,
    )
    try:
        return Dictionary.from_json(kept[-1].read_text()) if kept else None
    except (OSError, ValueError):
        return None


def complete_command(
    context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Names of telecommands with their descriptions."""
    from click.shell_completion import CompletionItem

    from ground.server.commanding import Catalogue

    known = Catalogue(newest_dictionary(context)).known
    return [
        CompletionItem(name, help=known[name].entry.description)
        for name in sorted(known)
        if name.startswith(incomplete)
    ]


def complete_argument(
    context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """NAME= of the arguments not given yet, and the labels of an enumeration after it."""
    from ground.server.commanding import Catalogue

    known = Catalogue(newest_dictionary(context)).known.get(context.params.get("name") or "")
    fields = known.entry.arguments if known else ()
    return items(fields, context.params.get("arguments") or (), incomplete)


def complete_job(
    context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Names of jobs with their descriptions."""
    from click.shell_completion import CompletionItem

    dictionary = newest_dictionary(context)
    return [
        CompletionItem(job.name, help=job.description)
        for job in (dictionary.jobs if dictionary else ())
        if job.name.startswith(incomplete)
    ]


def complete_job_argument(
    context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """NAME= of the parameters of the job that is being submitted."""
    dictionary = newest_dictionary(context)
    wanted = context.params.get("name")
    for job in dictionary.jobs if dictionary else ():
        if job.name == wanted:
            return items(job.parameters, context.params.get("arguments") or (), incomplete)
    return []


def items(
    fields: tuple[Field, ...], given: tuple[str, ...], incomplete: str
) -> list[CompletionItem]:
    """Completions of one ARG=VALUE word."""
    from click.shell_completion import CompletionItem

    from ground.server.commanding import describe

    name, equals, value = incomplete.partition("=")
    if equals:
        return [
            CompletionItem(f"{name}={label}")
            for field in fields
            if field.name == name
            for _, label in field.labels
            if label.startswith(value)
        ]
    taken = {word.partition("=")[0] for word in given}
    return [
        CompletionItem(f"{field.name}=", help=f"{describe(field)}; {field.description}")
        for field in fields
        if field.name.startswith(incomplete) and field.name not in taken
    ]
