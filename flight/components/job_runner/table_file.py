"""How the job table lies on disk (format and checksum, then JSON), and how it is written."""

from __future__ import annotations

import base64
import binascii
import json
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from typing import Any

from flight.components.job_runner.protection_counts import counts_of
from flight.components.job_runner.records import Commit, Digest, Ending, JobPhase, JobRecord
from flight.fault_tolerance.levels import Protection
from flight.framework.ports import Storage
from flight.framework.time_units import SECOND
from flight.storage.script import Script, StorageFailed, must, perform, tolerate

FORMAT = 1
LATER: dict[str, Any] = {"protection": Protection.ADAPTIVE, "tally": (), "told": ()}
"""What rows did not have at first, and what it is where it is not there."""
FOLDER = "state/jobs"
TABLE = f"{FOLDER}/table.json"
BACKUP = f"{FOLDER}/table.backup.json"
DRAFT = f"{FOLDER}/table.draft.json"
TORN = f"{FOLDER}/table.torn.json"
PRODUCTS = "state/files/products"
PIECE = 32_768
LARGEST = 4 << 20
MARGIN = 1024
"""Ids left out after the newest table was lost: some may have been given away."""
_NUMBERED = re.compile(r"(?:job-)?(\d{1,9})")


class TableError(ValueError):
    """The octets are no job table that this software wrote."""


@dataclass(frozen=True)
class Table:
    """The job table as read."""

    records: tuple[JobRecord, ...] = ()
    next_id: int = 1
    damage: str = ""
    """What was wrong with the newest table; empty: nothing."""


def encode(records: Iterable[JobRecord], next_id: int) -> bytes:
    """The octets of a table."""
    rows = [_row(record) for record in records]
    body = json.dumps({"next_id": next_id, "jobs": rows}, separators=(",", ":")).encode()
    head = json.dumps({"format": FORMAT, "crc32": zlib.crc32(body)}).encode()
    return head + b"\n" + body + b"\n"


def decode(octets: bytes) -> Table:
    """The table that octets hold; raises TableError."""
    head, _, body = octets.rstrip(b"\n").partition(b"\n")
    try:
        said = json.loads(head)
        if said["format"] != FORMAT:
            raise TableError(f"format {said['format']}; this reads {FORMAT}")
        if said["crc32"] != zlib.crc32(body):
            raise TableError("its checksum does not match")
        plain = json.loads(body)
        return Table(tuple(_record(row) for row in plain["jobs"]), int(plain["next_id"]))
    except TableError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, binascii.Error) as error:
        raise TableError(f"not a job table: {type(error).__name__}") from None


def _row(record: JobRecord) -> dict[str, Any]:
    return asdict(record) | {"arguments": base64.b64encode(record.arguments).decode()}


def _record(row: dict[str, Any]) -> JobRecord:
    known = {field.name for field in fields(JobRecord)}
    row = LATER | row
    if set(row) != known:
        raise TableError("its rows have other fields")
    return JobRecord(
        **(
            row
            | {
                "arguments": base64.b64decode(row["arguments"], validate=True),
                "phase": JobPhase(row["phase"]),
                "ending": Ending(row["ending"]),
                "commit": Commit(**row["commit"]) if row["commit"] else None,
                "previous": Commit(**row["previous"]) if row["previous"] else None,
                "protection": Protection(row["protection"]),
                "tally": counts_of(row["tally"]),
                "told": counts_of(row["told"]),
                "inputs": {name: Digest(**digest) for name, digest in row["inputs"].items()},
            }
        )
    )


# ---------------------------------------------------------------- scripts


def write_table(octets: bytes, path: str = TABLE) -> Script[None]:
    """Replace a table; a power-off leaves the old one or the new one."""
    if len(octets) <= PIECE:
        yield from must("write", path=path, data=octets)
        return
    yield from must("truncate", path=DRAFT, size=0)
    for offset in range(0, len(octets), PIECE):
        piece = octets[offset : offset + PIECE]
        yield from must("write_at", path=DRAFT, offset=offset, data=piece)
    yield from must("rename", source=DRAFT, destination=path)


