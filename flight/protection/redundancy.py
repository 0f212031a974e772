"""Run a kernel two or three times on the same inputs, compare the bits, and let them vote."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from flight.jobs.api import Array, ResultError

MOST_RUNS = 5
"""A kernel of which no two runs agreed by then is given up."""


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
        pairs = zip(self.outputs, other.outputs, strict=True)
        return self.returned == other.returned and all(same_bits(*pair) for pair in pairs)


def agree(function: Callable[[], Any], outputs: Sequence[Array], copies: int) -> Agreement:
    """Run `function` at least `copies` times (2 or 3) and leave in `outputs` what was agreed on.

    `outputs` are all arrays that it writes; what they hold before is put back before each run, so
    it may change them in place. Two runs agree when every bit of the outputs and of what is
    returned is the same. Where no two of three agree, each octet that two of them share counts:
    they were hit in different places. Raises ResultError when `MOST_RUNS` did not help.
    """
    before = [array.copy() for array in outputs]
    runs: list[_Run] = []
    while len(runs) < MOST_RUNS:
        if runs:
            _fill(outputs, before)
        value = function()
        runs.append(_Run(value, _octets(value), tuple(array.copy() for array in outputs)))
        if len(runs) < copies:
            continue
        agreed = _majority(runs)
        if agreed is not None:
            _fill(outputs, agreed.outputs)
            outvoted = sum(not agreed.agrees(run) for run in runs)
            return Agreement(agreed.value, len(runs), outvoted)
    raise ResultError(
        f"no two of {MOST_RUNS} runs of a kernel gave the same bits; the processor or its memory "
        "is at fault, or the kernel is not deterministic"
    )


def same_bits(one: Array, other: Array) -> bool:
    """Whether two contiguous arrays of one shape and type hold the same bits; NaN equals NaN."""
    word = np.uint64 if one.nbytes % 8 == 0 else np.uint8
    return bool(np.array_equal(one.reshape(-1).view(word), other.reshape(-1).view(word)))


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
        one, two, three = (copy.reshape(-1).view(np.uint8) for copy in copies)
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
