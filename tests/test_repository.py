"""The repository keeps its own rules: set-up, locks, contracts, traces, and the checks of them."""

from __future__ import annotations

import ast
import re
import shutil
import stat
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from packaging.markers import Marker

from icd import extras
from tools import check_coverage, check_determinism, check_names, check_requirements

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("icd", "flight", "hal", "sim_hw", "ground")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
WATCHDOG = "flight/components/watchdog"
LINT_IMPORTS = "from importlinter.cli import lint_imports_command as main; main()"
TEXTS = {".md", ".py", ".toml", ".sh", ".service", ".conf"}
PIN = re.compile(r"^([a-z][a-z0-9-]*)==([^ ]+?)(?: ; (.*?))? \\$", re.MULTILINE)


def pins(lock: str) -> set[tuple[str, str, str]]:
    """(name, version, marker) of every package that a lock file holds."""
    text = (ROOT / "requirements" / f"{lock}.txt").read_text(encoding="utf-8")
    return set(PIN.findall(text))


def imports(tree: ast.Module) -> set[str]:
    """The top names of the modules that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found


def fake_python(folder: Path, name: str, version: str, *, makes_environments: bool = True) -> None:
    """A command that claims to be a Python of that version."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    answer = 0 if makes_environments else 1
    path.write_text(
        f'#!/bin/sh\ncase "$2" in *ensurepip*) exit {answer};; esac\necho "{version} {path}"\n',
        encoding="utf-8",
    )
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def find_python(*arguments: str, path: Path) -> subprocess.CompletedProcess[str]:
    """Run tools/find_python.sh with nothing but `path` to look in."""
    shell = shutil.which("sh")
    assert shell
    return subprocess.run(
        [shell, str(ROOT / "tools/find_python.sh"), *arguments],
        env={"PATH": str(path)},
        capture_output=True,
        text=True,
        timeout=20,
    )


class TestFindingPython:
    @pytest.mark.verifies("VA-REP-02")
    @pytest.mark.parametrize("version", ["3.10", "3.11", "3.12", "3.13"])
    def test_a_python_that_works_is_found(self, tmp_path: Path, version: str) -> None:
        fake_python(tmp_path, "python3", version)
        assert find_python(path=tmp_path).stdout.strip() == str(tmp_path / "python3")

    def test_the_newest_that_works_is_preferred(self, tmp_path: Path) -> None:
        fake_python(tmp_path, "python3.10", "3.10")
        fake_python(tmp_path, "python3.12", "3.12")
        fake_python(tmp_path, "python3", "3.14")
        assert find_python(path=tmp_path).stdout.strip() == str(tmp_path / "python3.12")

    @pytest.mark.verifies("VA-REP-02")
    @pytest.mark.parametrize(
        ("version", "verdict"),
        [("3.9", "3.9 is too old"), ("2.7", "2.7 is too old"), ("3.14", "3.14 is too new")],
    )
    def test_one_out_of_range_is_named_with_what_to_do(
        self, tmp_path: Path, version: str, verdict: str
    ) -> None:
        fake_python(tmp_path, "python3", version)
        for arguments in ((), ("python3",)):
            answer = find_python(*arguments, path=tmp_path)
            assert answer.returncode == 1
            assert f"python3: {verdict}" in answer.stderr
            assert "PYTHON=" in answer.stderr
            assert "apt install" in answer.stderr

    def test_one_without_venv_is_told_which_package_to_install(self, tmp_path: Path) -> None:
        fake_python(tmp_path, "python3", "3.12", makes_environments=False)
        answer = find_python(path=tmp_path)
        assert answer.returncode == 1
        assert "cannot make environments" in answer.stderr
        assert "python3-venv" in answer.stderr

    def test_no_python_at_all_is_said(self, tmp_path: Path) -> None:
        assert "no Python 3 was found" in find_python(path=tmp_path).stderr
        assert "it does not start" in find_python("python3.12", path=tmp_path).stderr

    def test_another_version_than_the_environment_has_is_refused(self, tmp_path: Path) -> None:
        fake_python(tmp_path, "made", "3.11")
        fake_python(tmp_path, "asked", "3.13")
        fake_python(tmp_path, "equal", "3.11")
        assert find_python("--same", "made", "equal", path=tmp_path).returncode == 0
        answer = find_python("--same", "made", "asked", path=tmp_path)
        assert answer.returncode == 1
        assert "make clean" in answer.stderr


