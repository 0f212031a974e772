"""A job's own memory under the code: sealed while it does not change, checked before it does."""

from __future__ import annotations

import time
from collections.abc import Mapping

from flight.edac.blocks import Region, Verdict
from flight.edac.code import Code
from flight.fault_tolerance.errors import Array, MemoryLost
from flight.fault_tolerance.levels import Tally

_SMALL = 4096
"""Up to this size an array is one block of the smallest code: a larger one is mostly padding."""


class JobMemory:
    """The registered arrays of a job and their redundancy, which lies beside them."""

    def __init__(self, arrays: Mapping[str, Array], tally: Tally) -> None:
        self._regions = {
            name: Region(array, Code(64 if array.nbytes <= _SMALL else 512))
            for name, array in arrays.items()
        }
        self._tally = tally
        self._is_sealed = False

    def seal(self) -> None:
        """Take down what the arrays hold: from now on they do not change."""
        began = time.perf_counter_ns()
        for region in self._regions.values():
            region.encode()
        self._is_sealed = True
        self._tally.spent_ns += time.perf_counter_ns() - began

    def verify(self) -> int:
        """Check the arrays since `seal`, set them right, and open them; blocks set right.

        Raises MemoryLost.
        """
        mended = self.check()
        self._is_sealed = False
        return mended

    def check(self) -> int:
        """The same, but they stay sealed; nothing is done to arrays that are not."""
        if not self._is_sealed:
            return 0
        began = time.perf_counter_ns()
        tally, mended = self._tally, 0
        lost: dict[str, int] = {}
        for name, region in self._regions.items():
            tally.blocks_checked += region.blocks
            for found in region.scrub():
                if found.verdict is Verdict.LOST:
                    lost[name] = lost.get(name, 0) + 1
                else:
                    mended += 1
        tally.blocks_corrected += mended
        tally.blocks_lost += sum(lost.values())
        tally.spent_ns += time.perf_counter_ns() - began
        if lost:
            said = ", ".join(f"{count} blocks of '{name}'" for name, count in lost.items())
            raise MemoryLost(f"{said} have more wrong bits than can be corrected")
        return mended
