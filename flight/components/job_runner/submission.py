"""Checks what a submit asks for against the job's declaration."""

from __future__ import annotations

from collections.abc import Mapping

from flight.components.job_runner import stimuli as s
from flight.framework.ports import Refused
from flight.jobs.declaration import JobDeclaration
from flight.storage.file_names import FileNames
from icd.codec import FieldError, FieldFault
from icd.failures import FailureCode

_CODE_OF = {
    FieldFault.LENGTH: FailureCode.ARGUMENT_LENGTH,
    FieldFault.TYPE: FailureCode.ARGUMENT_TYPE,
    FieldFault.RANGE: FailureCode.ARGUMENT_RANGE,
    FieldFault.ENUM: FailureCode.ARGUMENT_ENUM,
}
Inputs = dict[str, tuple[str, str]]
"""Parameter → file-store name and storage path."""


def checked(
    jobs: Mapping[int, JobDeclaration],
    files: FileNames,
    submit: s.Submit,
    fragment: int,
) -> s.Submit:
    """The submission with its limits filled in; raises Refused with what to write instead."""
    declaration = jobs.get(submit.kind)
    if declaration is None:
        known = ", ".join(f"{number} {job.name}" for number, job in jobs.items()) or "none"
        raise Refused(f"no job kind {submit.kind}; known: {known}", FailureCode.NOT_FOUND)
    if fragment != declaration.fragment().hash:
        raise Refused(
            f"{declaration.name} takes other parameters than ground thinks; "
            "fetch the dictionary again"
        )
    try:
        inputs_of(declaration, submit.arguments, files)
    except FieldError as error:
        raise Refused(f"{declaration.name}: {error}", _CODE_OF[error.fault]) from None
    return s.Submit(
        submit.kind,
        submit.priority,
        _limit("wall_s", submit.wall_s, declaration.wall_s, "s"),
        _limit("memory_mb", submit.memory_mb, declaration.memory_mb, "MiB"),
        submit.arguments,
        submit.protection,
    )


def inputs_of(declaration: JobDeclaration, arguments: bytes, files: FileNames) -> Inputs:
    """The input files that arguments name.

    Raises FieldError for arguments that the declaration does not admit, Refused for a name that
    is no path of the file store.
    """
    values = declaration.codec.unpack(arguments)
    declaration.build(values)
    defaults = declaration.fragment().defaults
    inputs: Inputs = {}
    for field, value, default in zip(declaration.fields, values, defaults, strict=True):
        if not field.is_file:
            continue
        if value:
            inputs[field.name] = (value, _path(field.name, value, files))
        elif default is None:
            raise FieldError(FieldFault.TYPE, f"{field.name} is empty; name a file of the store")
    return inputs


def _path(field: str, name: str, files: FileNames) -> str:
    try:
        return files(name)
    except (Refused, ValueError) as error:
        raise Refused(f"{field}: {error}", FailureCode.ARGUMENT_RANGE) from None


def _limit(name: str, asked: int, declared: int, unit: str) -> int:
    if asked > declared:
        raise Refused(
            f"{name} = {asked} {unit}; give 1 … {declared} {unit}, or 0 for {declared} {unit}",
            FailureCode.ARGUMENT_RANGE,
        )
    return asked or declared
