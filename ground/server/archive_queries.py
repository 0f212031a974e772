"""Questions to the archive: where numbering goes on, history, past events, packets in a range."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ground.server.archive import COLUMNS, MOST_WAITING, reading

_EVENT_COLUMNS = (
    "cursor",
    "payload",
    "received_ns",
    "time_ns",
    "severity",
    "name",
    "text",
    "arguments",
)


def next_sequence(path: Path) -> int:
    """A packet sequence above every one ever handed out, those lost in a crash included.

    The newest packets are not those with the latest date, where somebody set the date back: what
    came since the newest event by sequence counts as well.
    """
    with reading(path) as connection:
        (last,) = connection.execute(
            "SELECT max(sequence) FROM packets WHERE received_ns >= -3600000000000 + min("
            "(SELECT max(received_ns) FROM packets), coalesce("
            "(SELECT received_ns FROM events ORDER BY sequence DESC LIMIT 1), 1 << 62))"
        ).fetchone()
        (event,) = connection.execute("SELECT max(sequence) FROM events").fetchone()
    highest = max(last or 0, event or 0)
    return highest + 2 * MOST_WAITING if highest else 1


def next_command_id(path: Path) -> int:
    with reading(path) as connection:
        (last,) = connection.execute("SELECT max(id) FROM commands").fetchone()
    return (last or 0) + 100 if last else 1


def last_counts(path: Path) -> dict[tuple[int, int], int]:
    """The last telecommand sequence count by (payload id, APID)."""
    with reading(path) as connection:
        rows = connection.execute(
            "SELECT payload, apid, count FROM commands WHERE id IN "
            "(SELECT max(id) FROM commands GROUP BY payload, apid)"
        ).fetchall()
    return {(payload, apid): count for payload, apid, count in rows}


def commands(
    path: Path, payload: int, limit: int, *, pending: bool = False
) -> list[dict[str, Any]]:
    """The newest command records of a payload, oldest first."""
    condition = "AND state IN ('sent', 'accepted', 'started', 'progress')" if pending else ""
    with reading(path) as connection:
        rows = connection.execute(
            f"SELECT record FROM commands WHERE payload = ? {condition} ORDER BY id DESC LIMIT ?",
            (payload, limit),
        ).fetchall()
    return [json.loads(record) for (record,) in reversed(rows)]


def events(path: Path, payload: int, after: int, limit: int) -> list[dict[str, Any]]:
    """Events with a cursor above `after`, oldest first."""
    with reading(path) as connection:
        rows = connection.execute(
            "SELECT * FROM events WHERE payload = ? AND sequence > ? ORDER BY sequence LIMIT ?",
            (payload, after, limit),
        ).fetchall()
    listed = [dict(zip(_EVENT_COLUMNS, row, strict=True)) for row in rows]
    for event in listed:
        event["arguments"] = json.loads(event["arguments"])
    return listed


def packets(
    path: Path, *, since_ns: int = 0, until_ns: int = 2**62, payload: int | None = None
) -> Iterator[dict[str, Any]]:
    """Raw packets in the order they came, by receive time."""
    condition, values = "received_ns BETWEEN ? AND ?", [since_ns, until_ns]
    if payload is not None:
        condition += " AND payload = ?"
        values.append(payload)
    with reading(path) as connection:
        for row in connection.execute(
            f"SELECT * FROM packets WHERE {condition} ORDER BY received_ns, sequence", values
        ):
            yield dict(zip(COLUMNS, row, strict=True))


def identities(path: Path) -> list[tuple[int, int, str]]:
    """(received ns, payload id, wire hash) of what payloads told of themselves, oldest first."""
    with reading(path) as connection:
        return connection.execute(
            "SELECT received_ns, payload, wire_hash FROM identities ORDER BY received_ns"
        ).fetchall()
