"""The supervisor's plan: which processes to start, where, and how long to wait for them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple


class PlanError(ValueError):
    """The plan cannot be flown; the message says what to write instead."""


class ProcessPlan(NamedTuple):
    """One process: what to execute and what it is to the payload."""

    name: str
    argv: tuple[str, ...]
    env: dict[str, str]
    channel: bool = False
    companion: bool = False
    ready_file: str | None = None
    startup_s: float | None = None


class Plan(NamedTuple):
    """Everything the supervisor needs to know; times are seconds."""

    run_dir: Path
    state_dir: Path
    payload_id: int | str
    processes: tuple[ProcessPlan, ...]
    executive: ProcessPlan
    silence_s: float = 2.0
    startup_s: float = 10.0
    startup_max_s: float = 600.0
    """How far the executive's start limit grows when its starts end in silence."""


def load(path: Path) -> Plan:
    """Read a plan file; raises PlanError with a sentence."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise PlanError(f"cannot read the plan {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise PlanError(f"the plan {path} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise PlanError(f"the plan {path} must be a JSON object")
    return parse(content)


def parse(content: dict[str, Any]) -> Plan:
    """Check a plan's content; raises PlanError with a sentence."""
    _known(content, "the plan", (*Plan._fields,))
    processes = tuple(_process(entry) for entry in _need(content, "processes", list))
    executive = dict(_need(content, "executive", dict))
    names = [process.name for process in processes]
    if len(set(names)) != len(names) or "executive" in names:
        raise PlanError(f"process names must differ from each other and from 'executive': {names}")
    return Plan(
        run_dir=Path(_need(content, "run_dir", str)),
        state_dir=Path(_need(content, "state_dir", str)),
        payload_id=_need(content, "payload_id", (int, str)),
        processes=processes,
        executive=_process({**executive, "name": "executive"}),
        silence_s=float(content.get("silence_s", 2.0)),
        startup_s=float(content.get("startup_s", 10.0)),
        startup_max_s=float(content.get("startup_max_s", 600.0)),
    )


def _process(entry: Any) -> ProcessPlan:
    if not isinstance(entry, dict):
        raise PlanError(f"a process of the plan must be an object, not {entry!r}")
    _known(entry, "a process of the plan", ProcessPlan._fields)
    name = _need(entry, "name", str)
    argv = tuple(str(part) for part in _need(entry, "argv", list))
    if not argv or not name or "/" in name:
        raise PlanError(f"process {name!r} needs a name without '/' and a command to execute")
    startup = entry.get("startup_s")
    return ProcessPlan(
        name=name,
        argv=argv,
        env={str(key): str(value) for key, value in dict(entry.get("env") or {}).items()},
        channel=bool(entry.get("channel", False)),
        companion=bool(entry.get("companion", False)),
        ready_file=entry.get("ready_file"),
        startup_s=None if startup is None else float(startup),
    )


def _need(content: dict[str, Any], key: str, kind: Any) -> Any:
    if not isinstance(content.get(key), kind):
        raise PlanError(f"the plan needs {key!r}; got {content.get(key)!r}")
    return content[key]


def _known(content: dict[str, Any], where: str, names: tuple[str, ...]) -> None:
    unknown = sorted(set(content) - set(names))
    if unknown:
        raise PlanError(f"{where} has unknown keys {unknown}; known are {sorted(names)}")
