"""Problems whose answer is known, put between the real ones: is the kernel right, not only alive?

A kernel that is stuck (stale results, a constant, a broken lane) still returns, still beats, and
gives the same bits twice, so neither liveness nor repetition sees it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np

from flight.fault_tolerance.errors import Array, ResultError

ATTEMPTS = 3
"""A kernel that is wrong as often as this in one batch is given up."""

FEWEST = 128
"""Items for each known answer; smaller batches go without, until there were so many items."""

_GOLDEN = (math.sqrt(5) - 1) / 2


@dataclass(frozen=True)
class Problem:
    """One item of each input, and the item of the output that comes of them, bit for bit."""

    items: tuple[Array, ...]
    answer: Array

    @cached_property
    def bits(self) -> bytes:
        """Of the answer."""
        return self.answer.tobytes()

    @cached_property
    def inverted(self) -> Array:
        """What is certainly not the answer."""
        octets = ~np.frombuffer(self.bits, np.uint8)
        inverted: Array = octets.view(self.answer.dtype).reshape(self.answer.shape)
        return inverted


class KnownAnswers:
    """One slot of each batch holds a problem instead of its item, which is computed after it.

    The slot is another one each time, in steps that soon come near every place and reach each of
    them; problems take turns. `count` is told `known_answers` and `known_wrong`, `log` a sentence
    for each wrong answer. Raises ValueError unless two problems have different answers: a kernel
    that always gives the same would pass.
    """

    def __init__(
        self,
        problems: Sequence[Problem],
        count: Callable[..., None],
        log: Callable[[str], None],
    ) -> None:
        if len({problem.bits for problem in problems}) < 2:
            raise ValueError("known answers are all the same; give problems that differ in theirs")
        self._problems = problems
        self._count = count
        self._log = log
        self._batches = 0
        self._items = FEWEST

    def run(
        self,
        kernel: Callable[..., Any],
        inputs: Sequence[Array],
        output: Array,
        has_room: bool = False,
    ) -> None:
        """`kernel(*inputs, output)` over a batch: items along the first axis of every array.

        The kernel treats each item by itself, with the same bits in every place of a batch and in
        a call of its own; a product by BLAS need not. With `has_room` the last item of every array
        is free: the item whose slot the problem takes is computed there, in the same call. Without,
        it comes in a call of its own. Inputs change while this runs, and are put back; where they
        are read-only, the problem runs by itself, and the items before and after its slot by
        themselves: then a lane that is wrong by its place alone is not seen.
        Raises ResultError when its answers stay wrong.
        """
        self._items += len(output)
        if self._items < FEWEST:
            kernel(*inputs, output)
            return
        answered = _with_room
        if not has_room:
            answered = _inside if all(array.flags.writeable for array in inputs) else _between
        problem = self._problems[self._batches % len(self._problems)]
        for _ in range(ATTEMPTS):
            self._items = 0
            slot = self._slot(len(output))
            self._batches += 1
            is_right = answered(kernel, inputs, output, slot, problem)
            self._count(known_answers=1, known_wrong=int(not is_right))
            if is_right:
                return
            self._log(f"a kernel gave a wrong answer to a known problem in slot {slot}; run again")
        raise ResultError(
            f"a kernel answered known problems wrongly {ATTEMPTS} times; it runs, but what it "
            "computes is wrong: restart the device"
        )

    def _slot(self, size: int) -> int:
        return self._batches * _step(size) % size


@cache
def _step(size: int) -> int:
    step = max(round(_GOLDEN * size), 1)
    while math.gcd(step, size) != 1:
        step += 1
    return step


def _with_room(
    kernel: Callable[..., Any],
    inputs: Sequence[Array],
    output: Array,
    slot: int,
    problem: Problem,
) -> bool:
    """Whether the kernel finds the answer among a batch; the slot's own item is the last."""
    for array in inputs:
        array[-1] = array[slot]
    is_right = _answers(kernel, inputs, output, slot, problem)
    for array in (*inputs, output):
        array[slot] = array[-1]
    return is_right


def _inside(
    kernel: Callable[..., Any],
    inputs: Sequence[Array],
    output: Array,
    slot: int,
    problem: Problem,
) -> bool:
    """Whether the kernel finds the answer among a batch; the slot's own item comes after it."""
    kept = [array[slot].copy() for array in inputs]
    try:
        is_right = _answers(kernel, inputs, output, slot, problem)
    finally:
        for array, item in zip(inputs, kept, strict=True):
            array[slot] = item
    _run(kernel, inputs, output, slice(slot, slot + 1))
    return is_right


def _answers(
    kernel: Callable[..., Any],
    inputs: Sequence[Array],
    output: Array,
    slot: int,
    problem: Problem,
) -> bool:
    """Whether a problem in a slot of a batch comes out right."""
    output[slot] = problem.inverted  # whatever lay there, it is not the answer
    for array, item in zip(inputs, problem.items, strict=True):
        array[slot] = item
    kernel(*inputs, output)
    return bool(output[slot].tobytes() == problem.bits)


def _between(
    kernel: Callable[..., Any],
    inputs: Sequence[Array],
    output: Array,
    slot: int,
    problem: Problem,
) -> bool:
    """Whether the kernel finds the answer between the items before the slot and the others."""
    answer = problem.inverted[None].copy()
    if slot:
        _run(kernel, inputs, output, slice(slot))
    kernel(*(item[None] for item in problem.items), answer)
    _run(kernel, inputs, output, slice(slot, None))
    return bool(answer.tobytes() == problem.bits)


def _run(kernel: Callable[..., Any], inputs: Sequence[Array], output: Array, items: slice) -> None:
    kernel(*(array[items] for array in inputs), output[items])
