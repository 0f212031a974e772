"""A pytest plugin: `--only-listed-skips FILE` fails a run that skips what FILE does not list.

`make test` gives it tests/skips.txt. Whoever names tests, a target or a board by ARGS does without.
A line of the file is `pattern of the test's id | pattern of the reason`, as a shell matches names.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

import pytest

_UNLISTED = pytest.StashKey[list[str]]()


class Listed(NamedTuple):
    """A skip that may be."""

    test: str
    reason: str

    def covers(self, test: str, reason: str) -> bool:
        """Whether this is the skip that was meant."""
        return fnmatchcase(test, self.test) and fnmatchcase(reason, self.reason)


def parse(text: str) -> list[Listed]:
    """The lines of a list; # begins a comment. Raises ValueError for a line without both parts."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        test, _, reason = (part.strip() for part in line.partition("|"))
        if not test or not reason:
            raise ValueError(f"line {number}: write `pattern of the id | pattern of the reason`")
        found.append(Listed(test, reason))
    return found


def unlisted(skips: list[tuple[str, str]], listed: list[Listed]) -> list[str]:
    """A line for each skip (id, reason) that the list does not cover."""
    return [
        f"{test} | {reason}"
        for test, reason in skips
        if not any(one.covers(test, reason) for one in listed)
    ]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Take the list."""
    parser.getgroup("van allen").addoption(
        "--only-listed-skips",
        metavar="FILE",
        type=Path,
        help="fail where a test is skipped that this file does not list",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a session that would have passed; the reports of all workers are in by now."""
    file: Path | None = session.config.getoption("--only-listed-skips")
    reporter: Any = session.config.pluginmanager.get_plugin("terminalreporter")
    if file is None or reporter is None or hasattr(session.config, "workerinput"):
        return
    skips = [(report.nodeid, _reason(report)) for report in reporter.stats.get("skipped", [])]
    found = unlisted(skips, parse(file.read_text(encoding="utf-8")))
    session.config.stash[_UNLISTED] = found
    if found and session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Say which skips are not listed, and what to do."""
    found = config.stash.get(_UNLISTED, [])
    if not found:
        return
    file = config.getoption("--only-listed-skips")
    terminalreporter.section(f"skips that {file} does not list", sep="=", red=True)
    for line in found:
        terminalreporter.line(line)
    terminalreporter.line(f"install what is missing, or add the line to {file} and say why there")


def _reason(report: Any) -> str:
    """Why a test was skipped, as it was written."""
    longrepr = report.longrepr
    said = longrepr[2] if isinstance(longrepr, tuple) else str(longrepr)
    return str(said).removeprefix("Skipped: ")
