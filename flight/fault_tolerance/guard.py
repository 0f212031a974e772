"""The guard of one job: runs its products and kernels as the level of the moment asks."""

from __future__ import annotations

import math
import struct
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from flight.fault_tolerance import reductions
from flight.fault_tolerance.abft import Checks, Plan, address_of, plan
from flight.fault_tolerance.errors import Array, ResultError
from flight.fault_tolerance.known_answers import KnownAnswers, Problem
from flight.fault_tolerance.levels import Level, Tally
from flight.fault_tolerance.reductions import Reduction
from flight.fault_tolerance.redundancy import Room, agree, other_bits
from flight.fault_tolerance.second_look import name_of

ATTEMPTS = 3
"""A product that is wrong as often as this ends the job."""

_LINE = 64
"""Octets of a cache line."""

Multiply = Callable[[Array, Array, Array], Any]
"""left, right, out: fills `out` with the product; the same call gives the same bits."""


class Guard:
    """Protects calls at the level that holds when each begins; threads may share one.

    `level` is asked at each call. `tally` counts what was done. `log` gets a sentence for every
    result that was not right at once, on the thread that made the guard: see `report`. With
    `bit_identical`, a wrong product is computed again by the identical call; without, wrong
    elements are set right in place.
    """

    def __init__(
        self,
        level: Callable[[], Level],
        tally: Tally,
        bit_identical: bool,
        log: Callable[[str], None],
    ) -> None:
        self._level = level
        self._log = log
        self._lock = threading.Lock()
        self.tally = tally
        self.worst = 0.0
        """The largest residual that a product was let pass with, in roundings: see `abft`."""
        self.reproduced = 0
        """Products that were in doubt and right: the identical call gave the identical bits."""
        self._owner = threading.get_ident()
        self._sentences: list[str] = []
        self._room = Room()
        self.bit_identical = bit_identical

    @property
    def level(self) -> Level:
        """The level that the next call gets."""
        return self._level()

    def product(
        self, a: Array, b: Array, out: Array | None = None, multiply: Multiply = np.matmul
    ) -> Array:
        """The matrix product of `a` and `b`, as `np.matmul` defines it, in `out`.

        a: … x rows x terms, b: … x terms x columns, out: … x rows x columns. Checksums at ABFT are
        taken for float32 and float64 in two to four dimensions; else it is made twice.

        It has the bits that the same call of `multiply` gives: the same factors, and an `out` that
        lies in the same way. An `out` that shares memory with a factor gets what the factors held.
        Raises ResultError when it cannot be made right.
        """
        if out is None:
            out = np.empty(_shape_of(a, b), np.result_type(a, b))
        if np.may_share_memory(a, out) or np.may_share_memory(b, out):
            apart = _laid_like(out)
            self._made(a, b, apart, multiply)
            out[...] = apart
        else:
            self._made(a, b, out, multiply)
        return out

    def call(
        self,
        function: Callable[..., Any],
        *arguments: Any,
        outputs: Sequence[Array] = (),
        overwritten: Sequence[Array] = (),
    ) -> Any:
        """`function(*arguments)`, run as often as the level asks; returns what it returns.

        `outputs` are the arrays that it writes, also those that it changes in place; those that it
        writes from end to end, whatever they held, may be named as `overwritten`, which spares a
        copy. A kernel has no checksum, so ABFT runs it as DMR does. Raises ResultError when no two
        runs agree.
        """
        level = self._level()
        if level is Level.NONE:
            return function(*arguments)
        return self._repeated(lambda: function(*arguments), level, outputs, overwritten)

    def sum(self, values: Array) -> float:
        """The sum of all elements of an array of any shape, in float64; checked in another order
        from ABFT on."""
        return self._reduced(reductions.total(values))

    def dot(self, a: Array, b: Array) -> float:
        """The sum of products of two arrays of one size, in float64; checked like `sum`."""
        return self._reduced(reductions.dot(a, b))

    def norm(self, values: Array) -> float:
        """The Euclidean norm of an array of any shape, in float64; checked like `sum`."""
        return math.sqrt(self._reduced(reductions.squares(values)))

    def known_answers(self, problems: Sequence[Problem]) -> KnownAnswers:
        """Problems to put between the items of batches; counted and logged here."""
        return KnownAnswers(problems, self.count, self._say)

    def count(self, **counts: int) -> None:
        """Add to the tally."""
        with self._lock:
            for name, number in counts.items():
                setattr(self.tally, name, getattr(self.tally, name) + number)

    def report(self) -> None:
        """Log what calls from other threads had to say; `log` is called on one thread only."""
        with self._lock:
            sentences, self._sentences = self._sentences, []
        for sentence in sentences:
            self._log(sentence)

    def _say(self, sentence: str) -> None:
        with self._lock:
            self._sentences.append(sentence)
        if threading.get_ident() == self._owner:
            self.report()

    def _repeated(
        self,
        function: Callable[[], Any],
        level: Level,
        outputs: Sequence[Array],
        overwritten: Sequence[Array],
    ) -> Any:
        began = time.perf_counter_ns()
        first = 0

        def timed() -> Any:
            nonlocal first
            value = function()
            first = first or time.perf_counter_ns() - began
            return value

        try:
            agreed = agree(timed, outputs, 3 if level is Level.TMR else 2, overwritten, self._room)
        except ResultError as error:
            self.count(checks=1, wrong=1)
            self._say(str(error))
            raise
        self.count(
            checks=1,
            wrong=int(agreed.outvoted > 0),
            outvoted=agreed.outvoted,
            recomputed=max(agreed.runs - (3 if level is Level.TMR else 2), 0),
            spent_ns=time.perf_counter_ns() - began - first,
        )
        if agreed.outvoted:
            self._say(f"{agreed.outvoted} of {agreed.runs} runs of a kernel were outvoted")
        return agreed.value

    def _reduced(self, reduction: Reduction) -> float:
        level = self._level()
        if level is not Level.ABFT:
            return self.call(reduction.make) if level else reduction.make()
        value = reduction.make()
        for _ in range(ATTEMPTS):
            began = time.perf_counter_ns()
            is_near = reduction.is_near(value)
            again = value if is_near else reduction.make()
            is_same = struct.pack("d", value) == struct.pack("d", again)
            is_right = is_near or (is_same and reduction.is_possible(value))
            self.count(
                checks=1,
                wrong=int(not is_right),
                recomputed=int(not is_right),
                spent_ns=time.perf_counter_ns() - began,
            )
            if is_right:
                return value
            self._say(f"a sum of {reduction.terms} terms was wrong; taken again")
            value = again
        raise ResultError(
            f"a sum of {reduction.terms} terms failed its check {ATTEMPTS} times; the processor "
            "or its memory is at fault"
        )

    def _made(self, a: Array, b: Array, out: Array, multiply: Multiply) -> None:
        level = self._level()
        if level is Level.NONE:
            multiply(a, b, out)
        elif level is Level.ABFT and (found := plan(a, b, out)) is not None:
            self._checked(found, a, b, out, multiply)
        else:
            self._repeated(lambda: (multiply(a, b, out), None)[1], level, (), (out,))

    def _checked(self, plan: Plan, a: Array, b: Array, out: Array, multiply: Multiply) -> None:
        began = time.perf_counter_ns()
        checks = Checks(plan, a, b)
        spent = time.perf_counter_ns() - began
        multiply(a, b, out)
        for _ in range(ATTEMPTS):
            began = time.perf_counter_ns()
            is_held = checks.hold(out) or self._still_holds(checks, out)
            is_right = is_held or self._remade(a, b, out, multiply, checks)
            spent += time.perf_counter_ns() - began
            with self._lock:
                self.tally.checks += 1
                if is_held:
                    self.worst = max(self.worst, checks.worst)
                if is_right:
                    self.tally.spent_ns += spent
                    return
        raise ResultError(
            f"a product of {_name_of(a, b)} failed its check {ATTEMPTS} times; the processor or "
            "its memory is at fault"
        )

    def _still_holds(self, checks: Checks, out: Array) -> bool:
        try:
            return checks.still_hold(out)
        except ResultError as error:
            self.count(checks=1, wrong=1)
            self._say(str(error))
            raise

    def _remade(self, a: Array, b: Array, out: Array, multiply: Multiply, checks: Checks) -> bool:
        """Mend a doubted product, or make it again; returns whether it was right all the time."""
        name = _name_of(a, b)
        wrong = None if self.bit_identical else checks.look(out)
        if wrong is not None and wrong.places is not None:
            wrong.mend(out)
            self.count(wrong=1, corrected=1)
            self._say(f"a product of {name} was wrong in {name_of(wrong.places)}; set right")
            return False
        earlier = out.copy()
        multiply(a, b, out)
        places = other_bits(earlier, out)
        if len(places[0]):
            self.count(wrong=1, recomputed=1)
            self._say(f"a product of {name} was wrong in {name_of(places)}; made again")
            return False
        if checks.look(out) is not None:
            self.count(wrong=1, recomputed=1)
            self._say(f"a product of {name} is wrong, and was made again with the same bits")
            return False
        with self._lock:
            self.reproduced += 1
            number = self.reproduced
        if number & (number - 1) == 0:
            self._say(
                f"a product of {name} was far off for rounding, but came out the same again and "
                f"counts as right; {number} such so far"
            )
        return True


def _laid_like(array: Array) -> Array:
    """New memory with the strides of an array, and as far from a cache line's begin.

    Both decide which of its kernels a library takes, and so the bits of a result.
    """
    reach = [
        (length - 1) * stride for length, stride in zip(array.shape, array.strides, strict=True)
    ]
    before = -sum(min(octets, 0) for octets in reach)
    after = sum(max(octets, 0) for octets in reach) + array.itemsize
    memory = np.empty(before + after + _LINE, np.uint8)
    shift = (address_of(array) - before - address_of(memory)) % _LINE
    at = shift + before
    made: Array = np.ndarray(array.shape, array.dtype, memory, at, array.strides)
    return made


def _name_of(a: Array, b: Array) -> str:
    return f"{' x '.join(map(str, a.shape))} by {' x '.join(map(str, b.shape))}"


def _shape_of(a: Array, b: Array) -> tuple[int, ...]:
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    return (*batch, a.shape[-2], b.shape[-1])
