"""Bits that flip in what the host's compute device holds: drawn by the world, done here.

The driver stands where the device's memory stands, so it is the one that can change it.

memory   the octets that the device holds: live allocations, and arrays that a launch is given;
         changed before the next call (a launch, or a copy out)
logic    what a launch wrote, see `written`; changed as soon as it has ended

`Struck` takes draws from the board, and writes each flip into the log before it is done.
`Replayed` does again what a log says.
"""

from __future__ import annotations

import os
import sys
import time
import weakref
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hal.errors import ComputeError
from hal.kernels import Kernel
from icd import flips
from icd.board_state import ContextRow
from icd.flips import Applied, FlipDraw, FlipKind, Letter, Moment, Target

Array = NDArray[Any]


class Named(NamedTuple):
    """An array, and what the log calls it."""

    name: str
    array: Array


class Flips:
    """Knows where a job is and what the device holds; each kind of flips builds on it."""

    def __init__(self) -> None:
        self.job = self.step = 0
        self.call = -1
        self._count = 0
        self._held: dict[int, weakref.ref[Array]] = {}

    def mark(self, job: int, step: int) -> None:
        """`step` steps of the job are done; calls are counted from here."""
        if (job, step) != (self.job, self.step):
            self.job, self.step, self.call = job, step, -1

    def allocated(self, array: Array) -> None:
        """The device holds one array more."""
        self._held = {number: held for number, held in self._held.items() if held() is not None}
        self._held[self._count] = weakref.ref(array)
        self._count += 1

    def before(self, arguments: Sequence[Any]) -> None:  # noqa: ARG002  (for those built on it)
        """A call begins: a launch with these arguments, or a copy out."""
        self.call += 1

    def after(self, function: Any, arguments: Sequence[Any], result: Any) -> None:
        """The launch that began last has ended."""

    def close(self) -> None:
        """The device is closed; its memory is gone."""

    def _held_by_device(self) -> list[Named]:
        held = ((f"allocation {number}", found()) for number, found in self._held.items())
        return [Named(name, array) for name, array in held if array is not None]

    def _memory(self, arguments: Sequence[Any]) -> list[Named]:
        """What the device holds while a call with these arguments runs."""
        held = self._held_by_device()
        given = [
            one
            for one in _arrays(arguments, "argument")
            if not any(np.may_share_memory(one.array, other.array) for other in held)
        ]
        return [one for one in (*held, *given) if _can_change(one.array)]

    def _written(self, function: Any, arguments: Sequence[Any], result: Any) -> list[Named]:
        """What a launch wrote, as far as can be known; of anything else, what the device holds.

        A kernel writes its last arguments. A function writes the arrays that it returns; one that
        returns nothing at all writes its last array.
        """
        given = [one for one in _arrays(arguments, "argument") if _can_change(one.array)]
        if isinstance(function, Kernel):
            return given[-function.outputs :]
        results = result if isinstance(result, (tuple, list)) else (result,)
        found = [one for one in _arrays(results, "result") if _can_change(one.array)]
        if found or (result is None and given):
            return found or given[-1:]
        return [one for one in self._held_by_device() if _can_change(one.array)]


