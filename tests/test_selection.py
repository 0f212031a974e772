"""What `make test` leaves out: skips are listed, and heavy tests have targets of their own."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import listed_skips

ROOT = Path(__file__).resolve().parent.parent
SKIPS = ROOT / "tests/skips.txt"
SUITE = """
import pytest

def test_passes(): ...

@pytest.mark.parametrize("n", [1, 2])
def test_lacks_something(n):
    pytest.skip("no such board here: moon")

@pytest.mark.skip(reason="not today")
def test_is_marked(): ...

@pytest.mark.heavy("anvil")
def test_is_heavy():
    raise AssertionError("too heavy")
"""
WHOLE_MODULE = "import pytest\npytest.skip('no such system', allow_module_level=True)\n"


def run(folder: Path, *arguments: str, listed: str | None = None) -> tuple[int, str]:
    """The exit status and the summary of a small suite under both plugins."""
    (folder / "test_small.py").write_text(SUITE)
    (folder / "pytest.ini").write_text("[pytest]\nmarkers =\n    heavy(target): as ours\n")
    if listed is not None:
        (folder / "skips.txt").write_text(listed)
        arguments = (*arguments, "--only-listed-skips", "skips.txt")
    plugins = ("-p", "tests.support.listed_skips", "-p", "tests.support.heavy")
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", *plugins, "-p", "no:cacheprovider", *arguments],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return ended.returncode, ended.stdout + ended.stderr


@pytest.mark.verifies("VA-REP-06")
@pytest.mark.parametrize("workers", ["0", "1"])
class TestSkipsThatAreNotListed:
    def test_they_fail_the_run_and_are_named_with_their_reason(
        self, tmp_path: Path, workers: str
    ) -> None:
        listed = "# why\n*::test_is_marked | not *\n"
        status, said = run(tmp_path, "-n", workers, listed=listed)
        assert status == 1
        summary = said[said.index("skips that skips.txt does not list") :]
        assert "test_small.py::test_lacks_something[1] | no such board here: moon" in summary
        assert "test_small.py::test_lacks_something[2] | no such board here: moon" in summary
        assert "test_is_marked" not in summary
        assert "add the line to skips.txt" in summary

    def test_a_module_that_skips_itself_counts(self, tmp_path: Path, workers: str) -> None:
        (tmp_path / "test_whole.py").write_text(WHOLE_MODULE)
        status, said = run(tmp_path, "-n", workers, listed="test_small.py* | *\n")
        assert status == 1
        assert "test_whole.py | no such system" in said

    def test_a_run_whose_skips_are_all_listed_passes(self, tmp_path: Path, workers: str) -> None:
        listed = "test_small.py::* | no such board here*\n*marked | not today\n"
        status, said = run(tmp_path, "-n", workers, listed=listed)
        assert (status, "does not list" in said) == (0, False)

    def test_a_run_without_a_list_may_skip_what_it_likes(
        self, tmp_path: Path, workers: str
    ) -> None:
        status, said = run(tmp_path, "-n", workers)
        assert status == 0
        assert "3 skipped" in said


@pytest.mark.parametrize("line", ["tests/test_one.py", "| reason", "tests/test_one.py |"])
def test_a_line_of_the_list_without_a_test_or_a_reason_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="line 2: write `pattern of the id"):
        listed_skips.parse(f"# one\n{line}\n")


def test_every_listed_skip_is_in_a_file_that_is_there() -> None:
    listed = listed_skips.parse(SKIPS.read_text(encoding="utf-8"))
    assert listed
    for one in listed:
        assert (ROOT / one.test.partition("::")[0]).is_file(), one.test


class TestHeavyTests:
    def test_they_are_left_out_unless_their_target_is_named(self, tmp_path: Path) -> None:
        status, said = run(tmp_path)
        assert (status, "1 deselected" in said) == (0, True)

    def test_their_target_runs_them_and_nothing_else(self, tmp_path: Path) -> None:
        status, said = run(tmp_path, "--heavy", "anvil")
        assert (status, "too heavy" in said, "4 deselected" in said) == (1, True, True)

    def test_a_target_without_tests_fails(self, tmp_path: Path) -> None:
        assert run(tmp_path, "--heavy", "feather")[0] == pytest.ExitCode.NO_TESTS_COLLECTED

    def test_each_has_a_target_of_its_own_that_fails_at_a_skip_and_whose_last_run_is_recorded(
        self,
    ) -> None:
        sources = "".join(
            path.read_text(encoding="utf-8")
            for folder in ("tests", "benchmarks")
            for path in (ROOT / folder).rglob("test_*.py")
            if path != Path(__file__)
        )
        used = set(re.findall(r'^@pytest\.mark\.heavy\("([a-z0-9-]+)"\)$', sources, re.MULTILINE))
        makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
        results = (ROOT / "benchmarks/RESULTS.md").read_text(encoding="utf-8")
        assert used
        for name in used:
            assert re.search(rf"^test-{name}:.*## ", makefile, re.MULTILINE), name
            assert f"$(HEAVY) {name}" in makefile
            assert f"| `make test-{name}` |" in results
        assert "HEAVY = $(LISTED) --heavy" in makefile
