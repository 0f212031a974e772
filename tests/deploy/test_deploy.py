"""What is copied to a machine: units, rules and example configurations that cannot go stale."""

from __future__ import annotations

import dataclasses
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, get_type_hints

import click
import pytest

from flight.__main__ import main as flight
from flight.deployment.configuration import Configuration, from_toml
from ground.__main__ import ground
from hal import boards
from hal.device import CONTROLS

DEPLOY = Path(__file__).parents[2] / "deploy"
UNITS = DEPLOY / "systemd"
GPU_BOX = (DEPLOY.parent / "docs" / "gpu-box.md").read_text(encoding="utf-8")
PAYLOAD, GROUND = UNITS / "vanallen-payload@.service", UNITS / "vanallen-ground.service"
DROP_INS = sorted(UNITS.glob("*.conf"))
EXAMPLES = sorted(DEPLOY.glob("*.toml"))
PROGRAMS = {"/opt/vanallen/bin/flight": flight, "/opt/vanallen/bin/ground": ground}
SECTIONS = {"Unit", "Service", "Install"}
LONGEST_RECOVERY_S = 30
"""The supervisor's longest back-off between two starts of the executive."""


def settings(path: Path) -> dict[str, list[str]]:
    """Every assignment of a unit file; fails on a line that is neither that, nor a section."""
    found: dict[str, list[str]] = {}
    section = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line or line[0] in "#;":
            continue
        if line.startswith("["):
            section = line.strip("[]")
            assert section in SECTIONS, f"{path}: {line}"
            continue
        name, equals, value = line.partition("=")
        assert equals, f"{path}: {line!r} is no assignment"
        assert section, f"{path}: {line!r} is in no section"
        found.setdefault(name, []).append(value)
    return found


def only(path: Path, name: str) -> str:
    """The one value of a setting."""
    (value,) = settings(path)[name]
    return value


def commands(path: Path) -> list[list[str]]:
    """The words of every command that a unit runs, without their prefixes."""
    lines = [v for k, values in settings(path).items() if k.startswith("Exec") for v in values]
    return [shlex.split(line.lstrip("-+!@:")) for line in lines]


def keys(kind: Any, prefix: str = "") -> list[str]:
    """Every key of a configuration, with the table it is in."""
    hints = get_type_hints(kind)
    found = []
    for field in dataclasses.fields(kind):
        inner = hints[field.name]
        nested = dataclasses.is_dataclass(inner)
        found += keys(inner, f"{field.name}.") if nested else [prefix + field.name]
    return found


def mentioned(path: Path) -> set[str]:
    """Every key and table that an example sets, or shows in a comment as `# key = value`."""
    found, table = set(), ""
    for line in path.read_text(encoding="utf-8").splitlines():
        if match := re.match(r"#? ?\[([\w.]+)\]", line):
            table = match[1] + "."
            found.add(match[1])
        elif match := re.match(r"#? ?(\w+) *= ", line):
            found.add(table + match[1])
    return found


@pytest.mark.verifies("VA-OPS-03")
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_configuration_loads_and_mentions_every_key(path: Path) -> None:
    configuration = from_toml(path)
    assert configuration.board.name in boards.names()
    missing = set(keys(Configuration)) - mentioned(path)
    assert not missing, f"{path.name} does not mention {sorted(missing)}: add them, commented"


@pytest.mark.verifies("VA-BRD-04", "VA-OPS-03")
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_configuration_arms_and_changes_nothing(path: Path) -> None:
    configuration = from_toml(path)
    assert configuration.board.allow_control == ()
    assert configuration.recovery.max_level == "L1"
    assert configuration.watchdog.device == ""
    assert not configuration.link.insecure
    assert configuration.link.endpoint.startswith("tcp://127.0.0.1:")


def test_every_control_is_explained_where_it_can_be_enabled() -> None:
    examples = "".join(path.read_text(encoding="utf-8") for path in EXAMPLES)
    unexplained = [name for name in CONTROLS if f'"{name}"' not in examples]
    assert not unexplained
    assert not set(re.findall(r"^\| `(\w+)` \|", GPU_BOX, re.M)) - CONTROLS.keys()


def test_there_are_examples_for_a_jetson_and_a_gpu_host() -> None:
    assert {path.name for path in EXAMPLES} >= {"h100.toml", "orin.toml"}


