"""Jobs as the dictionary describes them: how one is submitted, and what its rows say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ground.errors import CommandRefused, nearest
from ground.server.commanding import Request, arguments
from icd.codec import Codec, FieldError
from icd.dictionary import ComponentDictionary, Dictionary, JobFragment

if TYPE_CHECKING:
    from ground.server.payload import Payload

SUBMIT, LIST = "submit", "list"
DEFAULTS = {"priority": 0, "wall_s": 0, "memory_mb": 0, "protection": "ADAPTIVE"}
"""0 leaves a limit to what the job declares. ADAPTIVE is never less than the payload's quiet level
(checksums, as it comes), and more where the orbit or the measured rate calls for it."""
ENDED = frozenset({"done", "failed", "cancelled", "expired"})


def component_of(dictionary: Dictionary | None) -> ComponentDictionary:
    """The component that runs jobs: the one with a submit that takes a fragment hash."""
    for component in dictionary.components if dictionary else ():
        for command in component.commands:
            if command.name == SUBMIT and any(f.name == "fragment" for f in command.arguments):
                return component
    raise CommandRefused("this payload's dictionary has no component that runs jobs")


def status_of(component: ComponentDictionary) -> str:
    """The full name of the report that says how one job stands."""
    for report in component.reports:
        if {"job", "phase"} <= {field.name for field in report.fields}:
            return f"{component.name}.{report.name}"
    raise CommandRefused(f"the dictionary of '{component.name}' has no report on jobs")


def fragment_of(dictionary: Dictionary | None, name: str) -> JobFragment:
    """The fragment of a kind of job, by its name; raises CommandRefused naming the nearest."""
    fragments = {job.name: job for job in dictionary.jobs} if dictionary else {}
    if name not in fragments:
        raise CommandRefused(f"no job '{name}'; {nearest(name, sorted(fragments))}")
    return fragments[name]


def submit_request(
    payload: Payload, name: str, given: Mapping[str, Any], chosen: Mapping[str, int | str | None]
) -> Request:
    """The submit telecommand of a job, its arguments checked by the job's own fragment."""
    component = component_of(payload.dictionary)
    fragment = fragment_of(payload.dictionary, name)
    codec = Codec(fragment.parameters)
    values = arguments(name, fragment.parameters, given, defaults=fragment.defaults)
    try:
        codec.check(values)
        packed = codec.pack(values)
    except FieldError as error:
        raise CommandRefused(f"{name}: {error}") from error
    chosen = {key: value for key, value in chosen.items() if value is not None}
    entry = next(c for c in component.commands if c.name == SUBMIT)
    if missing := set(chosen) - {field.name for field in entry.arguments}:
        raise CommandRefused(f"this payload's jobs have no {min(missing)}; leave it out")
    offered: dict[str, Any] = {"kind": fragment.number, "fragment": fragment.hash}
    offered |= DEFAULTS | chosen | {"arguments": packed}
    taken = {field.name: offered[field.name] for field in entry.arguments if field.name in offered}
    request = payload.request(f"{component.name}.{SUBMIT}", taken)
    settings = {key: request.arguments[key] for key in chosen}
    shown = {"job": name} | codec_named(codec, values) | settings
    return Request(
        request.name,
        request.apid,
        request.service,
        request.subtype,
        request.data,
        shown,
        request.timeout_s,
        request.has_result,
    )


def codec_named(codec: Codec, values: tuple[Any, ...]) -> dict[str, Any]:
    """Values by field name."""
    return {field.name: value for field, value in zip(codec.fields, values, strict=True)}


async def refresh(payload: Payload, wait_s: float) -> None:
    """Have the payload report every job it knows, and forget those it does not."""
    component = component_of(payload.dictionary)
    if not any(c.name == LIST and not c.arguments for c in component.commands):
        return
    record = payload.send(payload.request(f"{component.name}.{LIST}", {}))
    await payload.changed.wait_for(lambda: record.is_settled, wait_s)
    expected = int((record.result or {}).get("jobs", 0))
    name = status_of(component)
    await payload.changed.wait_for(
        lambda: len(payload.table(name, record.cursor)) >= expected, min(wait_s, 1.0)
    )
    if record.state == "completed":
        payload.forget_rows(name, record.cursor, expected)


def rows(payload: Payload, after: int = 0) -> list[dict[str, Any]]:
    """The latest status of each job that changed after a cursor, by job id, with the names of its
    kind and of its metrics; a metric that the payload does not know is None."""
    component = component_of(payload.dictionary)
    found = payload.table(status_of(component), after)
    fragments = {job.number: job for job in payload.dictionary.jobs} if payload.dictionary else {}
    for row in found:
        fragment = fragments.get(row.get("kind", -1))
        row["name"] = fragment.name if fragment else f"kind {row.get('kind', '?')}"
        numbers = row.pop("metrics", ())
        metrics = fragment.metrics if fragment else ()
        known = row.pop("metrics_known", -1)  # earlier payloads do not say which they know
        row["metrics"] = {
            field.name: value if known >> index & 1 else None
            for index, (field, value) in enumerate(zip(metrics, numbers, strict=False))
        }
        row["ended"] = str(row.get("phase", "")).lower() in ENDED
    return sorted(found, key=lambda row: int(row.get("job", 0)))