def read_table() -> Script[Table]:
    """The newest whole table. A damaged one is put aside, and its ids are not used again."""
    yield from must("make_dir", path=FOLDER)
    newest = yield from _read_one(TABLE)
    if isinstance(newest, Table):
        return newest
    backup = yield from _read_one(BACKUP)
    if newest:
        yield from tolerate("rename", "ENOENT", source=TABLE, destination=TORN)
    if isinstance(backup, Table):
        return Table(backup.records, backup.next_id + MARGIN, newest or "it is gone")
    highest = yield from _highest_id()
    damage = newest or backup
    return Table((), highest + 1 + (MARGIN if damage else 0), damage)


def _read_one(path: str) -> Script[Table | str]:
    """The table at a path, or what is wrong with it; empty: there is none."""
    octets = yield from _read_whole(path)
    if octets is None:
        return ""
    try:
        return decode(octets)
    except TableError as error:
        return str(error)


def _read_whole(path: str) -> Script[bytes | None]:
    octets = b""
    while len(octets) < LARGEST:
        try:
            piece = yield from must("read", path=path, offset=len(octets), length=PIECE)
        except StorageFailed as failure:
            if failure.error == "ENOENT":
                return None
            if failure.error == "EIO":
                return octets
            raise
        octets += piece
        if len(piece) < PIECE:
            break
    return octets


def _highest_id() -> Script[int]:
    """The highest job id that has left a folder behind; 0 without any."""
    highest = 0
    for folder in (FOLDER, PRODUCTS):
        offset = 0
        while rows := (yield from tolerate("list", "ENOENT", path=folder, offset=offset)):
            highest = max([highest, *_numbers(rows)])
            offset += len(rows)
    return highest


def _numbers(rows: list[list[Any]]) -> Iterator[int]:
    for name, *_ in rows:
        if found := _NUMBERED.fullmatch(name):
            yield int(found[1])


AGAIN = 1 * SECOND


Failed = Callable[[StorageFailed], None]


class TableFile:
    """Writes what `picture` returns; a failed write is tried again a second later.

    `failed` is called for each write that failed.
    """

    def __init__(
        self,
        storage: Storage,
        picture: Callable[[], bytes],
        failed: Failed,
        clock: Callable[[], int],
    ) -> None:
        self._storage = storage
        self._picture = picture
        self._failed = failed
        self._clock = clock
        self._is_writing = False
        self._requested = 0
        self._durable = 0
        self._waiting: list[tuple[int, Callable[[], None], Failed]] = []
        self.retry_at: int | None = None

    def request(self) -> None:
        """Have the table written as it is now or later."""
        self._requested += 1
        self._begin()

    def when_durable(self, done: Callable[[], None], failed: Failed) -> None:
        """Call `done` once all that was requested is on disk, or `failed` if a write is not."""
        self._waiting.append((self._requested, done, failed))

    def run(self, now: int) -> None:
        """Try again when it is time to."""
        if self.retry_at is not None and now >= self.retry_at:
            self.retry_at = None
            self._begin()

    def _begin(self) -> None:
        if self._is_writing or self.retry_at is not None:
            return
        self._is_writing = True
        number, octets = self._requested, self._picture()
        perform(
            self._storage,
            write_table(octets),
            lambda _: self._written(number, octets),
            lambda failure: self._not_written(number, failure),
        )

    def _written(self, number: int, octets: bytes) -> None:
        self._durable = number
        ready = self._take(number)
        if self._requested > number:
            self._idle()
        else:
            # The second copy is for a table that rots; it may lag, and its failure costs nothing.
            second = write_table(octets, BACKUP)
            perform(self._storage, second, lambda _: self._idle(), lambda _: self._idle())
        for done, _ in ready:
            done()

    def _idle(self) -> None:
        self._is_writing = False
        if self._requested > self._durable:
            self._begin()

    def _not_written(self, number: int, failure: StorageFailed) -> None:
        self._is_writing = False
        self.retry_at = self._clock() + AGAIN
        self._failed(failure)
        for _, failed in self._take(number):
            failed(failure)

    def _take(self, number: int) -> list[tuple[Callable[[], None], Failed]]:
        taken = [(done, failed) for wanted, done, failed in self._waiting if wanted <= number]
        self._waiting = [row for row in self._waiting if row[0] > number]
        return taken
