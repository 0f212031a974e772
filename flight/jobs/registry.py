"""Which jobs this payload can run: the ones that ship with it and the installed ones."""

from __future__ import annotations

from functools import cache
from importlib.metadata import entry_points

from flight.jobs.declaration import JobDeclaration
from flight.jobs.imaging import JOB as IMAGING
from flight.jobs.matmul import JOB as MATMUL
from flight.jobs.nanogpt import JOB as NANOGPT
from icd.fields import DeclarationError

GROUP = "vanallen.jobs"
"""The entry-point group in which a distribution offers its own jobs."""

SHIPPED = (NANOGPT, MATMUL, IMAGING)


@cache
def jobs() -> dict[int, JobDeclaration]:
    """Every known job by number, lowest first.

    Raises DeclarationError when two jobs share a number or a name, or an entry point is no job.
    """
    found = {job.number: job for job in SHIPPED}
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        declaration = point.load()
        if not isinstance(declaration, JobDeclaration):
            raise DeclarationError(
                f"entry point '{point.name}' in {GROUP} is {declaration!r}; point it at a "
                "JobDeclaration"
            )
        _add(found, declaration)
    return dict(sorted(found.items()))


def by_name(name: str) -> JobDeclaration:
    """The job of that name; raises LookupError with the names there are."""
    for declaration in jobs().values():
        if declaration.name == name:
            return declaration
    known = ", ".join(declaration.name for declaration in jobs().values())
    raise LookupError(f"no job '{name}'; give one of {known}")


def _add(found: dict[int, JobDeclaration], declaration: JobDeclaration) -> None:
    other = found.get(declaration.number)
    if other == declaration:
        return
    if other is not None:
        raise DeclarationError(
            f"jobs '{other.name}' and '{declaration.name}' are both number {declaration.number}; "
            "give one of them another number"
        )
    if any(known.name == declaration.name for known in found.values()):
        raise DeclarationError(f"two jobs are named '{declaration.name}'; rename one of them")
    found[declaration.number] = declaration
