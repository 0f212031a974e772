"""The tables in docs/recovery.md are those that fly.

To make it anew: `python -m tests.flight.components.recovery.test_document`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from flight.components.recovery.fault_table import JETSON, XIDS, Level, Row, Wait
from hal.jetson.faults import JetsonFault

PAGE = Path(__file__).parents[4] / "docs" / "recovery.md"
BEGIN, END = (
    "<!-- {}: see tests/flight/components/recovery/test_document.py -->\n",
    "<!-- end of table -->",
)
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
    return f"| {code} | {row.meaning} | {row.level.words} | {waits} | {_besides(row)} |"


def _besides(row: Row) -> str:
    asked = f"asks {row.ask.value}" if row.ask else ""
    return "; ".join(filter(None, (asked, row.advice)))


def _of_jetson(code: int, row: Row) -> str:
    return f"| {code} | {row.meaning} | {row.level.words} | {_besides(row)} |"


def _table(*lines: str) -> str:
    return "\n".join(lines) + "\n"


TABLES = {
    "XIDs": _table(
        "| XID | meaning | action | waits for | and besides |",
        "|---|---|---|---|---|",
        *(_row(code, row) for code, row in sorted(XIDS.items())),
    ),
    "Jetson": _table(
        "| code | meaning | action | and besides |",
        "|---|---|---|---|",
        *(
            _of_jetson(code, row)
            for (_, code), row in sorted(JETSON.items(), key=lambda x: x[0][1])
        ),
    ),
}
"""The tables in Markdown, by the word that stands before them."""


@pytest.mark.parametrize("name", TABLES)
def test_the_page_shows_the_table_that_flies(name: str) -> None:
    shown = PAGE.read_text(encoding="utf-8").partition(BEGIN.format(name))[2].partition(END)[0]
    assert shown == TABLES[name]


def test_every_fault_of_a_jetson_has_a_row_of_its_kind() -> None:
    assert [code for _, code in JETSON] == [int(fault) for fault in JetsonFault]


if __name__ == "__main__":
    for name, table in TABLES.items():
        before, mark, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN.format(name))
        PAGE.write_text(before + mark + table + END + rest.partition(END)[2], encoding="utf-8")
