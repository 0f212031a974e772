"""Multiply matrices of every kind under checksums and count what is raised where nothing is wrong.

    python -m benchmarks.abft_soak --products 1000000 --seed 1

Prints a JSON object. `wrong` must be 0: products that were called wrong. `looked_twice`: products
whose sums in their own type did not hold; in float64 those of all but `made_twice` did. These were
decided by the identical call, because rounding left more than usual. `without_checksums` have
strides that need a vote. Ends with status 1 when anything was called wrong or changed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import Counter
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from benchmarks.products import draw
from flight.fault_tolerance import abft
from flight.fault_tolerance.guard import Guard
from flight.fault_tolerance.levels import Level, Tally

SIZES = ((0.96, 2**15), (0.995, 2**18), (0.9999, 2**22), (1.0, 2**28))
"""Which share of the products, in order, has at most so many multiplications."""


class Soak:
    """Products of one seed, one after the other."""

    def __init__(self, seed: int) -> None:
        self.draws = np.random.default_rng(seed)
        self.tally = Tally()
        self.counts: Counter[str] = Counter()
        self.kinds: Counter[str] = Counter()
        self.worst = 0.0
        self.guards = [
            Guard(lambda: Level.ABFT, self.tally, is_identical, self.note)
            for is_identical in (True, False)
        ]
        self._count_second_looks()

    def note(self, sentence: str) -> None:
        """Keep a few of the sentences."""
        if self.counts["sentences"] < 20:
            sys.stderr.write(sentence + "\n")
        self.counts["sentences"] += 1

    def _count_second_looks(self) -> None:
        real = abft.Checks.still_hold

        def counted(checks: abft.Checks, c: Any) -> bool:
            self.counts["looked_twice"] += 1
            return real(checks, c)

        abft.Checks.still_hold = counted  # type: ignore[method-assign]

    def one(self) -> None:
        """Draw two matrices, multiply them plainly and under checksums, compare the bits."""
        size = self.draws.random()
        most = next(most for share, most in SIZES if size <= share)
        kinds, a, b = draw(self.draws, most)
        guard = self.guards[self.counts["products"] % 2]
        before = self.tally.wrong, guard.reproduced
        plain = a @ b
        made = guard.product(a, b)
        self.counts["products"] += 1
        self.counts[a.dtype.name] += 1
        self.counts["batches"] += a.ndim > 2
        self.counts["not_finite"] += not np.isfinite(plain).all()
        self.counts["without_checksums"] += abft.plan(a, b, made) is None
        self.counts["changed"] += plain.tobytes() != made.tobytes()
        if self.tally.wrong > before[0]:
            self.kinds[f"wrong: {kinds}"] += 1
        if guard.reproduced > before[1]:
            self.kinds[kinds] += 1
            self.counts["made_twice"] += 1

    def result(self, seconds: float) -> dict[str, Any]:
        """What was counted."""
        names = ("products", "float32", "float64", "batches", "not_finite", "without_checksums")
        return {
            **{name: self.counts[name] for name in names},
            "looked_twice": self.counts["looked_twice"],
            "made_twice": self.counts["made_twice"],
            "wrong": self.tally.wrong,
            "changed": self.counts["changed"],
            "made_twice_most_often": dict(self.kinds.most_common(8)),
            "seconds": round(seconds),
        }


def main() -> int:
    """Run; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--products", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    soak = Soak(options.seed)
    began = time.monotonic()
    with np.errstate(all="ignore"):
        for number in range(options.products):
            soak.one()
            if number % 20_000 == 19_999:
                sys.stderr.write(f"{number + 1} products, {soak.tally.wrong} called wrong\n")
    result = soak.result(time.monotonic() - began)
    sys.stdout.write(json.dumps({"seed": options.seed, **result}, indent=1) + "\n")
    return int(result["wrong"] > 0 or result["changed"] > 0)


if __name__ == "__main__":
    sys.exit(main())
