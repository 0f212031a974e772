"""The type checker finds what it is relied on to find: mistakes planted in copies of real files."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SCRUBBER = "flight/components/scrubber"
PROTECTION = "flight/components/protection"
FILES = (
    f"{SCRUBBER}/lifecycle.py",
    f"{SCRUBBER}/dictionary.py",
    f"{SCRUBBER}/component.py",
    f"{SCRUBBER}/scrub_worker.py",
    f"{PROTECTION}/lifecycle.py",
)

SIZE = 100_000
"""Of a copy, in characters; each is one longer than the last.

By nothing but its size does mypy see that a shadow file has changed since its cache was written.
"""
RUNS = itertools.count()

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What mypy knows of the files that stay as they are; all runs of this module share it."""
    return tmp_path_factory.mktemp("mypy")


def complaints(cache: Path, file: str, text: str) -> list[str]:
    """What `mypy`, as `make lint` configures it, says of a file if this were its text."""
    copy = cache / "planted.py"
    assert len(text) < SIZE
    copy.write_text(text.ljust(SIZE + next(RUNS)), encoding="utf-8")
    checked = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--strict", "--config-file", "pyproject.toml"),
            *("--cache-dir", str(cache / "cache"), "--no-error-summary"),
            *("--shadow-file", file, str(copy), file),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert checked.returncode in (0, 1), checked.stdout + checked.stderr
    assert checked.returncode == 0 or checked.stdout, checked.stderr
    return checked.stdout.splitlines()


@pytest.mark.parametrize("file", FILES)
def test_a_file_as_it_is_passes(cache: Path, file: str) -> None:
    assert complaints(cache, file, (ROOT / file).read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("file", "right", "wrong", "code"),
    [
        pytest.param(
            f"{SCRUBBER}/lifecycle.py",
            "ScrubberEvents.given_up, case.name, case.job",
            "ScrubberEvents.gave_up, case.name, case.job",
            "attr-defined",
            id="an event that is not declared",
        ),
        pytest.param(
            f"{SCRUBBER}/lifecycle.py",
            "ScrubberEvents.given_up, case.name, case.job",
            "ScrubberEvents.given_up, case.job, case.name",
            "arg-type",
            id="the values of an event in the wrong order",
        ),
        pytest.param(
            f"{SCRUBBER}/lifecycle.py",
            "ScrubberEvents.region_retired, case.name, case.job",
            "ScrubberEvents.region_retired, case.name",
            "call-arg",
            id="a value of an event left out",
        ),
        pytest.param(
            f"{SCRUBBER}/lifecycle.py",
            "ScrubberEvents.more_corrected, self._untold, seconds",
            "ScrubberEvents.more_corrected, self._untold, seconds, 0",
            "call-arg",
            id="a value more than the event has",
        ),
        pytest.param(
            f"{SCRUBBER}/lifecycle.py",
            "s.Forget(case.name)",
            "s.Forget(case)",
            "arg-type",
            id="an instruction with another type of value",
        ),
        pytest.param(
            f"{SCRUBBER}/lifecycle.py",
            "self._out.append(s.Forget(case.name))",
            "self._out.append(s.Tick())",
            "arg-type",
            id="a stimulus given as an instruction",
        ),
        pytest.param(
            f"{SCRUBBER}/dictionary.py",
            'ScrubberEvents.block_lost: "lost"',
            'ScrubberEvents.blocks_lost: "lost"',
            "attr-defined",
            id="a counter of an event that is not declared",
        ),
        pytest.param(
            f"{SCRUBBER}/component.py",
            "Stepper(self, self.core, self._do, COUNTERS)",
            "Stepper(self, self.core, self._forget, COUNTERS)",
            "arg-type",
            id="instructions given to what does not take them",
        ),
        pytest.param(
            f"{SCRUBBER}/scrub_worker.py",
            "_on(messages.found, handlers.found)",
            "_on(messages.found, handlers.unusable)",
            "misc",
            id="a message led to the handler of another",
        ),
        pytest.param(
            f"{PROTECTION}/lifecycle.py",
            "ProtectionEvents.level_commanded, level",
            "ProtectionEvents.level_commanded, self.radiation",
            "arg-type",
            id="another enumeration than the event has",
        ),
        pytest.param(
            f"{PROTECTION}/lifecycle.py",
            "event = ProtectionEvents.lowered",
            "event = ProtectionEvents.forecast_lost",
            "assignment",
            id="one of three events has other values",
        ),
    ],
)
def test_a_planted_mistake_is_found(
    cache: Path, file: str, right: str, wrong: str, code: str
) -> None:
    text = (ROOT / file).read_text(encoding="utf-8")
    assert text.count(right) == 1, "a mistake that is not planted guards nothing"
    found = complaints(cache, file, text.replace(right, wrong))
    assert [each for each in found if each.startswith(file) and each.endswith(f"[{code}]")], found
