"""One file on its way up, and the record that lets it survive a restart."""

from __future__ import annotations

import enum
import json
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain

from flight.components.file_store.ranges import Ranges
from flight.components.file_store.storage_answers import MAX_NUMBER
from flight.framework.ports import Refused
from flight.storage import file_names

FORMAT = 1


@enum.unique
class Phase(enum.Enum):
    """Where one transfer is; segments are taken only while it is open."""

    OPENING = "being opened"
    OPEN = "open"
    CHECKING = "being checked"
    MOVING = "being put in place"
    ABORTING = "being aborted"


@dataclass(eq=False)
class Put:
    """One file on its way up; `received` holds only what storage has made durable."""

    transaction: int
    path: str
    size: int
    crc32: int
    received: Ranges = field(default_factory=Ranges)
    phase: Phase = Phase.OPENING
    active_ns: int = 0
    unsaved: int = 0
    is_space_told: bool = False
    is_bare: bool = False
    """No sidecar could be made for it."""
    askers: list[int] = field(default_factory=list)
    """Who waits for the end of the chain that is under way."""

    @cached_property
    def part(self) -> str:
        """Where its octets are kept until they are all there and right."""
        return f"{file_names.INCOMING}/{self.transaction}.part"

    @property
    def record(self) -> str:
        """Where its description is kept across a restart."""
        return f"{file_names.INCOMING}/{self.transaction}.json"

    @property
    def is_whole(self) -> bool:
        return self.received.contiguous >= self.size

    def is_same(self, path: str, size: int, crc32: int) -> bool:
        return (self.path, self.size, self.crc32) == (path, size, crc32)

    def to_record(self) -> bytes:
        """The file that describes it."""
        plain = {
            "format": FORMAT,
            "transaction": self.transaction,
            "path": self.path,
            "size": self.size,
            "crc32": self.crc32,
            "received": list(self.received),
        }
        return json.dumps(plain).encode()

    @classmethod
    def from_record(cls, data: bytes, part_size: int | None) -> Put:
        """Read such a file; raises ValueError when it is none.

        Octets beyond `part_size` are not there, whatever the record says. Without a part (None)
        the file may already be in its place: what the record says stands until put_end looks.
        """
        try:
            plain = json.loads(data)
            if plain["format"] != FORMAT:
                raise ValueError(f"format {plain['format']}")
            numbers = [plain[name] for name in ("transaction", "size", "crc32")]
            ranges = [(start, end) for start, end in plain["received"]]
            for number in (*numbers, *chain.from_iterable(ranges)):
                if type(number) is not int or not 0 <= number <= MAX_NUMBER:
                    raise ValueError(f"{number!r} is out of range")
            file_names.check_writable(plain["path"])
        except (KeyError, TypeError, AttributeError, Refused) as error:
            raise ValueError(repr(error)) from error
        transaction, size, crc32 = numbers
        received = Ranges(ranges)
        if part_size is None and not received.covers(0, size):
            part_size = 0
        received.cut(size if part_size is None else min(size, part_size))
        return cls(transaction, plain["path"], size, crc32, received, Phase.OPEN)
