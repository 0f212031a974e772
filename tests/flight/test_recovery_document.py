"""The table in docs/recovery.md is the table that flies.

To make it anew: `python -m tests.flight.test_recovery_document`.
"""

from __future__ import annotations

from pathlib import Path

from flight.recovery.table import XIDS, Level, Row, Wait

PAGE = Path(__file__).parents[2] / "docs" / "recovery.md"
BEGIN, END = "<!-- table: see tests/flight/test_recovery_document.py -->\n", "<!-- end of table -->"
WAITS = {
    Wait.NOTHING: "",
    Wait.COMPANION: "any other XID",
    Wait.GUIDANCE: "field 230",
    Wait.JOB_END: "a job of ours that ends",
}


def _row(code: int, row: Row) -> str:
    waits = WAITS[row.wait]
    if row.companions:
        waits = ", ".join(f"{xid} → L{int(level)}" for xid, level in row.companions.items())
    if row.boundary > Level.LOG:
        waits = f"L{int(row.boundary)} at the boundary"
    return f"| {code} | {row.meaning} | {row.level.words} | {waits} | {row.advice} |"


def table() -> str:
    """The table of XIDs in Markdown."""
    head = ["| XID | meaning | action | waits for | and besides |", "|---|---|---|---|---|"]
    return "\n".join([*head, *(_row(code, row) for code, row in sorted(XIDS.items()))]) + "\n"


def test_the_page_shows_the_table_that_flies() -> None:
    shown = PAGE.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]
    assert shown == table()


if __name__ == "__main__":
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(before + BEGIN + table() + END + after, encoding="utf-8")
