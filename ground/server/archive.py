"""The archive: raw packets, events and command history in SQLite, written by a thread of its own.

Raw packets are the truth; everything else can be made from them again. What cannot be kept, for a
full queue or a full disk, is counted and reported, and never holds up decoding.
"""

from __future__ import annotations

import contextlib
import functools
import sqlite3
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ground.errors import ConfigurationError

FORMAT = 1
BATCH = 2000
"""Packets that make a transaction due at once; fewer wait up to 0.2 s."""
PATIENCE_S = 0.2
MOST_WAITING = 200_000
"""Rows that may wait for the writer; more are dropped and counted."""
COLUMNS = (
    "received_ns",
    "sequence",
    "payload",
    "time_ns",
    "apid",
    "service",
    "subtype",
    "count",
    "link",
    "quality",
    "octets",
)
Row = tuple[Any, ...]

_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS packets (
    received_ns INTEGER NOT NULL, sequence INTEGER NOT NULL, payload INTEGER NOT NULL,
    time_ns INTEGER, apid INTEGER, service INTEGER, subtype INTEGER, count INTEGER,
    link TEXT NOT NULL, quality INTEGER NOT NULL, octets BLOB NOT NULL,
    PRIMARY KEY (received_ns, sequence)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS events (
    sequence INTEGER PRIMARY KEY, payload INTEGER NOT NULL, received_ns INTEGER NOT NULL,
    time_ns INTEGER NOT NULL, severity INTEGER NOT NULL, name TEXT NOT NULL, text TEXT NOT NULL,
    arguments TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS commands (
    id INTEGER PRIMARY KEY, payload INTEGER NOT NULL, apid INTEGER NOT NULL,
    count INTEGER NOT NULL, name TEXT NOT NULL, queued_ns INTEGER NOT NULL,
    state TEXT NOT NULL, record TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS identities (
    received_ns INTEGER NOT NULL, payload INTEGER NOT NULL, boot_count INTEGER NOT NULL,
    software TEXT NOT NULL, wire_hash TEXT NOT NULL, text_hash TEXT NOT NULL,
    PRIMARY KEY (received_ns, payload)) WITHOUT ROWID;
PRAGMA user_version = {FORMAT};
"""


PACKETS, EVENTS, COMMANDS, IDENTITIES = "packets", "events", "commands", "identities"
_WIDTH = {PACKETS: len(COLUMNS), EVENTS: 8, COMMANDS: 8, IDENTITIES: 6}
_ROWS_AT_ONCE = 512
"""Rows of one INSERT. SQLite gives up the interpreter lock once a statement: with one row each,
the writer would queue for the lock behind a busy decoder a thousand times as often."""


@functools.cache
def _insert(table: str, columns: int, rows: int) -> str:
    row = "(" + ",".join("?" * columns) + ")"
    verb = "INSERT" if table == PACKETS else "INSERT OR REPLACE"
    return f"{verb} INTO {table} VALUES " + ",".join([row] * rows)


@dataclass
class ArchiveState:
    """What became of the rows that were handed in."""

    written: int = 0
    dropped: int = 0
    """Refused because too many were waiting."""
    lost: int = 0
    """Taken, and then not writable: the disk was full."""
    waiting: int = 0
    error: str = ""
    """The last write's trouble; empty when it went well."""


class Archive:
    """One database file and its writer thread."""

    def __init__(self, path: Path, *, most_waiting: int = MOST_WAITING) -> None:
        """Opens or makes the file; raises ConfigurationError when it is not ours."""
        self.path = path
        self.state = ArchiveState()
        self._most_waiting = most_waiting
        self._work: deque[tuple[str, list[Any]]] = deque()
        self._flushes: list[threading.Event] = []
        self._changed = threading.Condition()
        self._is_closing = False
        try:
            self._writer = _open_for_writing(path)
        except sqlite3.DatabaseError as error:
            raise ConfigurationError(
                f"{path} is not a usable archive ({error}); move it away to start a new one"
            ) from error
        self._thread = threading.Thread(
            target=self._write_until_closed, name="archive", daemon=True
        )
        self._thread.start()

    def add(self, table: str, rows: Sequence[Row]) -> bool:
        """Hand rows to the writer; False when they were dropped because too many wait."""
        return self._add(table, [value for row in rows for value in row])

    def add_packets(self, cells: list[Any]) -> bool:
        """Hand packets to the writer, all their columns in one flat list, which is now its own."""
        return self._add(PACKETS, cells)

    def _add(self, table: str, cells: list[Any]) -> bool:
        rows = len(cells) // _WIDTH[table]
        with self._changed:
            before = self.state.waiting
            if before + rows > self._most_waiting:
                self.state.dropped += rows
                return False
            self._work.append((table, cells))
            self.state.waiting = before + rows
            if before < BATCH <= self.state.waiting:
                self._changed.notify()
        return True

    def flush(self, timeout_s: float = 10.0) -> bool:
        """Wait until everything handed in so far was tried; False after `timeout_s`."""
        done = threading.Event()
        with self._changed:
            self._flushes.append(done)
            self._changed.notify()
        return done.wait(timeout_s)

    def close(self) -> None:
        """Write what waits and end the thread."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        self._thread.join()
        self._writer.close()

    def _write_until_closed(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(self._is_due, PATIENCE_S)
                work, flushes = list(self._work), self._flushes
                self._work.clear()
                self._flushes = []
                is_closing = self._is_closing
            self._write(work)
            for done in flushes:
                done.set()
            if is_closing and not self._work:
                return

    def _is_due(self) -> bool:
        return self._is_closing or bool(self._flushes) or self.state.waiting >= BATCH

    def _write(self, work: list[tuple[str, list[Any]]]) -> None:
        if not work:
            return
        total = sum(len(cells) // _WIDTH[table] for table, cells in work)
        try:
            with self._writer:
                for table, cells in work:
                    self._insert(table, cells)
        except sqlite3.Error as error:
            with self._changed:
                self.state.lost += total
                self.state.error = f"archive {self.path}: {error}"
        else:
            with self._changed:
                self.state.written += total
                self.state.error = ""
        finally:
            with self._changed:
                self.state.waiting -= total

    def _insert(self, table: str, cells: list[Any]) -> None:
        width = _WIDTH[table]
        most = _ROWS_AT_ONCE * width
        for start in range(0, len(cells), most):
            chunk = cells[start : start + most] if len(cells) > most else cells
            self._writer.execute(_insert(table, width, len(chunk) // width), chunk)


def _open_for_writing(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, check_same_thread=False)
    try:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version not in (0, FORMAT):
            raise sqlite3.DatabaseError(f"its format is {version}, this reads {FORMAT}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA wal_autocheckpoint = 8000")
        connection.executescript(_SCHEMA)
    except BaseException:
        connection.close()
        raise
    return connection


@contextlib.contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """A read-only connection, beside whoever writes."""
    if not path.exists():
        raise ConfigurationError(f"no archive at {path}; name the --state folder of a server")
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        yield connection
    finally:
        connection.close()
