"""The table in docs/scrubbing.md is the one that flies.

To make it anew: `python -m tests.flight.components.scrubber.test_document`.
"""

from __future__ import annotations

from pathlib import Path

from flight.components.scrubber.regions import STEPS, Kind

PAGE = Path(__file__).parents[4] / "docs" / "scrubbing.md"
BEGIN, END = (
    "<!-- table: see tests/flight/components/scrubber/test_document.py -->\n",
    "<!-- end of table -->",
)
MEANINGS = {
    Kind.JOB: "sealed by a job, nowhere else",
    Kind.GOLDEN: "sealed by a job, a copy of a file",
    Kind.FILE: "registered by ground, a copy of a file",
    Kind.TEST: "made to inject errors into",
    Kind.PROGRAM: "code and tables of the executive",
    Kind.OWNER_CHECKED: "arrays that a job checks: it has gone back to its commit by itself",
    Kind.UNSCRUBBED: "memory that nobody checks",
}


def table() -> str:
    """The table in Markdown."""
    lines = ["| region | what it is | when a block is lost |", "|---|---|---|"]
    for kind, steps in STEPS.items():
        done = "; then ".join(step.words for step in steps)
        lines.append(f"| {kind.name} | {MEANINGS[kind]} | {done} |")
    return "\n".join(lines) + "\n"


def test_the_page_shows_the_table_that_flies() -> None:
    shown = PAGE.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]
    assert shown == table()


if __name__ == "__main__":
    before, mark, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    PAGE.write_text(before + mark + table() + END + rest.partition(END)[2], encoding="utf-8")
