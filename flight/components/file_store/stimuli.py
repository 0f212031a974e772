"""What the file store's lifecycle is told, and what it asks for in return: plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from flight.framework.ports import StorageResult
from flight.framework.time_units import SECOND
from icd.failures import FailureCode


@dataclass(frozen=True)
class Policy:
    """The parameters that decide."""

    idle: int = 3600 * SECOND
    """Nanoseconds after which a transfer is let go."""
    save_every: int = 64
    """Segments between two records of progress."""
    read_ahead: int = 3
    """Reads under way for each file."""


# ---------------------------------------------------------------- stimuli: telecommands


@dataclass(frozen=True)
class Telecommand:
    """What a station asks; it gets one answer, by the number of its asker."""

    asker: int
    """Counted by the component; no two telecommands have the same."""
    station: int


@dataclass(frozen=True)
class PutBegin(Telecommand):
    transaction: int
    path: str
    size: int
    crc32: int


@dataclass(frozen=True)
class PutSegment(Telecommand):
    transaction: int
    offset: int
    data: bytes = field(repr=False)


@dataclass(frozen=True)
class PutStatus(Telecommand):
    transaction: int


@dataclass(frozen=True)
class PutEnd(Telecommand):
    transaction: int


@dataclass(frozen=True)
class PutAbort(Telecommand):
    transaction: int


@dataclass(frozen=True)
class GetBegin(Telecommand):
    transaction: int
    path: str
    offset: int


@dataclass(frozen=True)
class GetMore(Telecommand):
    transaction: int
    offset: int
    length: int


@dataclass(frozen=True)
class GetEnd(Telecommand):
    transaction: int


@dataclass(frozen=True)
class List(Telecommand):
    folder: str
    """Empty: the whole store."""


@dataclass(frozen=True)
class Delete(Telecommand):
    path: str


@dataclass(frozen=True)
class DeleteFolder(Telecommand):
    path: str


@dataclass(frozen=True)
class Digest(Telecommand):
    path: str


@dataclass(frozen=True)
class Free(Telecommand): ...


@dataclass(frozen=True)
class Verify(Telecommand):
    path: str


@dataclass(frozen=True)
class Repair(Telecommand):
    path: str


# ---------------------------------------------------------------- stimuli: all else


@dataclass(frozen=True)
class Start:
    """Nothing is known yet: look for the transfers that a restart interrupted."""


@dataclass(frozen=True)
class Stored:
    """Storage answered the request of that number, or did not take it (BUSY)."""

    number: int
    result: StorageResult


@dataclass(frozen=True)
class Looked:
    """Storage looked at every octet of a file, for this component or for another."""

    path: str
    """As storage names it."""
    result: StorageResult


@dataclass(frozen=True)
class Room:
    """How many reports the link takes now, by station; one that is left out takes none."""

    reports: Mapping[int, int]


@dataclass(frozen=True)
class SegmentsSent:
    """The link took that many of the segments in the last `SendSegments`, from the first on."""

    station: int
    transaction: int
    count: int


@dataclass(frozen=True)
class EntriesSent:
    """The link took that many of the entries in the last `SendEntries`, from the first on."""

    asker: int
    count: int


@dataclass(frozen=True)
class SetPolicy:
    policy: Policy


@dataclass(frozen=True)
class Tick:
    """Time passed."""


Stimulus = (
    Telecommand | Start | Stored | Looked | Room | SegmentsSent | EntriesSent | SetPolicy | Tick
)

# ---------------------------------------------------------------- instructions


@dataclass(frozen=True)
class Submit:
    """Ask storage for `operation`; `Stored` with this number is its answer."""

    number: int
    operation: str
    arguments: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True)
class Answer:
    """The telecommand of that asker was carried out."""

    asker: int
    result: Any = None


@dataclass(frozen=True)
class Refuse:
    """The telecommand of that asker was not carried out."""

    asker: int
    reason: str
    code: FailureCode = FailureCode.REFUSED


@dataclass(frozen=True)
class Forget:
    """The telecommand of that asker was timed out long ago: it gets no answer."""

    asker: int


Segment = tuple[int, bytes]
"""Some octets of a file, behind their offset in it."""


class Entry(NamedTuple):
    """One file or folder, by its path in the file store."""

    path: str
    size: int
    is_folder: bool


@dataclass(frozen=True)
class SendSegments:
    """Give these to the link, as far as it takes them; `SegmentsSent` says how far."""

    station: int
    transaction: int
    segments: tuple[Segment, ...] = field(repr=False)


@dataclass(frozen=True)
class SendEntries:
    """Give these to the link, as far as it takes them; `EntriesSent` says how far."""

    asker: int
    station: int
    entries: tuple[Entry, ...]


Instruction = Submit | Answer | Refuse | Forget | SendSegments | SendEntries
