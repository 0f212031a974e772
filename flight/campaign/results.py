"""The file of results: one line a trial, in order of trials, each with its checksum.

Whatever a power-off leaves of it is the beginning of the whole file: reading stops at the first
line that is torn or rotten, and the campaign goes on from there.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Record = dict[str, Any]

FILE = "results.jsonl"
_SYNC_EVERY = 1000
"""Lines between two syncs; what is lost with a power-off is computed again."""


class OtherCampaign(ValueError):
    """The folder holds results of another campaign; the message says what to do."""


class Results:
    """Results in a folder, opened to add to them; what is not sound at the end is cut off.

    Raises OtherCampaign.
    """

    def __init__(self, folder: Path, digest: str) -> None:
        self._path = folder / FILE
        header = _line({"format": 1, "digest": digest})
        self.count, size = _sound(self._path, digest)
        self._file = self._path.open("r+b" if size else "wb")
        self._file.truncate(size)
        self._file.seek(size)
        self._unsynced = 0
        if not size:
            self._file.write(header)

    def __enter__(self) -> Results:
        return self

    def __exit__(self, *_: object) -> None:
        self._sync()
        self._file.close()

    def append(self, record: Record) -> None:
        """Add the record of the next trial."""
        self._file.write(_line(record))
        self.count += 1
        self._unsynced += 1
        if self._unsynced >= _SYNC_EVERY:
            self._sync()

    def _sync(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._unsynced = 0


def read(folder: Path) -> Iterator[Record]:
    """The records of a folder, up to the first line that is not sound."""
    path = folder / FILE
    if not path.exists():
        return
    with path.open("rb") as file:
        if _content(file.readline()) is None:
            return
        for expected, line in enumerate(file):
            record = _content(line)
            if record is None or record.get("trial") != expected:
                return
            yield record


def _sound(path: Path, digest: str) -> tuple[int, int]:
    """How many sound records there are, and the octets up to the end of the last."""
    if not path.exists():
        return 0, 0
    with path.open("rb") as file:
        first = file.readline()
        header = _content(first)
        if header is None:
            return 0, 0
        if header.get("digest") != digest:
            raise OtherCampaign(
                f"{path} holds results of another campaign (its file has changed since); "
                "give another folder with --out, or put the old file back"
            )
        count, size = 0, len(first)
        for line in file:
            record = _content(line)
            if record is None or record.get("trial") != count:
                break
            count, size = count + 1, size + len(line)
    return count, size


def _line(record: Record) -> bytes:
    body = json.dumps(record, separators=(",", ":"), ensure_ascii=False)
    checked = f'{body[:-1]},"crc":"{zlib.crc32(body.encode()):08x}"}}\n'
    return checked.encode()


_TAIL = len(',"crc":"01234567"}\n')


def _content(line: bytes) -> Record | None:
    """The record of a line, or None when it is not whole and sound."""
    body = line[:-_TAIL] + b"}"
    if line[-_TAIL:] != f',"crc":"{zlib.crc32(body):08x}"}}\n'.encode():
        return None
    record: Record = json.loads(body)
    return record
