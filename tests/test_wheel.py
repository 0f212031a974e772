"""The wheel without extras: every command explains itself, and says which extra it lacks."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.markers import Marker

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("icd", "flight", "hal", "sim_hw", "ground")
PIN = re.compile(r"^([a-z][a-z0-9-]*)==([^ ]+?)(?: ; (.*?))? \\$", re.MULTILINE)
NOT_RUN = {"setuptools"}
"""In run.txt to build the wheel, and not there when it runs."""
HELP = """
import importlib, sys
import click
from click.testing import CliRunner

def walk(command, words):
    yield command, words
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            yield from walk(command.get_command(context, name), [*words, name])

main = importlib.import_module(sys.argv[1] + ".__main__")
top = getattr(main, "ground", main.main)
for _, words in walk(top, []):
    result = CliRunner().invoke(top, [*words, "--help"])
    assert result.exit_code == 0, (words, result.output, result.exception)
    assert "Usage:" in result.output, words
    print(*words)
"""

# One environment for all: on a busy machine it takes most of a minute to make.
pytestmark = [
    pytest.mark.verifies("VA-REP-07"),
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.xdist_group("wheel"),
]


def build(folder: Path) -> Path:
    """The wheel of this tree, made from a copy of it, with nothing downloaded."""
    source = folder / "source"
    for package in PACKAGES:
        unwanted = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, source / package, ignore=unwanted)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(source))
    (wheel,) = folder.glob("*.whl")
    return wheel


def pip(*arguments: str) -> None:
    """Run pip, which must find what it needs here."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q", *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def core() -> list[metadata.Distribution]:
    """What requirements/run.txt gives to this Python, as it is installed beside the tests."""
    pins = PIN.findall((ROOT / "requirements/run.txt").read_text(encoding="utf-8"))
    chosen = [
        metadata.distribution(name)
        for name, _, marker in pins
        if name not in NOT_RUN and (not marker or Marker(marker).evaluate())
    ]
    versions = {(re.sub("[-_.]+", "-", one.name), one.version) for one in chosen}
    assert versions <= {(name, version) for name, version, _ in pins}
    return chosen


def lend(distribution: metadata.Distribution, site: Path) -> None:
    """Make an installed distribution importable from another environment, by links."""
    for file in distribution.files or ():
        top = file.parts[0]
        if top not in ("..", "__pycache__") and not (site / top).exists():
            (site / top).symlink_to(Path(str(distribution.locate_file(top))))


class Bare:
    """An environment with the wheel and the core requirements, and no compiler on its path."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        venv = folder / "venv"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
        self.bin = venv / "bin"
        (site,) = venv.glob("lib/python3.*/site-packages")
        for distribution in core():
            lend(distribution, site)
        pip("--python", str(self.bin / "python"), "install", "--no-deps", str(build(folder)))

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment, away from the checkout."""
        with self.start(*command) as process:
            out, err = process.communicate(timeout=100)
        return subprocess.CompletedProcess(command, process.returncode, out, err)

    def start(self, *command: str, path: str = "") -> subprocess.Popen[str]:
        """Start one; `path` is where it finds a compiler."""
        home = str(self.folder)
        environment = {
            "HOME": home,
            "PATH": f"{self.bin}:{path}".rstrip(":"),
            "PYTHONWARNINGS": "ignore",
        }
        return subprocess.Popen(
            [str(self.bin / command[0]), *command[1:]],
            cwd=home,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


@pytest.fixture(scope="session")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Bare:
    """One for all tests of this file."""
    return Bare(tmp_path_factory.mktemp("bare"))


@pytest.mark.parametrize("program", ["flight", "ground", "sim_hw"])
def test_every_command_of_a_bare_installation_explains_itself(bare: Bare, program: str) -> None:
    as_installed = bare.run(program, "--help")
    assert as_installed.returncode == 0, as_installed.stderr
    all_commands = bare.run("python", "-c", HELP, program)
    assert all_commands.returncode == 0, all_commands.stdout + all_commands.stderr
    assert len(all_commands.stdout.splitlines()) > 10


def test_a_bare_installation_has_all_that_its_wheel_asks_for_and_no_extra(bare: Bare) -> None:
    pip("--python", str(bare.bin / "python"), "check")
    optional = "matplotlib", "numba_cuda", "sgp4", "textual", "torch", "ziglang"
    code = f"import importlib.util as u; print([m for m in {optional} if u.find_spec(m)])"
    assert bare.run("python", "-c", code).stdout.strip() == "[]"


CUDA = "pip install '.[cuda13]', or '.[cuda12]'"
LACKS = {
    ("sim_hw", "run", "quiet-day"): "Error: this needs sgp4: pip install '.[sim]'",
    ("sim_hw", "expect", "quiet-day"): "Error: this needs sgp4: pip install '.[sim]'",
    ("sim_hw", "forecast", "quiet-day"): "Error: this needs sgp4: pip install '.[sim]'",
    ("sim_hw", "board", "--scenario", "quiet-day", "--dir", "b"): (
        "Error: this needs sgp4: pip install '.[sim]'"
    ),
    ("flight", "run", "--scenario", "quiet-day", "--state", "s", "--run", "r"): (
        "Error: scenario quiet-day: this needs sgp4: pip install '.[sim]'"
    ),
    ("sim_hw", "plot", "truth.jsonl"): "Error: this needs matplotlib: pip install '.[plot]'",
    ("sim_hw", "board", "--dir", "b"): (
        "Error: no C compiler for the emulated board; apt install gcc, or pip install '.[zig]'"
    ),
    ("flight", "doctor", "--config", "cuda.toml", "--state", "s", "--run", "r"): CUDA,
    ("flight", "run", "--config", "cuda.toml", "--state", "s", "--run", "r" * 100): (
        f"warning: compute = 'cuda' needs numba-cuda: {CUDA}; until then every job fails"
    ),
}


@pytest.mark.parametrize("command", LACKS, ids=" ".join)
def test_a_command_whose_extra_is_missing_says_which_to_install(
    bare: Bare, command: tuple[str, ...]
) -> None:
    (bare.folder / "cuda.toml").write_text('compute = "cuda"\n')
    (bare.folder / "truth.jsonl").write_text('{"type": "scenario"}\n{"type": "end", "t": 1.0}\n')
    ended = bare.run(*command)
    assert ended.returncode == 1
    assert LACKS[command] in ended.stdout + ended.stderr
    assert "Traceback" not in ended.stdout + ended.stderr


def test_a_payload_flies_on_an_emulated_board_without_extras(bare: Bare) -> None:
    with tempfile.TemporaryDirectory() as short:
        folders = "--state", f"{short}/s", "--run", f"{short}/r"
        with bare.start("flight", "run", *folders, path=os.environ["PATH"]) as payload:
            assert payload.stdout is not None
            try:
                assert "payload 1 is ready" in payload.stdout.readline()
            finally:
                payload.terminate()


def test_what_needs_no_extra_works_without(bare: Bare) -> None:
    scenarios = bare.run("sim_hw", "scenarios")
    assert (scenarios.returncode, len(scenarios.stdout.splitlines())) == (0, 9)
    (bare.folder / "one.jsonl").write_text('{"type": "scenario"}\n')
    assert bare.run("sim_hw", "truth", "one.jsonl").returncode == 0
    assert bare.run("flight", "board", "list").returncode == 0