class TestMake:
    def test_help_lists_every_target_that_a_person_would_call(self) -> None:
        make = shutil.which("make")
        assert make, "apt install make"
        listing = subprocess.run(
            [make, "--no-print-directory", "help"], cwd=ROOT, capture_output=True, text=True
        ).stdout
        listed = set(re.findall(r"^  make ([a-z0-9-]+)", listing, re.MULTILINE))
        makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
        phony = set(re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)[0].split())
        assert listed == phony - {"same-python"}

    @pytest.mark.verifies("VA-REP-01")
    @pytest.mark.parametrize(
        "target", ["run", "test", "test-cuda-compile", "test-zig", "lint", "bench", "coverage"]
    )
    def test_a_bare_clone_would_make_its_environment_first(
        self, tmp_path: Path, target: str
    ) -> None:
        make = shutil.which("make")
        assert make, "apt install make"
        plan = subprocess.run(
            [make, "-n", target, f"VENV={tmp_path}/venv"], cwd=ROOT, capture_output=True, text=True
        )
        assert plan.returncode == 0, plan.stderr
        made, installed = plan.stdout.find("-m venv"), plan.stdout.find("--require-hashes")
        assert 0 <= made < installed

    def test_the_matrix_fails_where_one_of_its_pythons_is_missing(self, tmp_path: Path) -> None:
        make, shell = shutil.which("make"), shutil.which("sh")
        assert make
        assert shell
        (tmp_path / "sh").symlink_to(shell)
        ended = subprocess.run(
            [make, "matrix", f"MAKE={tmp_path}/must-not-be-called"],
            cwd=ROOT,
            env={"PATH": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert ended.returncode != 0
        assert "must-not-be-called" not in ended.stdout + ended.stderr
        assert "python3.10" in ended.stderr


class TestLocks:
    @pytest.mark.verifies("VA-REP-01")
    @pytest.mark.parametrize("lock", ["run", "run-zig", "cuda12", "cuda13", "dev", "text", "lock"])
    def test_every_file_of_every_package_is_hashed_and_no_index_is_named(self, lock: str) -> None:
        text = (ROOT / "requirements" / f"{lock}.txt").read_text(encoding="utf-8")
        assert pins(lock)
        assert not re.search(r"://|^-|\bfile:| @ ", text, re.MULTILINE)
        for block in re.split(r"\n(?=[a-z])", text.strip()):
            assert PIN.match(block + "\n"), block.splitlines()[0]
            assert "--hash=sha256:" in block

    def test_what_runs_is_what_is_tested(self) -> None:
        assert pins("run") <= pins("dev")
        for lock in ("run-zig", "cuda12", "cuda13"):
            assert pins("run") <= pins(lock)

    @pytest.mark.parametrize("minor", [10, 11, 12, 13])
    def test_the_core_is_pinned_once_for_each_python(self, minor: int) -> None:
        environment = {"python_version": f"3.{minor}", "python_full_version": f"3.{minor}.0"}
        chosen = [
            name
            for name, _, marker in pins("run")
            if not marker or Marker(marker).evaluate(environment)
        ]
        declared = {
            re.split(r"[^a-z0-9-]", each)[0]
            for each in PROJECT["project"]["dependencies"]
            if minor < 11 or "python_version < '3.11'" not in each
        }
        assert declared <= set(chosen)
        assert len(chosen) == len(set(chosen))


class TestExtras:
    EXTRAS = PROJECT["project"]["optional-dependencies"]

    @staticmethod
    def names(requirements: list[str]) -> list[str]:
        """The packages of some requirements, without versions and extras of their own."""
        return [re.split(r"[^a-z0-9-]", each)[0] for each in requirements]

    def test_the_table_in_the_architecture_page_is_what_is_declared(self) -> None:
        page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
        table = page[page.index("## Extras") :]
        rows = re.findall(r"^\| `([a-z0-9]+)` \| (.*?) \|", table, re.MULTILINE)
        declared = {name: self.names(needs) for name, needs in self.EXTRAS.items()}
        listed = {name: re.findall("`([^`]+)`", packages) for name, packages in rows}
        assert listed.pop("dev") == []  # too many for a table
        assert listed == {name: needs for name, needs in declared.items() if name != "dev"}

    def test_no_package_of_an_extra_flies_without_it(self) -> None:
        core = {name for name, _, _ in pins("run")}
        brought = [self.names(needs) for name, needs in self.EXTRAS.items() if name != "dev"]
        assert core & {name for names in brought for name in names} <= {"numpy"}
        assert set(self.names(PROJECT["project"]["dependencies"])) <= core

    def test_what_make_run_installs_has_none_of_the_heavy_packages(self) -> None:
        heavy = re.compile(r"cuda|nvidia-(?!ml-py)|torch|scipy|scikit|dask|distributed|matplotlib")
        for lock in ("run", "run-zig", "text"):
            assert not [name for name, _, _ in pins(lock) if heavy.search(name)]

    @pytest.mark.parametrize("module", extras.EXTRAS_OF)
    def test_the_extras_that_are_advised_bring_the_package(self, module: str) -> None:
        for extra in extras.EXTRAS_OF[module]:
            assert module.replace("_", "-") in self.names(self.EXTRAS[extra])

    def test_nothing_names_an_extra_that_is_not_there_or_an_index_we_are_not_on(self) -> None:
        files = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "Makefile"]
        for folder in (*PACKAGES, "benchmarks", "deploy", "examples", "tests", "tools"):
            files += [p for p in (ROOT / folder).rglob("*.*") if p.suffix in TEXTS]
        for path in files:
            text = path.read_text(encoding="utf-8")
            assert not re.search(r"\b(?:vanallen)\[", text), path
            for group in re.findall(r"'\.\[([a-z0-9,]+)\]'", text):
                assert set(group.split(",")) <= set(self.EXTRAS), path

    BY_HAND = "make_nanogpt_reference.py"
    """Wants PyTorch, and is run by whoever makes the reference anew."""

    def test_make_test_installs_whatever_tests_import(self) -> None:
        imported = set()
        for path in (ROOT / "tests").rglob("*.py"):
            if path.name != self.BY_HAND:
                imported |= imports(ast.parse(path.read_text(encoding="utf-8")))
        ours = {*PACKAGES, "tools", "tests", "examples", "benchmarks"}
        ours |= {path.stem for path in (ROOT / "tests/flight/support").glob("*.py")}
        locked = {name for lock in ("dev", "text") for name, _, _ in pins(lock)}
        # packages_distributions() of Python 3.10 knows only what brings a top_level.txt.
        brings: dict[str, set[str]] = {}
        for distribution in metadata.distributions():
            name = re.sub("[-_.]+", "-", distribution.metadata["Name"]).lower()
            for file in distribution.files or ():
                brings.setdefault(file.parts[0].split(".")[0], set()).add(name)
        for module in imported - ours - set(sys.stdlib_module_names) - {"tomli", "tomllib"}:
            assert brings.get(module, set()) & locked, module


class TestContracts:
    @pytest.mark.verifies("VA-REP-03")
    def test_every_package_has_a_contract_whose_name_is_a_sentence(self) -> None:
        contracts = PROJECT["tool"]["importlinter"]["contracts"]
        sources = {name for each in contracts for name in each.get("source_modules", ())}
        assert set(PACKAGES) <= sources
        assert all(len(each["name"].split()) > 5 for each in contracts)

    @pytest.mark.verifies("VA-REP-03")
    @pytest.mark.parametrize(
        ("file", "statement", "broken"),
        [
            ("icd/new.py", "import hal", "icd imports nothing of ours"),
            ("flight/link/new.py", "import sim_hw", "flight never imports ground or sim_hw"),
            ("flight/framework/new.py", "import numba", "the executive's side of flight"),
            (f"{WATCHDOG}/new.py", "import flight.edac.cpu", "the executive's side"),
            (f"{WATCHDOG}/new.py", "import hal.nvml.board", "the executive's side"),
            (f"{WATCHDOG}/new.py", "import hal.reading", None),
            (f"{WATCHDOG}/new.py", "import flight.components.board.component", "a component never"),
            (f"{WATCHDOG}/new.py", "import flight.components.board.lifecycle", "a component never"),
            (f"{WATCHDOG}/new.py", "import flight.components.recovery.stimuli", "a component"),
            (f"{WATCHDOG}/new.py", "import flight.components.board.notifications", None),
            (f"{WATCHDOG}/new.py", "import flight.components.watchdog.component", None),
            (f"{WATCHDOG}/worker/new.py", "import numba", None),
            ("flight/link/new.py", "import flight.components.commanding.component", "only deploy"),
            ("flight/storage/new.py", "import flight.deployment.deployment", "only deployment"),
            ("flight/fault_tolerance/new.py", "import flight.jobs.api", "folders never import"),
            ("flight/jobs/levels.py", "import flight.jobs.api", "folders never import"),
            ("flight/supervisor/new.py", "import icd", "the supervisor needs the standard"),
            ("ground/server/new.py", "import flight", "ground never imports"),
            ("sim_hw/orin/new.py", "import hal", "sim_hw never imports"),
            ("hal/jetson/new.py", "import sim_hw", "hal never imports"),
            ("flight/jobs/matmul/new.py", "import numba", None),
        ],
    )
    def test_a_new_file_is_held_to_its_contract(
        self, tmp_path: Path, file: str, statement: str, broken: str | None
    ) -> None:
        assert (ROOT / file).parent.is_dir(), "a mistake planted where nothing is guards nothing"
        self.skeleton(tmp_path)
        (tmp_path / file).write_text(f"{statement}\n", encoding="utf-8")
        checked = subprocess.run(
            [sys.executable, "-c", LINT_IMPORTS, "--no-cache"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            env={"COLUMNS": "300", "PATH": ""},
            timeout=60,
        )
        kept = [line for line in checked.stdout.splitlines() if line.endswith("KEPT")]
        failed = [line for line in checked.stdout.splitlines() if line.endswith("BROKEN")]
        assert kept, checked.stdout + checked.stderr
        if broken is None:
            assert not failed, checked.stdout
        else:
            assert [line.startswith(broken) for line in failed] == [True], checked.stdout

    STATEMENTS = {
        "flight/edac/cpu.py": "import numba\n",
        "flight/jobs/api.py": "import flight.fault_tolerance.errors\nimport flight.jobs.levels\n",
        "flight/jobs/levels.py": "",
    }
    """What the modules of the skeleton say; all others are empty."""

    def skeleton(self, folder: Path) -> None:
        """The modules that there are, by name; a name that a contract gives must be one."""
        for package in PACKAGES:
            for path in (ROOT / package).rglob("*.py"):
                copy = folder / path.relative_to(ROOT)
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.touch()
        for name, text in self.STATEMENTS.items():
            (folder / name).write_text(text, encoding="utf-8")
        shutil.copy(ROOT / "pyproject.toml", folder)
        shutil.copytree(ROOT / "tools", folder / "tools")

    @pytest.mark.verifies("VA-REP-03")
    def test_every_module_that_a_contract_names_is_there(self) -> None:
        for contract in PROJECT["tool"]["importlinter"]["contracts"]:
            own = [*contract.get("source_modules", ()), *contract.get("other_side", ())]
            for name in [*own, *contract.get("permitted_modules", ())]:
                pattern = name.replace(".", "/")
                assert [*ROOT.glob(pattern), *ROOT.glob(f"{pattern}.py")], name

    @pytest.mark.verifies("VA-REP-03")
    @pytest.mark.parametrize(
        ("file", "statement"),
        [
            ("flight/components/job_runner/attempts.py", "import random"),
            ("flight/components/recovery/triage.py", "import threading"),
            ("flight/components/scrubber/regions.py", "import os"),
            ("flight/link/downlink.py", "import time"),
            ("flight/storage/script.py", "from pathlib import Path"),
            ("flight/deployment/simulated.py", "from datetime import datetime\ndatetime.now()"),
            ("flight/framework/executive.py", "import secrets"),
        ],
    )
    def test_clock_chance_and_disk_are_banned_wherever_something_is_decided(
        self, file: str, statement: str
    ) -> None:
        assert (ROOT / file).is_file(), "a mistake planted where nothing is guards nothing"
        checked = subprocess.run(
            [sys.executable, "-m", "ruff", "check", "--select", "TID251", "--stdin-filename", file],
            input=f"{statement}\n",
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert checked.returncode == 1, checked.stdout + checked.stderr
        assert "TID251" in checked.stdout

    @pytest.mark.verifies("VA-REP-03")
    def test_what_decides_and_opens_a_file_is_found(self, tmp_path: Path) -> None:
        shutil.copy(ROOT / "flight/ruff.toml", tmp_path)
        opens = "x = 1\nwith open('log') as f:\n    f.read()\n"
        for name in ("components/job_runner/retry.py", "components/job_runner/worker/job.py"):
            assert (ROOT / "flight" / name).is_file()
            (tmp_path / name).parent.mkdir(parents=True)
            (tmp_path / name).write_text(opens)
        assert check_determinism.main([str(tmp_path)]) == 1
        assert check_determinism.calls(tmp_path) == [
            f"{tmp_path}/components/job_runner/retry.py:2: open() in code that decides: "
            "submit it to the storage worker"
        ]

    @pytest.mark.parametrize(
        ("package", "most"), [("flight", 2), ("hal", 8), ("ground", 6), ("sim_hw", 2)]
    )
    def test_code_lies_in_folders_and_few_files_lie_loose(self, package: str, most: int) -> None:
        assert len(list((ROOT / package).glob("*.py"))) <= most, "put it where it belongs"

    def test_every_package_says_that_it_is_typed(self) -> None:
        assert [name for name in PACKAGES if not (ROOT / name / "py.typed").exists()] == []

    def test_every_registered_job_is_there(self) -> None:
        for entry in PROJECT["project"]["entry-points"]["vanallen.jobs"].values():
            module, name = entry.split(":")
            source = (ROOT / module.replace(".", "/") / "__init__.py").read_text(encoding="utf-8")
            names = [
                target.id
                for node in ast.parse(source).body
                if isinstance(node, ast.Assign)
                for target in node.targets
                if isinstance(target, ast.Name)
            ]
            assert name in names


class TestCoverageRatchet:
    @staticmethod
    def check(folder: Path, now: float, before: str, *options: str) -> int:
        report, ratchet = folder / "coverage.json", folder / "coverage.ratchet"
        report.write_text(f'{{"totals": {{"percent_covered": {now}}}}}', encoding="utf-8")
        ratchet.write_text(before, encoding="utf-8")
        return check_coverage.main([str(report), str(ratchet), *options])

    @pytest.mark.verifies("VA-REP-04")
    @pytest.mark.parametrize(
        ("now", "status", "words"),
        [
            (89.6, 1, "fell from 90.0 % to 89.6 %"),
            (89.8, 0, "as recorded"),
            (90.2, 0, "as recorded"),
            (90.4, 1, "writing 90.4 into coverage.ratchet"),
        ],
    )
    def test_it_holds_in_both_directions(
        self,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
        now: float,
        status: int,
        words: str,
    ) -> None:
        assert self.check(tmp_path, now, "# percent\n90.0\n") == status
        assert words in capsys.readouterr().out

    def test_it_is_moved_on_purpose(self, tmp_path: Path) -> None:
        assert self.check(tmp_path, 91.26, "90.0\n", "--write") == 0
        assert check_coverage.recorded(tmp_path / "coverage.ratchet") == 91.3

    def test_a_file_without_one_figure_is_refused(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert self.check(tmp_path, 90.0, "# percent\n") == 1
        assert "must hold one figure" in capsys.readouterr().out

    def test_a_missing_file_is_named(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert check_coverage.main([str(tmp_path / "none.json"), str(tmp_path / "ratchet")]) == 1
        assert "none.json is missing" in capsys.readouterr().out


class TestRequirements:
    @staticmethod
    def gaps(folder: Path, document: str, test: str) -> list[str]:
        (folder / "requirements.md").write_text(document, encoding="utf-8")
        (folder / "tests").mkdir()
        (folder / "tests/test_one.py").write_text(test, encoding="utf-8")
        return check_requirements.gaps(folder / "requirements.md", folder / "tests")

    @pytest.mark.verifies("VA-REP-05")
    def test_a_requirement_without_a_test_is_a_gap(self, tmp_path: Path) -> None:
        (gap,) = self.gaps(tmp_path, "- **VA-CMD-01** It works.\n", "def test_it(): ...\n")
        assert "no test names VA-CMD-01" in gap

    @pytest.mark.verifies("VA-REP-05")
    def test_an_unknown_requirement_is_a_gap(self, tmp_path: Path) -> None:
        marks = '@pytest.mark.verifies("VA-CMD-01", "VA-CMD-02")\ndef test_it(): ...\n'
        (gap,) = self.gaps(tmp_path, "- **VA-CMD-01** It works.\n", marks)
        assert gap.endswith("requirements.md does not define")
        assert "test_one.py:1: names 'VA-CMD-02'" in gap

    def test_a_number_used_twice_is_a_gap(self, tmp_path: Path) -> None:
        twice = "- **VA-CMD-01** It works.\n- **VA-CMD-01** It works well.\n"
        mark = 'pytestmark = pytest.mark.verifies("VA-CMD-01")\n'
        (gap,) = self.gaps(tmp_path, twice, mark)
        assert "VA-CMD-01 is defined 2 times" in gap

    def test_a_retired_requirement_needs_no_test_and_may_have_none(self, tmp_path: Path) -> None:
        document = "- ~~VA-CMD-01~~ Retired for VA-CMD-02.\n- **VA-CMD-02** It works.\n"
        marks = '@pytest.mark.verifies("VA-CMD-01", "VA-CMD-02")\ndef test_it(): ...\n'
        (gap,) = self.gaps(tmp_path, document, marks)
        assert gap.endswith("requirements.md has retired")
        (tmp_path / "tests/test_one.py").write_text(marks.replace('"VA-CMD-01", ', ""))
        assert check_requirements.gaps(tmp_path / "requirements.md", tmp_path / "tests") == []

    def test_a_retired_number_that_is_used_again_is_a_gap(self, tmp_path: Path) -> None:
        document = "- ~~VA-CMD-01~~ Retired.\n- **VA-CMD-01** It works.\n"
        mark = 'pytestmark = pytest.mark.verifies("VA-CMD-01")\n'
        (gap,) = self.gaps(tmp_path, document, mark)
        assert "VA-CMD-01 is defined 2 times" in gap

    def test_a_document_without_requirements_is_a_gap(self, tmp_path: Path) -> None:
        (gap,) = self.gaps(tmp_path, "# Requirements\n", "")
        assert "defines no requirement" in gap

    def test_a_full_trace_is_confirmed(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        mark = '@pytest.mark.verifies("VA-LINK-01")\ndef test_it(): ...\n'
        assert self.gaps(tmp_path, "- **VA-LINK-01** It works.\n", mark) == []
        arguments = [str(tmp_path / "requirements.md"), str(tmp_path / "tests")]
        assert check_requirements.main(arguments) == 0
        assert capsys.readouterr().out == "requirements, each named by a test: 1\n"

    def test_ids_are_counted_without_gaps_in_each_group(self) -> None:
        groups: dict[str, list[int]] = {}
        document = ROOT / "docs/requirements.md"
        retired = check_requirements.retired(document)
        for name in check_requirements.requirements(document) + retired:
            _, group, number = name.split("-")
            groups.setdefault(group, []).append(int(number))
        assert groups
        for group, numbers in groups.items():
            assert sorted(numbers) == list(range(1, len(numbers) + 1)), group


class TestNames:
    @pytest.mark.parametrize(
        "line",
        ["cd /" + "home/me", 'open("/' + 'data/set.csv")', "see https" + "://evil.example/x"],
    )
    def test_what_one_machine_has_is_found(self, line: str) -> None:
        assert len(check_names.complaints(Path("x"), line)) == 1

    @pytest.mark.parametrize(
        "line", ["cat /proc/self/stat", "and/or", "https://doi.org/10.1", "a // b", "tcp://*:5"]
    )
    def test_what_every_machine_has_is_not(self, line: str) -> None:
        assert check_names.complaints(Path("x"), line) == []

    def test_nothing_here_names_one_machine(self) -> None:
        if not (ROOT / ".git").exists():
            pytest.skip("not a checkout")
        documents = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "pyproject.toml"]
        assert check_names.check(documents) == []


class TestDocuments:
    def test_decisions_are_numbered_in_order_and_have_their_parts(self) -> None:
        pages = sorted((ROOT / "docs/decisions").glob("[0-9]*.md"))
        assert [int(page.name[:4]) for page in pages] == list(range(1, len(pages) + 1))
        for page in pages:
            text = page.read_text(encoding="utf-8")
            for part in ("## Context", "## Decision", "## Consequences"):
                assert part in text, page.name

    def test_the_licence_is_apache_2_whole(self) -> None:
        text = (ROOT / "LICENSE").read_text(encoding="utf-8")
        assert text.lstrip().startswith("Apache License")
        assert "END OF TERMS AND CONDITIONS" in text
        assert "APPENDIX: How to apply the Apache License" in text
