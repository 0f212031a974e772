"""What a kernel runs on in one trial: device, guard, memory under the code, and the faults.

The first run of a kernel has no fault and notes every opportunity. In a trial the same calls come
in the same order, and the fault strikes at its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from flight.campaign import products
from flight.campaign.address import Address, Opportunity
from flight.campaign.fault_models import Shield, Site
from flight.campaign.patterns import Array, Form
from flight.edac.blocks import Region, Verdict
from flight.edac.code import Code
from flight.fault_tolerance.guard import Guard
from flight.fault_tolerance.levels import Tally
from flight.jobs.api import ResultError

CHECKS = ".checks"
"""Behind the name of an array: its check symbols and hashes."""


class MemoryLost(ResultError):
    """A block with more errors than the code corrects: the job goes back to its commit."""


class Bench:
    """One run of a kernel at one shield. `step` is the training step, or 0.

    `code` is that of memory under the code. With `notes` nothing strikes, and every opportunity is
    added to them.
    """

    def __init__(
        self,
        shield: Shield,
        faults: Sequence[Address] = (),
        notes: list[Opportunity] | None = None,
        code: Code | None = None,
        *,
        bit_identical: bool = True,
    ) -> None:
        self.shield = shield
        self.tally = Tally()
        self.messages: list[str] = []
        self.guard = Guard(lambda: shield.results, self.tally, bit_identical, self.messages.append)
        self.make: Callable[[Array, Array, Array], Any] = np.matmul
        """What makes a product: left, right, out."""
        self.struck = 0
        self._faults = list(faults)
        self._notes = notes
        self._code = code or Code(64)
        self._calls = dict.fromkeys(Site, 0)
        self._regions: dict[tuple[int, int], Region] = {}

    def rest(self, **arrays: Array) -> None:
        """The arrays lie in the host's memory for a while; see `rest_at`."""
        self.rest_at(Site.HOST, arrays)

    def rest_at(self, site: Site, arrays: Mapping[str, Array]) -> None:
        """Arrays lie in memory for a while: sealed, struck, and checked before they are used.

        Raises MemoryLost.
        """
        regions = {}
        if self.shield.guards_memory:
            regions = {name: self._region(array) for name, array in arrays.items()}
            for region in regions.values():
                region.encode()
        call = self._next(site)
        for name, array in arrays.items():
            self._lay(site, call, name, array)
        for name, region in regions.items():
            self._lay(site, call, name + CHECKS, region.redundancy.buffer)
        for name, region in regions.items():
            self._scrub(name, region)

    def product(self, a: Array, b: Array, out: Array | None = None) -> Array:
        """A matrix product as the shield protects it. Raises ResultError."""
        return self.guard.product(a, b, out, multiply=self.multiply)

    def multiply(self, a: Array, b: Array, out: Array) -> None:
        """One product as the processor makes it, struck or not."""
        self.make(a, b, out)
        call = self._next(Site.ACCUMULATOR)
        if self._notes is not None:
            self._note_product(call, a, b, out)
        for fault in self._due(Site.ACCUMULATOR, call):
            products.spoil_sums(a, b, out, fault.pattern, fault.part + 1)
        for fault in self._due(Site.LOAD, call):
            products.spoil_load(a, b, out, fault.pattern, fault.array, fault.part)

    def call(
        self,
        function: Callable[..., Any],
        inputs: dict[str, Array],
        outputs: dict[str, Array],
    ) -> Any:
        """`function(*inputs, *outputs)` as the shield protects it; arrays have names here.

        It writes every element of its outputs.
        """

        def once() -> Any:
            call = self._next(Site.ACCUMULATOR)
            taken = dict(inputs)
            for name, array in inputs.items():
                self._note(Site.LOAD, call, name, array)
            for name, array in outputs.items():
                self._note(Site.ACCUMULATOR, call, name, array)
                self._note(Site.KERNEL, call, name, array, 1)
            for fault in self._due(Site.LOAD, call):
                taken[fault.array] = taken[fault.array].copy()
                fault.pattern.apply(_octets(taken[fault.array]))
            value = function(*taken.values(), *outputs.values())
            for fault in (*self._due(Site.ACCUMULATOR, call), *self._stuck(call)):
                fault.pattern.apply(_octets(outputs[fault.array]))
            return value

        return self.guard.call(once, overwritten=tuple(outputs.values()))

    def results(self, operations: int, **arrays: Array) -> None:
        """What a kernel that sums nothing has just written, each element at a price."""
        call = self._next(Site.ACCUMULATOR)
        for name, array in arrays.items():
            self._note(Site.ACCUMULATOR, call, name, array, operations * array.size)
        for fault in self._due(Site.ACCUMULATOR, call):
            fault.pattern.apply(_octets(arrays[fault.array]))

    def _region(self, array: Array) -> Region:
        key = array.ctypes.data, array.nbytes
        if key not in self._regions:
            self._regions[key] = Region(array, self._code)
        return self._regions[key]

    def _scrub(self, name: str, region: Region) -> None:
        self.tally.blocks_checked += region.blocks
        for mended in region.scrub():
            if mended.verdict is Verdict.LOST:
                self.tally.blocks_lost += 1
                raise MemoryLost(f"block {mended.block} of {name} cannot be corrected")
            self.tally.blocks_corrected += 1
            self.messages.append(f"block {mended.block} of {name} was corrected")

    def _next(self, site: Site) -> int:
        call = self._calls[site]
        self._calls[site] += 1
        return call

    def _lay(self, site: Site, call: int, name: str, array: Array) -> None:
        self._note(site, call, name, array)
        for fault in self._due(site, call):
            if fault.array == name:
                fault.pattern.apply(_octets(array))

    def _due(self, site: Site, call: int) -> list[Address]:
        due = [f for f in self._faults if f.site is site and f.call == call]
        self.struck += len(due)
        return due

    def _stuck(self, call: int) -> list[Address]:
        """A kernel that is stuck since a call stays so."""
        return [f for f in self._faults if f.site is Site.KERNEL and f.call <= call]

    def _note(
        self, site: Site, call: int, name: str, array: Array, weight: int | None = None
    ) -> None:
        if self._notes is not None and array.nbytes:
            weight = array.nbytes if weight is None else weight
            is_float = array.dtype.kind == "f"
            form = Form.of(array)
            self._notes.append(Opportunity(site, call, name, form, weight, 1, is_float))

    def _note_product(self, call: int, a: Array, b: Array, out: Array) -> None:
        assert self._notes is not None
        work, terms = products.operations(a, out), a.shape[-1]
        self._notes.append(
            Opportunity(Site.ACCUMULATOR, call, "out", Form.of(out), 2 * work, terms)
        )
        for name, operand in (("left", a), ("right", b)):
            uses = products.uses(a, b, name)
            self._notes.append(Opportunity(Site.LOAD, call, name, Form.of(operand), work, uses))


def _octets(array: Array) -> Array:
    return array.reshape(-1).view(np.uint8)
