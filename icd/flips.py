"""Bits that flip: the message that the world sends, and what the owner of the memory did.

A draw does not know what runs. It names a place and a moment as shares of 2^64: `resolve` makes
addresses of it for a target whose layout is known. `Applied` is one flip that was done, as it
stands in the log: applied again at the same place it gives the same wrong bits.
"""

from __future__ import annotations

import enum
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from icd.written import json_value

DRAWS = "draws.jsonl"
"""What the world sends, a line a draw; beside the board-state file."""
LOG = "flips.jsonl"
"""What was flipped, a line a flip, and which draws hit nothing; beside the board-state file."""


@enum.unique
class FlipKind(enum.Enum):
    """Which part flips bits."""

    MEMORY = "memory"
    LOGIC = "logic"


@enum.unique
class Moment(enum.Enum):
    """When, within a call of the compute device."""

    BEFORE = "before"
    AFTER = "after"


class FlipLogError(ValueError):
    """A file that is no log of flips; the message says what is wrong with it."""


@dataclass(frozen=True)
class FlipDraw:
    """One upset of memory or of a result, as drawn."""

    id: int
    kind: FlipKind
    pattern: str
    where: int
    """Place, as a share of 2^64."""
    when: int
    """Moment within a step, as a share of 2^64."""
    rows: int
    columns: int
    masks: tuple[str, ...]
    """Hexadecimal, in memory order: octets of a cluster, or 32 bits for each element in turn."""
    operation: str = "xor"
    """"xor", or "or" for a not-a-number, whose bits are set."""

    def message(self) -> dict[str, Any]:
        """What is sent to the owner of the memory."""
        return {**asdict(self), "kind": self.kind.value, "masks": list(self.masks)}

    @classmethod
    def from_message(cls, message: dict[str, Any]) -> FlipDraw:
        """The draw again, as from a truth log."""
        return cls(
            **{**message, "kind": FlipKind(message["kind"]), "masks": tuple(message["masks"])}
        )


@dataclass(frozen=True)
class Target:
    """Memory that a draw is applied to."""

    job: int
    step: int
    calls: int
    """Computations within the step."""
    size: int
    """Octets."""
    row_elements: int = 1
    """Elements of four octets to a row, for wrong results."""


@dataclass(frozen=True)
class Flip:
    """Octets to change, and where and when."""

    job: int
    step: int
    call: int
    offset: int
    mask: bytes
    operation: str


def resolve(flip: FlipDraw, target: Target) -> tuple[Flip, ...]:
    """The addresses that a draw means in a target; what would lie beyond its end is left out."""
    if flip.kind is FlipKind.MEMORY:
        return _resolve_cluster(flip, target)
    call = flip.when * target.calls >> 64
    width = max(1, target.row_elements)
    elements = target.size // 4
    first = flip.where * elements >> 64
    found = []
    for index in range(flip.rows * flip.columns):
        row, column = divmod(index, flip.columns)
        element = first + row * width + column
        same_row = first % width + column < width
        if same_row and element < elements:
            mask = bytes.fromhex(flip.masks[index % len(flip.masks)])
            found.append(Flip(target.job, target.step, call, 4 * element, mask, flip.operation))
    return tuple(found)


def _resolve_cluster(flip: FlipDraw, target: Target) -> tuple[Flip, ...]:
    mask = bytes.fromhex(flip.masks[0])
    offset = flip.where * target.size >> 64
    offset -= offset % len(mask)  # a sector begins at a multiple of its size
    mask = mask[: target.size - offset]
    if not mask:
        return ()
    call = flip.when * target.calls >> 64
    return (Flip(target.job, target.step, call, offset, mask, flip.operation),)


def share_out(where: int, sizes: Sequence[int]) -> tuple[int, int] | None:
    """The one of several memories, laid end to end, that a place falls in, and the place in it.

    Both places are shares of 2^64; None when there is no memory at all.
    """
    offset = where * sum(sizes) >> 64
    for index, size in enumerate(sizes):
        if offset < size:
            return index, -(-(offset << 64) // size)  # rounded up: it means this octet again
        offset -= size
    return None


@dataclass(frozen=True)
class Letter:
    """A draw on its way to the compute context whose memory it strikes."""

    draw: FlipDraw
    pid: int
    slot: int
    """Of the context, in the board-state file."""
    elapsed_s: float
    """When the world drew it, in seconds since the scenario began."""
    acceleration: float

    def line(self) -> str:
        """One line of the file of draws."""
        return _spelt(
            {
                "t": self.elapsed_s,
                "pid": self.pid,
                "slot": self.slot,
                "acceleration": self.acceleration,
                "draw": self.draw.message(),
            }
        )

    @classmethod
    def from_line(cls, line: str) -> Letter:
        """The letter again. Raises ValueError, KeyError or TypeError for anything else."""
        body = json_value(line)
        return cls(
            FlipDraw.from_message(body["draw"]),
            body["pid"],
            body["slot"],
            body["t"],
            body["acceleration"],
        )


@dataclass(frozen=True)
class Applied:
    """One flip that was done: octets of an array, before or after a call of the compute device."""

    id: int
    """Of the draw; a draw may flip several places."""
    kind: str
    pattern: str
    job: int
    step: int
    call: int
    """Launches and copies out since the step began."""
    moment: str
    array: str
    """"allocation N" of the device, "argument N" of the call, or its "result N"."""
    offset: int
    mask: str
    operation: str
    t: float
    """When it was drawn, in seconds since the scenario began."""
    pid: int
    unix_ns: int
    acceleration: float

    def line(self) -> str:
        """One line of the log."""
        return _spelt({"type": "flip", **asdict(self)})


def begun_line(job: int, step: int, pid: int) -> str:
    """The line that says which process computes a job from a step on."""
    return _spelt({"type": "begun", "job": job, "step": step, "pid": pid})


def missed_line(draw: FlipDraw, elapsed_s: float, reason: str) -> str:
    """The line for a draw that hit nothing that anybody uses."""
    return _spelt({"type": "missed", "id": draw.id, "t": elapsed_s, "reason": reason})


def append(path: Path, *lines: str) -> None:
    """Add lines to a log that several processes write; each call is one write."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, "".join(lines).encode())
    finally:
        os.close(descriptor)


def read_log(path: Path) -> list[dict[str, Any]]:
    """All records of a log of flips; raises FlipLogError for anything else."""
    try:
        records = [json_value(line) for line in path.read_bytes().splitlines()]
    except OSError as error:
        raise FlipLogError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise FlipLogError(f"{path}: not a log of flips: {error}") from error
    if not all(isinstance(record, dict) and "type" in record for record in records):
        raise FlipLogError(f"{path}: not a log of flips: a line of it is no record")
    return records


def effective(records: Iterable[dict[str, Any]], job: int) -> list[Applied]:
    """The flips of a job that its result still holds, in their order.

    A job that was started again from a commit has forgotten what was flipped after it: the flips
    that an earlier process had from that step on are left out.
    """
    kept: list[Applied] = []
    for record in records:
        if record.get("job") != job:
            continue
        if record["type"] == "begun":
            kept = [flip for flip in kept if flip.step < record["step"]]
        elif record["type"] == "flip":
            kept.append(_applied(record))
    return kept


def _applied(record: dict[str, Any]) -> Applied:
    try:
        return Applied(**{name: value for name, value in record.items() if name != "type"})
    except TypeError as error:
        raise FlipLogError(f"not a log of flips: {error}") from error


def _spelt(record: dict[str, Any]) -> str:
    return json.dumps(record, ensure_ascii=False, separators=(",", ":"), allow_nan=False) + "\n"
