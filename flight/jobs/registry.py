"""Which jobs this payload can run: the ones that ship with it and the installed ones."""

from __future__ import annotations

import re
import sys
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import NamedTuple

from flight.jobs.declaration import JobDeclaration
from flight.jobs.imaging import JOB as IMAGING
from flight.jobs.matmul import JOB as MATMUL
from flight.jobs.nanogpt import JOB as NANOGPT
from icd.dictionary import Dictionary
from icd.fields import DeclarationError

GROUP = "vanallen.jobs"
"""The entry-point group in which a distribution offers its own jobs."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")
_ENTRY = re.compile(r"[\w.]+:\w+")

SHIPPED = (NANOGPT, MATMUL, IMAGING)


class Registry(NamedTuple):
    """The jobs that can be flown, and those that cannot."""

    jobs: dict[int, JobDeclaration]
    """By number, lowest first."""
    refused: tuple[tuple[str, str], ...] = ()
    """The name of each entry point that is no job which can be flown, and why."""


def jobs() -> dict[int, JobDeclaration]:
    """Every job that can be flown by number, lowest first; see `refused` for the others."""
    return registry().jobs


def refused() -> tuple[tuple[str, str], ...]:
    """What is installed as a job and cannot be flown: the entry point's name, and a sentence."""
    return registry().refused


@cache
def registry() -> Registry:
    """Look at what ships and at what is installed.

    What is installed is foreign code: whatever its import or its declaration raises is kept to it,
    and the rest flies.
    """
    found = {job.number: job for job in SHIPPED}
    wrong = []
    for point in _points():
        try:
            _add(found, _loaded(point))
        except DeclarationError as error:
            wrong.append((point.name, str(error)))
        except Exception as error:
            wrong.append((point.name, f"its declaration raised {type(error).__name__}: {error}"))
    return Registry(dict(sorted(found.items())), tuple(wrong))


def _points() -> list[EntryPoint]:
    try:
        return sorted(entry_points(group=GROUP), key=lambda point: point.name)
    except Exception as error:  # the metadata of any distribution may be damaged
        text = f"{type(error).__name__}: {error}"
        sys.stderr.write(f"installed jobs cannot be looked up: {text}\n")
        return []


def _loaded(point: EntryPoint) -> JobDeclaration:
    """What an entry point names; raises DeclarationError when it cannot be flown."""
    try:
        declaration = point.load()
    except (Exception, SystemExit) as error:
        raise DeclarationError(f"its import raised {type(error).__name__}: {error}") from None
    if not isinstance(declaration, JobDeclaration):
        raise DeclarationError(f"it is {declaration!r:.80}; point {GROUP} at a JobDeclaration")
    if type(declaration.number) is not int or not 0 < declaration.number < 1 << 16:
        raise DeclarationError(f"its number is {declaration.number!r}; give 1 … 65535")
    if not isinstance(declaration.name, str) or not _NAME.fullmatch(declaration.name):
        raise DeclarationError(f"its name is {declaration.name!r}; give 1 … 32 of a-z, 0-9, - _")
    if not isinstance(declaration.entry, str) or not _ENTRY.fullmatch(declaration.entry):
        raise DeclarationError(f"its entry is {declaration.entry!r}; give 'module:function'")
    # All that the payload will ask of it later; a declaration can be wrong in any of it.
    Dictionary((), (declaration.fragment(),)).to_json()
    _ = declaration.codec, declaration.metric_fields, declaration.fragment().hash
    return declaration


def by_name(name: str) -> JobDeclaration:
    """The job of that name; raises LookupError with the names there are."""
    for declaration in jobs().values():
        if declaration.name == name:
            return declaration
    for point, why in refused():
        if point == name:
            raise LookupError(f"job '{name}' cannot be flown: {why}")
    known = ", ".join(declaration.name for declaration in jobs().values())
    raise LookupError(f"no job '{name}'; give one of {known}")


def _add(found: dict[int, JobDeclaration], declaration: JobDeclaration) -> None:
    other = found.get(declaration.number)
    if other == declaration:
        return
    if other is not None:
        raise DeclarationError(
            f"jobs '{other.name}' and '{declaration.name}' are both number {declaration.number}; "
            f"give '{declaration.name}' another number"
        )
    if any(known.name == declaration.name for known in found.values()):
        raise DeclarationError(f"two jobs are named '{declaration.name}'; rename one of them")
    found[declaration.number] = declaration
