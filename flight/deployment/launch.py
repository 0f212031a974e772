"""Turns a configuration into the supervisor's plan, and becomes the supervisor."""

from __future__ import annotations

import dataclasses
import json
import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flight.components.recovery.fault_table import controls_up_to, level_named
from flight.deployment.configuration import (
    BoardSettings,
    Configuration,
    ConfigurationError,
    address_of,
)
from flight.link.keys import NAME as KEYS_NAME
from flight.link.keys import parse as parse_keys
from flight.supervisor.shell import RunDirectoryInUseError, lock
from flight.workers.kernel_cache import VARIABLE as CACHE_VARIABLE
from flight.workers.kernel_cache import fallback
from hal import boards
from icd.link import KEY_SIZE

KEYS = KEYS_NAME
GPU_NUMBERS = "gpus.json"
"""Which GPU has which number: kept by board servers, each payload begins anew."""
LONGEST_RUN_PATH = 80
"""So that what lies in the run directory stays below the 107 octets of a socket's name."""


def default_state_dir() -> Path:
    """Where a payload keeps its state when nobody says where; raises ConfigurationError."""
    try:
        base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    except RuntimeError:
        raise ConfigurationError("this user has no home folder; give --state FOLDER") from None
    return Path(base) / "vanallen" / "payload-1"


def prepare(
    configuration: Configuration,
    state_dir: Path,
    run_dir: Path,
    warn: Callable[[str], None] = lambda _: None,
) -> Path:
    """Make the folders, the keys and the configurations of all processes; the plan's path.

    `warn` is told in a sentence what is flown around. Raises ConfigurationError, or hal's
    UnknownBoard.
    """
    state_dir, run_dir = state_dir.absolute(), run_dir.absolute()
    if len(str(run_dir)) > LONGEST_RUN_PATH:
        raise ConfigurationError(
            f"--run {run_dir} has {len(str(run_dir))} octets; give one of at most "
            f"{LONGEST_RUN_PATH}, such as /tmp/payload-1"
        )
    _check_board(boards.row(configuration.board.name), configuration.board, run_dir)
    _check_endpoint(configuration.link.endpoint)
    for folder in (state_dir, state_dir / "files", state_dir / "jobs"):
        _make(folder, "state")
    for folder in (run_dir, run_dir / "jobs"):
        _make(folder, "run")
    _check_private(run_dir, "run")
    _check_private(state_dir, "state")
    _check_unused(run_dir, state_dir)
    if not configuration.link.insecure:
        make_keys(state_dir / KEYS, [int(station) for station in configuration.stations])
    (run_dir / GPU_NUMBERS).unlink(missing_ok=True)
    cache, trouble = fallback(state_dir)
    if trouble:
        warn(f"{trouble}: compiled code is kept in {cache[CACHE_VARIABLE]}")
    plan = _plan(configuration, state_dir, run_dir, cache)
    return _write(run_dir / "plan.json", plan)


def _make(folder: Path, what: str) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        usable = os.access(folder, os.W_OK | os.X_OK)
        said = "" if usable else "it is another user's, or on a file system that is read-only"
    except OSError as error:
        said = error.strerror or str(error)
    if said:
        raise ConfigurationError(f"cannot write in {folder}: {said}; give another --{what} FOLDER")


def _check_board(row: boards.Row, board: BoardSettings, run_dir: Path) -> None:
    """Refuse what the board's companion would not play: GPUs, or a scenario; it says why."""
    if board.gpus != 1 and not row.takes_gpus:
        raise ConfigurationError(
            f"how many GPUs {row.name} has is not ours to say; give --board emulated-h100, or "
            "leave the number out"
        )
    scenario = board.scenario
    if not scenario:
        return
    companion = row.companion(run_dir, scenario, board.gpus)
    if companion is None:
        raise ConfigurationError(
            f"a scenario needs an emulated board, which {row.name} is not; give --board "
            "emulated-h100, or leave the scenario out"
        )
    check = subprocess.run([*companion, "--check"], capture_output=True, text=True, check=False)
    if check.returncode:
        said = check.stderr.strip().removeprefix("Error: ")
        raise ConfigurationError(f"scenario {scenario}: {said}")


def _check_endpoint(endpoint: str) -> None:
    """Refuse where nobody can listen now, before an executive fails at it again and again."""
    address, port = address_of(endpoint)
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind((address, port))
    except OSError as error:
        raise ConfigurationError(
            f"cannot listen at {endpoint}: {error.strerror}; give another port, or * for a "
            "free one, and an address of this computer"
        ) from None


