"""The repository keeps its own rules: set-up, locks, contracts, traces, and the checks of them."""

from __future__ import annotations

import ast
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tools import check_components, check_coverage, check_names, check_requirements

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("icd", "flight", "hal", "sim_hw", "ground")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LINT_IMPORTS = "from importlinter.cli import lint_imports_command as main; main()"
PIN = re.compile(r"^([a-z][a-z0-9-]*)==([^ ]+?)(?: ; (.*?))? \\$", re.MULTILINE)


def pins(lock: str) -> set[tuple[str, str, str]]:
    """(name, version, marker) of every package that a lock file holds."""
    text = (ROOT / "requirements" / f"{lock}.txt").read_text(encoding="utf-8")
    return set(PIN.findall(text))


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
        if make is None:
            pytest.skip("make is not installed")
        listing = subprocess.run(
            [make, "--no-print-directory", "help"], cwd=ROOT, capture_output=True, text=True
        ).stdout
        listed = set(re.findall(r"^  make ([a-z0-9-]+)", listing, re.MULTILINE))
        makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
        phony = set(re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)[0].split())
        assert listed == phony - {"same-python"}

    @pytest.mark.verifies("VA-REP-01")
    @pytest.mark.parametrize("target", ["run", "test", "lint", "bench", "coverage"])
    def test_a_bare_clone_would_make_its_environment_first(
        self, tmp_path: Path, target: str
    ) -> None:
        make = shutil.which("make")
        if make is None:
            pytest.skip("make is not installed")
        plan = subprocess.run(
            [make, "-n", target, f"VENV={tmp_path}/venv"], cwd=ROOT, capture_output=True, text=True
        )
        assert plan.returncode == 0, plan.stderr
        made, installed = plan.stdout.find("-m venv"), plan.stdout.find("--require-hashes")
        assert 0 <= made < installed


class TestLocks:
    @pytest.mark.verifies("VA-REP-01")
    @pytest.mark.parametrize("lock", ["run", "run-zig", "dev", "text", "lock"])
    def test_every_file_of_every_package_is_hashed_and_no_index_is_named(self, lock: str) -> None:
        text = (ROOT / "requirements" / f"{lock}.txt").read_text(encoding="utf-8")
        assert pins(lock)
        assert not re.search(r"://|^-|\bfile:| @ ", text, re.MULTILINE)
        for block in re.split(r"\n(?=[a-z])", text.strip()):
            assert PIN.match(block + "\n"), block.splitlines()[0]
            assert "--hash=sha256:" in block

    def test_what_runs_is_what_is_tested(self) -> None:
        assert pins("run") <= pins("dev")
        assert pins("run") <= pins("run-zig")

    @pytest.mark.parametrize("minor", [10, 11, 12, 13])
    def test_the_core_is_pinned_once_for_each_python(self, minor: int) -> None:
        packaging = pytest.importorskip("packaging.markers")
        environment = {"python_version": f"3.{minor}", "python_full_version": f"3.{minor}.0"}
        chosen = [
            name
            for name, _, marker in pins("run")
            if not marker or packaging.Marker(marker).evaluate(environment)
        ]
        declared = {
            re.split(r"[^a-z0-9-]", each)[0]
            for each in PROJECT["project"]["dependencies"]
            if minor < 11 or "python_version < '3.11'" not in each
        }
        assert declared <= set(chosen)
        assert len(chosen) == len(set(chosen))


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
            ("flight/new.py", "import sim_hw", "flight never imports ground or sim_hw"),
            ("flight/new.py", "import numba", "the executive's side of flight"),
            ("flight/components/new.py", "import flight.workers.kernels", "the executive's side"),
            ("flight/components/new.py", "import hal.nvml", "the executive's side"),
            ("flight/components/new.py", "import hal.reading", None),
            ("flight/components/new.py", "import flight.components.old", "a component never"),
            ("flight/components/new.py", "import flight.components.old_lifecycle", "a component"),
            ("flight/supervisor/new.py", "import icd", "the supervisor needs the standard"),
            ("ground/new.py", "import flight", "ground never imports"),
            ("sim_hw/new.py", "import hal", "sim_hw never imports"),
            ("hal/new.py", "import sim_hw", "hal never imports"),
            ("flight/jobs/train/new.py", "import numba", None),
            ("flight/components/old.py", "import flight.components.old_lifecycle", None),
        ],
    )
    def test_a_new_file_is_held_to_its_contract(
        self, tmp_path: Path, file: str, statement: str, broken: str | None
    ) -> None:
        for folder in ("flight/components", "flight/workers", "flight/jobs/train"):
            (tmp_path / folder).mkdir(parents=True)
        for package in (*PACKAGES, "flight/supervisor"):
            (tmp_path / package).mkdir(exist_ok=True)
        for folder in [each for each in tmp_path.rglob("*") if each.is_dir()]:
            (folder / "__init__.py").touch()
        for name in ("components/old", "components/old_lifecycle", "supervision"):
            (tmp_path / f"flight/{name}.py").touch()
        for name in ("nvml", "reading"):
            (tmp_path / f"hal/{name}.py").touch()
        (tmp_path / "flight/workers/kernels.py").write_text("import numba\n", encoding="utf-8")
        (tmp_path / file).write_text(f"{statement}\n", encoding="utf-8")
        shutil.copy(ROOT / "pyproject.toml", tmp_path)
        shutil.copytree(ROOT / "tools", tmp_path / "tools")
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

    @pytest.mark.verifies("VA-REP-03")
    def test_a_component_that_opens_a_file_is_found(self, tmp_path: Path) -> None:
        (tmp_path / "recorder.py").write_text("x = 1\nwith open('log') as f:\n    f.read()\n")
        assert check_components.main([str(tmp_path)]) == 1
        assert check_components.calls(tmp_path) == [
            f"{tmp_path}/recorder.py:2: open() in a component: submit it to the storage worker"
        ]

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
        for name in check_requirements.requirements(ROOT / "docs/requirements.md"):
            _, group, number = name.split("-")
            groups.setdefault(group, []).append(int(number))
        assert groups
        for group, numbers in groups.items():
            assert numbers == list(range(1, len(numbers) + 1)), group


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
    @pytest.mark.parametrize(
        "document", sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md"))
    )
    def test_every_link_within_the_repository_leads_somewhere(self, document: str) -> None:
        path = ROOT / document
        links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8"))
        assert [link for link in links if not (path.parent / link).exists()] == []

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