@pytest.mark.parametrize("path", [PAYLOAD, GROUND], ids=lambda path: path.name)
def test_a_unit_calls_commands_with_options_that_they_have(path: Path) -> None:
    for program, *arguments in commands(path):
        group = PROGRAMS[program]
        command = group.get_command(click.Context(group), arguments[0])
        assert command is not None
        known = {option for parameter in command.params for option in parameter.opts}
        used = {word for word in arguments[1:] if word.startswith("--")}
        assert used <= known, f"{path.name}: {program} has no {sorted(used - known)}"


@pytest.mark.verifies("VA-SUP-08")
def test_systemd_restarts_a_payload_that_stops_vouching_for_itself_and_not_for_ever() -> None:
    assert only(PAYLOAD, "Type") == "notify"
    assert only(PAYLOAD, "NotifyAccess") == "main"
    assert int(only(PAYLOAD, "WatchdogSec")) > LONGEST_RECOVERY_S
    assert only(PAYLOAD, "Restart") == "always"
    assert int(only(PAYLOAD, "StartLimitBurst")) > 0
    assert int(only(PAYLOAD, "StartLimitIntervalSec")) > int(only(PAYLOAD, "StartLimitBurst")) * 60
    assert only(PAYLOAD, "KillMode") == "mixed"
    assert only(PAYLOAD, "OOMPolicy") == "continue"


def test_the_sandbox_leaves_the_gpu_and_the_compilers_alone() -> None:
    taken = {"PrivateDevices", "DevicePolicy", "DeviceAllow", "ProtectClock"}
    taken |= {"MemoryDenyWriteExecute", "ProcSubset", "ProtectKernelLogs", "SystemCallFilter"}
    for path in (PAYLOAD, *DROP_INS):
        assert not taken & settings(path).keys(), path


@pytest.mark.parametrize("path", [PAYLOAD, GROUND], ids=lambda path: path.name)
def test_a_service_is_no_superuser_and_writes_its_own_folders_only(path: Path) -> None:
    assert only(path, "User") == "vanallen"
    assert only(path, "NoNewPrivileges") == "yes"
    assert only(path, "CapabilityBoundingSet") == ""
    assert only(path, "ProtectSystem") == "strict"
    assert only(path, "StateDirectoryMode") == "0700"
    assert only(path, "UMask") == "0077"


def test_a_report_of_the_doctor_never_grounds_a_payload() -> None:
    assert only(PAYLOAD, "ExecStartPre").startswith("-")


def test_the_user_of_the_units_is_made_and_may_use_gpus() -> None:
    lines = [shlex.split(line) for line in (UNITS / "vanallen.sysusers").read_text().splitlines()]
    made = [tuple(words[:3]) for words in lines if words and words[0] != "#"]
    assert ("g", "vanallen", "-") in made
    assert {("m", "vanallen", "video"), ("m", "vanallen", "render")} <= set(made)
    rules = (DEPLOY / "70-vanallen.rules").read_text()
    assert 'GROUP="vanallen", MODE="0660"' in rules


def test_every_file_to_install_is_in_the_instructions_and_the_other_way_round() -> None:
    text = (DEPLOY / "README.md").read_text(encoding="utf-8")
    files = {path for path in DEPLOY.rglob("*") if path.is_file()} - {DEPLOY / "README.md"}
    unnamed = {path.name for path in files if path.name not in text}
    assert not unnamed
    named = set(re.findall(r"deploy/[\w./@-]*\w", text))
    gone = {name for name in named if not (DEPLOY.parent / name).exists()}
    assert not gone


def test_the_units_are_well_formed() -> None:
    assert all(settings(path) for path in (PAYLOAD, GROUND, *DROP_INS))


def test_systemd_finds_nothing_wrong_with_the_units(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed")
    programs = {**dict.fromkeys(PROGRAMS, sys.executable), "/usr/bin/nvidia-modprobe": "/bin/true"}
    beside = tmp_path / f"{PAYLOAD.name}.d"
    beside.mkdir()
    for path in (PAYLOAD, GROUND, *DROP_INS):
        text = path.read_text(encoding="utf-8")
        for program, stands_for_it in programs.items():
            text = text.replace(program, stands_for_it)
        (beside if path in DROP_INS else tmp_path).joinpath(path.name).write_text(text)
    units = [tmp_path / "vanallen-payload@p1.service", tmp_path / GROUND.name]
    shutil.copy(tmp_path / PAYLOAD.name, units[0])
    found = subprocess.run(
        [analyze, "verify", "--man=no", "--recursive-errors=no", *map(str, units)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    ours = [line for line in found.stderr.splitlines() if "vanallen" in line]
    assert (found.returncode, ours) == (0, [])
