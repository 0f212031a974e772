"""Run a kernel two or three times on the same inputs, compare the bits, and let them vote."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from flight.fault_tolerance.errors import Array, ResultError

MOST_RUNS = 5
"""A kernel of which no two runs agreed by then is given up."""

_PART = 2**15
"""Arrays are compared by so many words at once, so that what they differ in stays in cache."""


@dataclass(frozen=True)
class Agreement:
    """What the runs of a kernel agreed on."""

    value: Any
    """What the kernel returned."""
    runs: int
    outvoted: int
    """Runs that the others overruled."""


@dataclass(frozen=True)
class _Run:
    value: Any
    returned: bytes
    outputs: tuple[Array, ...]

    def agrees(self, other: _Run) -> bool:
        if self is other:
            return True
        pairs = zip(self.outputs, other.outputs, strict=True)
        return self.returned == other.returned and all(same_bits(*pair) for pair in pairs)


class Room:
    """Memory for copies, kept from call to call: new memory costs more than the copying."""

    def __init__(self) -> None:
        self._free: defaultdict[int, list[Array]] = defaultdict(list)

    def copy(self, array: Array) -> Array:
        """A contiguous copy."""
        try:
            octets = self._free[array.nbytes].pop()
        except IndexError:
            octets = np.empty(array.nbytes, np.uint8)
        copy: Array = octets.view(array.dtype).reshape(array.shape)
        copy[...] = array
        return copy

    def give_back(self, copies: Iterable[Array]) -> None:
        """Use the memory of these for others."""
        for copy in copies:
            self._free[copy.nbytes].append(copy.reshape(-1).view(np.uint8))


def agree(
    function: Callable[[], Any],
    outputs: Sequence[Array],
    copies: int,
    overwritten: Sequence[Array] = (),
    room: Room | None = None,
) -> Agreement:
    """Run `function` at least `copies` times (2 or 3) and leave in its arrays what was agreed on.

    `outputs` are the arrays that it writes; what they hold before is put back before each run, so
    it may change them in place. `overwritten` are written too, whatever they held. Two runs agree
    when every bit of the arrays and of what is returned is the same. Where no two of three agree,
    each octet that two of them share counts: they were hit in different places.
    Raises ResultError when `MOST_RUNS` did not help.
    """
    room = room or Room()
    live = (*outputs, *overwritten)
    before = [room.copy(array) for array in outputs]
    runs: list[_Run] = []
    try:
        return _agreed(function, live, before, runs, copies, room)
    finally:
        room.give_back(before)
        for run in runs:
            if run.outputs is not live:
                room.give_back(run.outputs)


def _agreed(
    function: Callable[[], Any],
    live: tuple[Array, ...],
    before: Sequence[Array],
    runs: list[_Run],
    copies: int,
    room: Room,
) -> Agreement:
    while len(runs) < MOST_RUNS:
        if runs:
            _fill(live[: len(before)], before)
        value = function()
        runs.append(_Run(value, _octets(value), live))
        agreed = _majority(runs) if len(runs) >= copies else None
        if agreed is not None:
            outvoted = sum(not agreed.agrees(run) for run in runs)
            if agreed.outputs is not live:
                _fill(live, agreed.outputs)
            return Agreement(agreed.value, len(runs), outvoted)
        runs[-1] = _Run(value, runs[-1].returned, tuple(map(room.copy, live)))
    raise ResultError(
        f"no two of {MOST_RUNS} runs of a kernel gave the same bits; the processor or its memory "
        "is at fault, or the kernel is not deterministic"
    )


def same_bits(one: Array, other: Array) -> bool:
    """Whether two arrays of one shape and type hold the same bits; NaN equals the same NaN."""
    word = np.uint64 if one.nbytes % 8 == 0 else np.uint8
    left, right = _words(one, word), _words(other, word)
    return all(
        np.array_equal(left[low : low + _PART], right[low : low + _PART])
        for low in range(0, left.size, _PART)
    )


def other_bits(one: Array, other: Array) -> tuple[Array, ...]:
    """Indices of the elements of two arrays whose bits are not the same.

    Both have one shape and type; one array of indices for each dimension, as of `np.nonzero`.
    """
    word = np.dtype(f"u{one.itemsize}")
    left, right = (np.ascontiguousarray(array).view(word) for array in (one, other))
    return np.nonzero(left != right)


def _words(array: Array, word: type[np.unsignedinteger[Any]]) -> Array:
    """The bits of an array's elements row by row; a copy where they lie in another way."""
    return np.ascontiguousarray(array).reshape(-1).view(word)


def _fill(outputs: Sequence[Array], contents: Sequence[Array]) -> None:
    for array, content in zip(outputs, contents, strict=True):
        array[...] = content


def _majority(runs: Sequence[_Run]) -> _Run | None:
    for one, other in combinations(runs, 2):
        if one.agrees(other):
            return one
    return _vote(runs) if len(runs) == 3 else None


def _vote(runs: Sequence[_Run]) -> _Run | None:
    """Octet by octet, what two of three runs hold; None where all three differ."""
    returned = [run.returned for run in runs]
    chosen = next((run for run in runs if returned.count(run.returned) > 1), None)
    if chosen is None:
        return None
    voted = []
    for copies in zip(*(run.outputs for run in runs), strict=True):
        one, two, three = (_words(copy, np.uint8) for copy in copies)
        rest = np.where(one == three, one, two)
        if np.any((one != two) & (rest == two) & (two != three)):
            return None
        octets = np.where(one == two, one, rest)
        voted.append(octets.view(copies[0].dtype).reshape(copies[0].shape))
    return _Run(chosen.value, chosen.returned, tuple(voted))


def _octets(value: Any) -> bytes:
    """The bits of what a kernel returns: None, text, numbers, arrays, and what is made of them."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = [getattr(value, field.name) for field in dataclasses.fields(value)]
    if isinstance(value, (tuple, list)):
        return b"".join(len(part).to_bytes(8, "little") + part for part in map(_octets, value))
    if value is None or isinstance(value, (str, int, bytes)):
        return repr(value).encode()
    bits = np.asarray(value)
    if bits.dtype.hasobject:
        raise TypeError(f"bits of a {type(value).__name__} cannot be compared; return numbers")
    return bits.tobytes()
