"""A job's status page: what the job tells of itself, and the one word the executive tells it.

The page is two copies, written in turn, each with a sequence number and a checksum. A reader takes
the newer copy that is whole: a writer killed in the middle of a write, or a processor that shows
stores in another order, costs one update and never the page. The reader reads the file and does
not map it: a job that cuts its page short cannot crash who reads it.
"""

from __future__ import annotations

import mmap
import os
import struct
import zlib
from pathlib import Path
from typing import Any

from flight.components.job_runner.ports import MOST_METRICS, Control, JobStatus, PagePhase
from flight.fault_tolerance.levels import TALLIES, Level

NAME = "status"
SIZE = 4096
_MAGIC = b"VASTAT\x00\x01"
_CONTROL_AT = 64
_LEVEL_AT = 65
_COPIES_AT = (1024, 2048)
_TEXT = 160
_BODY = struct.Struct(f"<QIIQBBQQQQBQQIB{TALLIES}Q{MOST_METRICS}d{_TEXT}s")
_CRC = struct.Struct("<I")
_WHOLE = _BODY.size + _CRC.size
_ATTEMPTS = 4
_PHASES = frozenset(int(phase) for phase in PagePhase)


class StatusWriter:
    """The job's side; one writer a page."""

    def __init__(self, page: mmap.mmap, status: JobStatus) -> None:
        self._page = page
        self._sequence = 0
        self.status = status
        self.update()

    @classmethod
    def create(cls, path: Path, job_id: int, level: Level = Level.NONE) -> StatusWriter:
        """Make a new page in place of an old one, with the level that the job begins at.

        Raises OSError when there is no room.
        """
        temporary = path.with_name(path.name + ".new")
        fd = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            # Room is taken now: a store into a hole of a full disk would be a bus error later.
            os.posix_fallocate(fd, 0, SIZE)
            page = mmap.mmap(fd, SIZE)
        finally:
            os.close(fd)
        page[: len(_MAGIC)] = _MAGIC
        page[_LEVEL_AT] = level
        writer = cls(page, JobStatus(job_id=job_id, level=level))
        temporary.replace(path)
        return writer

    def update(self, **fields: Any) -> None:
        """Change fields and publish the page."""
        self.status = status = self.status._replace(**fields)
        self._sequence += 1
        body = _pack(self._sequence, status)
        at = _COPIES_AT[self._sequence % 2]
        self._page[at : at + len(body)] = body

    @property
    def control(self) -> Control:
        """What the executive asks; a word that is none of them means: go on."""
        try:
            return Control(self._page[_CONTROL_AT])
        except ValueError:
            return Control.RUN

    @property
    def level(self) -> Level:
        """How the executive wants results protected; a word that is no level means none."""
        try:
            return Level(self._page[_LEVEL_AT])
        except ValueError:
            return Level.NONE

    def close(self) -> None:
        """Let go of the page; the file stays."""
        self._page.close()


class StatusPage:
    """The executive's side; implements ``flight.components.job_runner.ports.StatusPage``."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    @classmethod
    def open(cls, path: Path) -> StatusPage:
        """Open a page. Raises OSError when there is none, ValueError when it is not one."""
        fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            if os.pread(fd, len(_MAGIC), 0) != _MAGIC:
                raise ValueError(f"{path} is not a status page")
        except BaseException:
            os.close(fd)
            raise
        return cls(fd)

    def read(self) -> JobStatus | None:
        """The page as it stands; None when neither copy is whole or its phase is none."""
        for _ in range(_ATTEMPTS):
            page = os.pread(self._fd, _COPIES_AT[1] - _COPIES_AT[0] + _WHOLE, _COPIES_AT[0])
            copies = (_unpack(page, at - _COPIES_AT[0]) for at in _COPIES_AT)
            found = [copy for copy in copies if copy is not None]
            if found:
                return max(found)[1]
        return None

    def command(self, control: int) -> None:
        """Ask the job to run, pause or cancel."""
        os.pwrite(self._fd, bytes([Control(control)]), _CONTROL_AT)

    def protect(self, level: int) -> None:
        """Say how the job's results are to be protected from its next safe point on."""
        os.pwrite(self._fd, bytes([Level(level)]), _LEVEL_AT)

    def close(self) -> None:
        """Let go of the page."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class StatusPages:
    """Finds the pages of jobs below a run directory; implements ``ports.StatusPages``."""

    def __init__(self, run_dir: Path) -> None:
        self._jobs = run_dir / "jobs"

    def open(self, job_id: int) -> StatusPage | None:
        """The page of that job; None while there is none, or it is not whole."""
        try:
            return StatusPage.open(self._jobs / str(job_id) / NAME)
        except (OSError, ValueError):
            return None


def _pack(sequence: int, status: JobStatus) -> bytes:
    metrics = (status.metrics + (0.0,) * MOST_METRICS)[:MOST_METRICS]
    body = _BODY.pack(
        sequence,
        *status[:4],
        status.is_unconfined,
        *status[5:13],
        status.level,
        *status.tally,
        *metrics,
        _fit(status.message),
    )
    return body + _CRC.pack(zlib.crc32(body))


def _unpack(page: bytes, at: int) -> tuple[int, JobStatus] | None:
    body, crc = page[at : at + _BODY.size], page[at + _BODY.size : at + _WHOLE]
    if len(crc) != _CRC.size or _CRC.unpack(crc)[0] != zlib.crc32(body):
        return None
    sequence, *values, text = _BODY.unpack(body)
    counts, metrics = values[:-MOST_METRICS], tuple(values[-MOST_METRICS:])
    head, tally = counts[:-TALLIES], tuple(counts[-TALLIES:])
    if sequence == 0 or head[3] not in _PHASES:
        return None
    head[4] = bool(head[4])
    message = text.rstrip(b"\0").decode(errors="replace")
    return sequence, JobStatus._make((*head, tally, metrics, message))


def _fit(text: str) -> bytes:
    """As much of a text as there is room for, whole characters only."""
    return text.encode(errors="replace")[:_TEXT].decode(errors="ignore").encode()
