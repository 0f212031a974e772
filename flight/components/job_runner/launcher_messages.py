"""Messages of the launcher, checked: what it sends is not trusted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from flight.components.job_runner import stimuli as s
from flight.components.job_runner.ports import JobSettings
from flight.components.job_runner.records import JobRecord
from flight.fault_tolerance.levels import Level
from flight.framework.ports import WorkerMessage
from flight.jobs.declaration import JobDeclaration
from icd.fields import Field

MIB = 1 << 20
MOST_ROWS = 1024
LIMITS = ("memory", "wall", "cpu")
_U32 = (1, 2**32 - 1)
_U63 = (0, 2**63 - 1)


class MessageError(ValueError):
    """A message that is not what was agreed; the sentence says where."""


def understood(message: WorkerMessage) -> s.Stimulus | None:
    """What a message says, if it matters; raises MessageError. Pages are still to be read."""
    read = _READERS.get(message.kind)
    if read is None:
        raise MessageError(f"known are {', '.join(_READERS)}")
    stimulus: s.Stimulus | None = read(message.body)
    return stimulus


def launched(body: Mapping[str, Any]) -> s.Launched:
    """Read `launched`; raises MessageError."""
    pid, start_time = _number(body, "pid", *_U32), _number(body, "start_time", *_U63)
    return s.Launched(_job(body), pid, start_time, _order(body))


def refused(body: Mapping[str, Any]) -> s.NotLaunched:
    """Read `refused`; raises MessageError."""
    text = body.get("text")
    if not isinstance(text, str):
        raise MessageError("text is no text")
    return s.NotLaunched(_job(body), f"the launcher refused: {text[:160]}", True, _order(body))


def exited(body: Mapping[str, Any]) -> s.Exited:
    """Read `exited`, `rss_peak` in octets; raises MessageError. The page is still to be read."""
    return s.Exited(
        _job(body),
        _number(body, "pid", *_U32),
        None if body.get("status") is None else _number(body, "status", -255, 255),
        0 if body.get("signal") is None else _number(body, "signal", 0, 127),
        _number(body, "rss_peak", *_U63) // MIB,
        reason if (reason := body.get("reason")) in LIMITS else "",
        order=_order(body),
    )


def unkillable(body: Mapping[str, Any]) -> s.Unkillable:
    """Read `unkillable`; raises MessageError."""
    return s.Unkillable(_job(body), _number(body, "pid", *_U32))


def warm(_: Mapping[str, Any]) -> None:
    """The launcher has imported what jobs need; nothing to do."""


def table(body: Mapping[str, Any]) -> s.LauncherTable:
    """Read `table`; raises MessageError. The pages are still to be read."""
    alive, ended = _rows(body, "jobs"), _rows(body, "exited")
    processes = []
    for row in alive:
        if not isinstance(row, list | tuple) or len(row) != 4:
            raise MessageError("a row of jobs is not [job id, pid, start time, order]")
        named = dict(zip(("job_id", "pid", "start_time", "id"), row, strict=True))
        found = launched(named)
        processes.append(s.Process(found.job, found.pid, found.start_time, found.order))
    exits = tuple(map(_exited_row, ended))
    return s.LauncherTable(tuple(processes), exits, {}, _order(body))


def _exited_row(row: Any) -> s.Exited:
    if not isinstance(row, dict):
        raise MessageError("a row of exited is no map")
    return exited(row)


def _rows(body: Mapping[str, Any], key: str) -> list[Any]:
    rows = body.get(key)
    if not isinstance(rows, list | tuple) or len(rows) > MOST_ROWS:
        raise MessageError(f"{key} is no list of at most {MOST_ROWS} rows")
    return list(rows)


def _job(body: Mapping[str, Any]) -> int:
    return _number(body, "job_id", *_U32)


def _order(body: Mapping[str, Any]) -> int:
    """The number of the order that it is about; 0: nobody knows."""
    return _number(body, "id", *_U63) if body.get("id") is not None else 0


def _number(body: Mapping[str, Any], key: str, low: int, high: int) -> int:
    value = body.get(key)
    if type(value) is not int or not low <= value <= high:
        raise MessageError(f"{key} is no whole number from {low} to {high}")
    return value


_READERS: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {
    "launched": launched,
    "refused": refused,
    "exited": exited,
    "table": table,
    "unkillable": unkillable,
    "warm": warm,
}


# ---------------------------------------------------------------- what the launcher is sent


def launch_body(
    order: int,
    record: JobRecord,
    declaration: JobDeclaration,
    inputs: Mapping[str, tuple[str, str]],
    resume: str | None,
    level: Level,
    settings: JobSettings,
) -> dict[str, Any]:
    """The body of `launch`; `inputs` are parameter → (name, storage path)."""
    return {
        "id": order,
        "job_id": record.id,
        "kind": record.kind,
        "entry": declaration.entry,
        "parameters": record.arguments,
        "folder": settings.absolute(f"run/jobs/{record.id}"),
        "inputs": {field: settings.absolute(path) for field, (_, path) in inputs.items()},
        # Wall time is counted by the lifecycle, which leaves out pauses.
        "limits": {"memory_mb": record.memory_mb, "wall_s": 0, "cpu_s": declaration.cpu_s},
        "resume": None if resume is None else settings.absolute(resume),
        "level": int(level),
    }


def plain_parameters(declaration: JobDeclaration, arguments: bytes) -> dict[str, Any]:
    """Parameters as a manifest shows them: labels for enumerations, numbers and texts as such."""
    values = declaration.codec.unpack(arguments)
    return {f.name: _plain(f, v) for f, v in zip(declaration.fields, values, strict=True)}


def _plain(field: Field, value: Any) -> Any:
    labels = dict(field.labels)
    if value in labels:
        return labels[value]
    return value.hex() if isinstance(value, bytes) else value
