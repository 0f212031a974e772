"""The archive: what it keeps over a kill, and what it says when it cannot keep."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from ground.errors import ConfigurationError
from ground.server import archive_queries
from ground.server.archive import EVENTS, PACKETS, Archive

OCTETS = bytes(92)


def rows(first: int, count: int) -> list[tuple[object, ...]]:
    return [
        (10**18 + n, n, 1, 2 * 10**18, 4, 3, 25, n & 0x3FFF, "lab", 0, OCTETS)
        for n in range(first, first + count)
    ]


@pytest.mark.verifies("VA-GND-03")
@pytest.mark.parametrize("count", [1, 511, 512, 513, 3000])
def test_packets_are_read_back_in_the_order_they_came(tmp_path: Path, count: int) -> None:
    archive = Archive(tmp_path / "archive.sqlite")
    archive.add(PACKETS, rows(1, count))
    archive.close()
    read = [packet["sequence"] for packet in archive_queries.packets(archive.path)]
    assert read == list(range(1, count + 1))
    assert archive.state.written == count


@pytest.mark.verifies("VA-GND-07")
def test_too_many_waiting_rows_are_dropped_and_counted(tmp_path: Path) -> None:
    archive = Archive(tmp_path / "archive.sqlite", most_waiting=10)
    assert not archive.add(PACKETS, rows(1, 11))
    assert archive.add(PACKETS, rows(1, 10))
    archive.close()
    assert (archive.state.dropped, archive.state.written) == (11, 10)


def test_a_full_disk_is_counted_and_said_and_later_packets_are_kept(tmp_path: Path) -> None:
    archive = Archive(tmp_path / "archive.sqlite")
    archive._writer.execute("PRAGMA max_page_count = 20")
    archive.add(PACKETS, rows(1, 2000))
    assert archive.flush()
    assert archive.state.lost == 2000
    assert "full" in archive.state.error
    archive._writer.execute("PRAGMA max_page_count = 100000")
    archive.add(PACKETS, rows(5000, 100))
    archive.close()
    assert (archive.state.written, archive.state.error) == (100, "")
    assert archive_queries.next_sequence(archive.path) > 5100


@pytest.mark.verifies("VA-BRD-13")
def test_a_date_that_was_set_back_has_no_sequence_handed_out_twice(tmp_path: Path) -> None:
    archive = Archive(tmp_path / "archive.sqlite")
    archive.add(PACKETS, rows(1, 100))
    year_before = 10**18 - 400 * 86_400 * 10**9
    later = [(year_before + n, n, *row) for n, (_, _, *row) in enumerate(rows(101, 50_000), 101)]
    archive.add(EVENTS, [(150, 1, year_before, 0, 1, "board.xid", "XID", "{}")])
    archive.add(PACKETS, later)
    archive.close()
    assert archive_queries.next_sequence(archive.path) > 50_100


def test_what_was_committed_survives_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "archive.sqlite"
    program = (
        "import sys; from pathlib import Path; from ground.server.archive import *\n"
        f"archive = Archive(Path({str(path)!r}))\n"
        f"row = lambda n: (10**18 + n, n, 1, 1, 4, 3, 25, n & 0x3FFF, 'lab', 0, bytes(92))\n"
        "n = 0\n"
        "while True:\n"
        "    archive.add(PACKETS, [row(n + i) for i in range(500)]); n += 500\n"
        "    archive.flush(); print(n, flush=True)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, cwd=Path.cwd()
    ) as writer:
        assert writer.stdout is not None
        promised = [int(writer.stdout.readline()) for _ in range(5)][-1]
        writer.send_signal(signal.SIGKILL)
    kept = [packet["sequence"] for packet in archive_queries.packets(path)]
    assert len(kept) >= promised
    assert kept == list(range(len(kept)))
    again = Archive(path)
    again.close()
    assert archive_queries.next_sequence(path) > len(kept)


def test_a_file_that_is_no_archive_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "archive.sqlite"
    path.write_bytes(b"this is a letter, not a database" * 100)
    with pytest.raises(ConfigurationError, match="move it away"):
        Archive(path)
    other = sqlite3.connect(tmp_path / "other.sqlite")
    other.execute("PRAGMA user_version = 99")
    other.close()
    with pytest.raises(ConfigurationError, match="its format is 99"):
        Archive(tmp_path / "other.sqlite")


def test_an_archive_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no archive at"):
        list(archive_queries.packets(tmp_path / "archive.sqlite"))