class Struck(Flips):
    """Flips that the board of a state file sends to one context, with flips on in its scenario."""

    def __init__(self, board_state: Path) -> None:
        """Make it before the context is claimed, so that no draw is missed."""
        super().__init__()
        self._draws = board_state.with_name(flips.DRAWS)
        self._log = board_state.with_name(flips.LOG)
        self._read = self._draws.stat().st_size
        self._row: ContextRow | None = None
        self._slot = 0
        self._seen = 0
        self._begun = False
        self._waiting: dict[FlipKind, list[Letter]] = {kind: [] for kind in FlipKind}

    @classmethod
    def beside(cls, board_state: Path) -> Struck | None:
        """The flips of a board; None when its scenario has flips off."""
        try:
            return cls(board_state)
        except OSError:
            return None

    def listen(self, row: ContextRow, slot: int) -> None:
        """Watch the doorbell counter of our context, which has just been claimed."""
        self._row, self._slot, self._seen = row, slot, 0

    def before(self, arguments: Sequence[Any]) -> None:
        super().before(arguments)
        if not self._begun:
            self._begun = True
            self._write([flips.begun_line(self.job, self.step, os.getpid())])
        self._fetch()
        if self._waiting[FlipKind.MEMORY]:
            self._strike(FlipKind.MEMORY, Moment.BEFORE, self._memory(arguments))

    def after(self, function: Any, arguments: Sequence[Any], result: Any) -> None:
        self._fetch()
        if self._waiting[FlipKind.LOGIC]:
            written = self._written(function, arguments, result)
            self._strike(FlipKind.LOGIC, Moment.AFTER, written)

    def close(self) -> None:
        self._fetch()
        for letters in self._waiting.values():
            self._write([_missed(one, "the context that it struck ended first") for one in letters])
        self._row = None

    def _fetch(self) -> None:
        """Take the draws that were sent to us since we looked last."""
        row = self._row
        if row is None or (sent := row.flips_sent) == self._seen:
            return
        self._seen = sent
        with self._draws.open("rb") as file:
            file.seek(self._read)
            text = file.read()
        whole = text[: text.rfind(b"\n") + 1]
        self._read += len(whole)
        for line in whole.decode().splitlines():
            letter = Letter.from_line(line)
            if (letter.pid, letter.slot) == (os.getpid(), self._slot):
                self._waiting[letter.draw.kind].append(letter)

    def _strike(self, kind: FlipKind, moment: Moment, memory: list[Named]) -> None:
        letters, self._waiting[kind] = self._waiting[kind], []
        for letter in letters:
            found = self._resolve(letter, moment, memory)
            lines = [one.line() for _, one in found]
            if not found:
                lines = [_missed(letter, "the job holds nothing there")]
            if self._write(lines):
                for array, one in found:
                    flip(array, one.offset, bytes.fromhex(one.mask), one.operation)

    def _resolve(
        self, letter: Letter, moment: Moment, memory: list[Named]
    ) -> list[tuple[Array, Applied]]:
        """The octets that a draw means in these arrays, laid end to end."""
        draw = letter.draw
        place = flips.share_out(draw.where, [one.array.nbytes for one in memory])
        if place is None:
            return []
        name, array = memory[place[0]]
        width = (array.shape[-1] if array.ndim else 1) * array.itemsize // 4
        target = Target(self.job, self.step, 1, array.nbytes, width)
        inside = FlipDraw.from_message({**draw.message(), "where": place[1]})
        return [
            (
                array,
                Applied(
                    id=draw.id,
                    kind=draw.kind.value,
                    pattern=draw.pattern,
                    job=self.job,
                    step=self.step,
                    call=self.call,
                    moment=moment.value,
                    array=name,
                    offset=one.offset,
                    mask=one.mask.hex(),
                    operation=one.operation,
                    t=letter.elapsed_s,
                    pid=os.getpid(),
                    unix_ns=time.time_ns(),
                    acceleration=letter.acceleration,
                ),
            )
            for one in flips.resolve(inside, target)
        ]

    def _write(self, lines: list[str]) -> bool:
        """Append a flip to the log; False when it cannot be written, and then it is not done."""
        try:
            if lines:
                flips.append(self._log, *lines)
        except OSError as error:
            sys.stderr.write(f"flips are left out: {self._log}: {error.strerror}\n")
            return False
        return True


class Replayed(Flips):
    """Flips of a log, done again at the same calls of the same job."""

    def __init__(self, applied: Iterable[Applied]) -> None:
        super().__init__()
        self._due: dict[tuple[int, int, str], list[Applied]] = defaultdict(list)
        for one in applied:
            self._due[one.step, one.call, one.moment].append(one)

    @classmethod
    def of(cls, log: Path, job: int) -> Replayed:
        """What a job's result still holds of the flips of a log. Raises `FlipLogError`."""
        return cls(flips.effective(flips.read_log(log), job))

    @property
    def left(self) -> int:
        """Flips that have not been done yet."""
        return sum(map(len, self._due.values()))

    def before(self, arguments: Sequence[Any]) -> None:
        super().before(arguments)
        if due := self._due.pop((self.step, self.call, Moment.BEFORE.value), None):
            self._repeat(due, self._memory(arguments))

    def after(self, function: Any, arguments: Sequence[Any], result: Any) -> None:
        if due := self._due.pop((self.step, self.call, Moment.AFTER.value), None):
            self._repeat(due, self._written(function, arguments, result))

    def _repeat(self, due: list[Applied], memory: list[Named]) -> None:
        arrays = {one.name: one.array for one in memory}
        for one in due:
            array = arrays.get(one.array)
            mask = bytes.fromhex(one.mask)
            if array is None or one.offset + len(mask) > array.nbytes:
                raise ComputeError(
                    f"flip {one.id} is of {one.array}, octet {one.offset}, at call {one.call} of "
                    f"step {one.step}, where this job has none; replay the job that was struck"
                )
            flip(array, one.offset, mask, one.operation)


def flip(array: Array, offset: int, mask: bytes, operation: str) -> None:
    """Change octets of an array in place; `offset` counts its elements in C order."""
    whole = np.ascontiguousarray(array)  # itself, unless it is a view with gaps
    octets = whole.reshape(-1).view(np.uint8)[offset : offset + len(mask)]
    change = np.bitwise_or if operation == "or" else np.bitwise_xor
    change(octets, np.frombuffer(mask, np.uint8), out=octets)
    if whole is not array:
        array[...] = whole.reshape(array.shape)


def _arrays(values: Sequence[Any], what: str) -> list[Named]:
    return [
        Named(f"{what} {number}", value)
        for number, value in enumerate(values)
        if isinstance(value, np.ndarray)
    ]


def _can_change(array: Array) -> bool:
    return array.nbytes > 0 and array.flags.writeable and not array.dtype.hasobject


def _missed(letter: Letter, reason: str) -> str:
    return flips.missed_line(letter.draw, letter.elapsed_s, reason)