def _check_private(folder: Path, what: str) -> None:
    """Refuse a folder in which others could replace what the payload trusts."""
    if folder.stat().st_mode & 0o022:
        raise ConfigurationError(
            f"others can write in {folder}; chmod 700 it, or give a --{what} of its own"
        )


def _check_unused(run_dir: Path, state_dir: Path) -> None:
    """Refuse folders in use before anything in them, such as the plan they run by, is replaced."""
    try:
        for folder, what in ((run_dir, "run"), (state_dir, "state")):
            os.close(lock(folder, what))
    except RunDirectoryInUseError as error:
        raise ConfigurationError(str(error)) from None


def make_keys(path: Path, slots: list[int]) -> bool:
    """Make a key for each slot that has none yet, readable by the owner only; True if any.

    Raises ConfigurationError when the file is not a keys file, or others can read it.
    """
    keys = _read_keys(path) if path.exists() else {}
    missing = {str(slot): secrets.token_hex(KEY_SIZE) for slot in slots if str(slot) not in keys}
    if missing:
        temporary = path.with_suffix(".new")
        temporary.unlink(missing_ok=True)
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump({"slots": keys | missing}, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    return bool(missing)


def _read_keys(path: Path) -> dict[str, str]:
    if path.stat().st_mode & 0o077:
        raise ConfigurationError(f"others can read the keys in {path}; chmod 600 it")
    keys, wrong = parse_keys(path.read_bytes())
    if wrong:
        raise ConfigurationError(f"{path} is not a keys file: {wrong[0]}; move it away")
    return {str(slot): key.hex() for slot, key in keys.items()}


def become_supervisor(plan: Path) -> None:
    """Replace this process by the supervisor, which needs the standard library only."""
    os.execv(sys.executable, [sys.executable, "-m", "flight.supervisor", str(plan)])


def _plan(
    configuration: Configuration, state_dir: Path, run_dir: Path, cache: dict[str, str]
) -> dict[str, Any]:
    row = boards.row(configuration.board.name)
    environment = {**row.environment(run_dir), "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    environment |= cache
    folders = {"state_dir": str(state_dir), "run_dir": str(run_dir)}
    contents: dict[str, dict[str, Any]] = {
        "storage": folders,
        "board": {
            **folders,
            "board": configuration.board.name,
            "period_s": configuration.board.period_s,
            "allow_control": _controls(configuration),
        },
        "launcher": {**folders, "compute": configuration.compute},
        "scrub": folders,
        "executive": {**folders, "configuration": dataclasses.asdict(configuration)},
    }
    if configuration.watchdog.device:
        contents["hardware_watchdog"] = dataclasses.asdict(configuration.watchdog)
    paths = {name: _write(run_dir / f"{name}.json", body) for name, body in contents.items()}
    modules = {
        "storage": "flight.storage.worker.worker",
        "board": "flight.components.board.worker.server",
        "launcher": "flight.components.job_runner.worker.launcher",
        "scrub": "flight.components.scrubber.worker.worker",
        "hardware_watchdog": "flight.components.watchdog.worker.hardware",
    }
    processes: list[dict[str, Any]] = []
    settings = configuration.board
    if companion := row.companion(run_dir, settings.scenario, settings.gpus):
        processes.append(
            {
                "name": "companion",
                "argv": companion,
                "env": cache,
                "companion": True,
                "ready_file": str(row.ready_file(run_dir)),
                "startup_s": 60.0,
            }
        )
    processes += [
        {"name": name, "argv": _python(module, paths[name]), "env": environment, "channel": True}
        for name, module in modules.items()
        if name in paths
    ]
    executive = {"argv": _python("flight.executive.process", paths["executive"]), "env": {}}
    return {
        **folders,
        "payload_id": configuration.payload_id,
        "processes": processes,
        "executive": executive,
    }


def _controls(configuration: Configuration) -> list[str]:
    """The board's controls that are allowed by name, or by the highest level of recovery."""
    level = level_named(configuration.recovery.max_level)
    return [*dict.fromkeys((*configuration.board.allow_control, *controls_up_to(level)))]


def _python(module: str, path: Path) -> list[str]:
    return [sys.executable, "-m", module, str(path)]


def _write(path: Path, content: dict[str, Any]) -> Path:
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps(content, indent=1))
    temporary.replace(path)
    return path
