"""The region files of a payload as the scrub worker finds, maps and mends them.

A mapped file that becomes shorter ends its readers with SIGBUS, as memory that the kernel has given
up does. So each stripe looks at the file's size first; for what cannot be looked at, `Suspicion`
remembers on disk which region was being walked, and after three deaths in a row that region is not
walked any more.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from flight.components.scrubber.regions import MOST_REGIONS, TEST_REGION, Kind, State, is_name
from icd.written import json_value

if TYPE_CHECKING:
    from flight.edac.blocks import Mended, Region
    from flight.edac.region_file import Description, RegionFile

FOLDER = "regions"
"""As `flight.edac.region_file.FOLDER`, which is imported once there is a region."""
SUSPICION = "scrub.at"
MOST_DEATHS = 3


class NotWalkable(Exception):
    """A region cannot be walked; the message says why."""


class Busy(Exception):
    """Its owner writes it now, or another process works on it."""

    def __str__(self) -> str:
        return "its owner writes it now"


@dataclass(eq=False)
class Mapped:
    """One region file, mapped."""

    name: str
    kind: Kind
    job: int
    path: Path
    file: RegionFile
    said: Description
    region: Region
    inode: int
    state: State = State.OPEN
    corrected: int = 0
    lost: set[int] = field(default_factory=set)
    """Blocks found lost that are not right again."""
    reason: str = ""
    """Why it is unusable."""

    @property
    def made(self) -> int:
        """Tells it from an earlier file of that name, and from itself with other content."""
        return (self.inode << 24 | self.said.generation & 0xFFFFFF) & ((1 << 62) - 1)

    @property
    def octets_of_block(self) -> int:
        return self.region.code.block_octets

    def look(self, first: int, last: int) -> list[Mended]:
        """Verify blocks and set right what is wrong. Raises NotWalkable, Busy, OSError."""
        with self.file.held(wait=False) as is_held:
            if not is_held:
                raise Busy
            self.refresh()
            if self.state is not State.WALKED:
                raise Busy
            found = self.region.scrub(first, last)
            if last == self.region.blocks:
                self.corrected += self.file.mend_header()
        lost = {mended.block for mended in found if mended.verdict.name == "LOST"}
        self.lost = {block for block in self.lost if not first <= block < last} | lost
        self.corrected += len(found) - len(lost)
        return found

    def put_right(self, block: int, content: bytes) -> bool:
        """Write a lost block anew; whether its hash proves it. Raises NotWalkable, Busy."""
        with self.file.held(wait=False) as is_held:
            if not is_held:
                raise Busy
            self.refresh()
            first = block * self.octets_of_block
            before = bytes(self.file.data[first : first + len(content)])
            self.file.data[first : first + len(content)] = memoryview(content)
            is_right = self.region.correct(block).verdict.name != "LOST"
            if not is_right:
                self.file.data[first : first + len(content)] = memoryview(before)
        if is_right:
            self.lost.discard(block)
        return is_right

    def refresh(self) -> None:
        """Read the header again. Raises NotWalkable."""
        from flight.edac.region_file import RegionError

        self.insist_on_size()
        try:
            said = self.file.description
        except RegionError as error:
            raise NotWalkable(str(error)) from None
        if said.generation != self.said.generation:
            self.said, self.lost = said, set()
        self.state = State.WALKED if said.is_sealed else State.OPEN

    def insist_on_size(self) -> None:
        """Raise NotWalkable when the file is shorter than what is mapped."""
        if not self.file.is_whole:
            raise NotWalkable("its file was cut short")

    def close(self) -> None:
        """Let go of the memory."""
        self.file.close()


class RegionFiles:
    """Finds the region files below a run directory."""

    def __init__(self, run_dir: Path) -> None:
        self.own_folder = run_dir / FOLDER
        self._jobs = run_dir / "jobs"
        self.left_out = 0
        """Files that are not looked after: too many, or of a name that is none."""

    def search(self) -> dict[str, tuple[Path, int, int]]:
        """Name → (path, inode, job) of every region file there is now."""
        found: dict[str, tuple[Path, int, int]] = {}
        self.left_out = 0
        for job, folder in self._folders():
            prefix = f"job-{job}." if job else ""
            for entry in _entries(folder):
                name = prefix + entry.name
                if entry.name.startswith("."):
                    continue
                if not is_name(name) or len(found) >= MOST_REGIONS:
                    self.left_out += 1
                    continue
                found[name] = Path(entry.path), entry.inode(), job
        return found

    def _folders(self) -> Iterator[tuple[int, Path]]:
        yield 0, self.own_folder
        for entry in _entries(self._jobs):
            if entry.name.isdecimal():
                yield int(entry.name), Path(entry.path) / FOLDER


def open_mapped(name: str, path: Path, job: int) -> Mapped:
    """Map a region file. Raises NotWalkable, OSError."""
    from flight.edac.region_file import RegionError, open_region

    try:
        file = open_region(path)
    except RegionError as error:
        raise NotWalkable(str(error)) from None
    try:
        said = file.description
        region = file.region()
    except RegionError as error:
        file.close()
        raise NotWalkable(str(error)) from None
    kind = kind_of(name, job, bool(said.golden))
    return Mapped(name, kind, job, path, file, said, region, file.inode)


def kind_of(name: str, job: int, has_golden: bool) -> Kind:
    """What a region is, from where it lies."""
    if job:
        return Kind.GOLDEN if has_golden else Kind.JOB
    return Kind.TEST if name == TEST_REGION else Kind.FILE


def has_owner(said: Description) -> bool:
    """Whether the process that made a region still runs."""
    from flight.edac.region_file import start_time_of

    return bool(said.start_time) and start_time_of(said.pid) == said.start_time


def identity(path: Path) -> tuple[int, int]:
    """Tells a file from a later one of that name: numbers of files are given again."""
    try:
        found = path.lstat()
    except OSError:
        return 0, 0
    return found.st_ino, found.st_mtime_ns


class Suspicion:
    """Which region is being walked, on disk: who dies there names it to the next worker."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._at = ""
        at, self._deaths = _remembered(path)
        if at:
            self._deaths[at] = self._deaths.get(at, 0) + 1
        self._write()

    def is_grave(self, name: str) -> bool:
        """Whether too many workers died while they walked that region."""
        return self._deaths.get(name, 0) >= MOST_DEATHS

    def walking(self, name: str) -> None:
        """That region is walked from now on; "" is none."""
        if name != self._at:
            self._at = name
            self._write()

    def survived(self, name: str) -> None:
        """It was walked to its end, or is another one now."""
        if self._deaths.pop(name, None):
            self._write()

    def _write(self) -> None:
        content = json.dumps({"at": self._at, "deaths": self._deaths}).encode()
        fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            os.pwrite(fd, content.ljust(os.fstat(fd).st_size), 0)
        finally:
            os.close(fd)


def _remembered(path: Path) -> tuple[str, dict[str, int]]:
    try:
        content = json_value(path.read_bytes())
        at, deaths = content["at"], content["deaths"]
        known = {name: count for name, count in deaths.items() if type(count) is int}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return "", {}
    return (at if isinstance(at, str) else ""), known


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError:
        return []
