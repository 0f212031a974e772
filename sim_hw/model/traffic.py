"""How much of a device's memory bandwidth its contexts use, by what their launches moved.

A launch that tells what it moves is measured in the bandwidth of this machine, which computes it:
what copies as fast as the machine can keeps the emulated memory fully busy. Of any other launch
the model's usual share is taken.
"""

from __future__ import annotations

import time

from icd.board_state import Context

USUAL_BYTES_S = 2e10
"""What one core of a host reads and writes in a second while it copies; better is measured."""
_SAMPLE = 32 << 20
_TIMES = 4

Key = tuple[int, int]


class Traffic:
    """Memory use of each context while it is busy, 0 … 1."""

    def __init__(self, usual_share: float, bytes_s: float = USUAL_BYTES_S) -> None:
        self._usual = usual_share
        self._bytes_s = bytes_s
        self._seen: dict[Key, Context] = {}
        self._shares: dict[Key, float] = {}

    def look(self, contexts: list[Context]) -> None:
        """Take note of what they did since the last look."""
        before, self._seen = self._seen, {(c.pid, c.slot): c for c in contexts}
        self._shares = {
            key: self._share(key, before.get(key), context) for key, context in self._seen.items()
        }

    def share(self, context: Context) -> float:
        """Memory busy while the context was busy, as `look` found it last."""
        return self._shares.get((context.pid, context.slot), self._usual)

    def _share(self, key: Key, before: Context | None, now: Context) -> float:
        if before is None:
            return self._usual
        known_ns = now.moved_ns - before.moved_ns
        busy_ns = max(now.busy_ns - before.busy_ns, known_ns)
        if busy_ns <= 0 or (known_ns == 0 and now.is_running):  # a launch tells when it has ended
            return self._shares.get(key, self._usual)
        known = known_ns / busy_ns
        rate = (now.moved_bytes - before.moved_bytes) / max(1, known_ns) * 1e9
        return known * min(1.0, rate / self._bytes_s) + (1.0 - known) * self._usual


def measured_bytes_s() -> float:
    """What this machine reads and writes in a second while it copies, at its best."""
    source, target = bytearray(_SAMPLE), bytearray(_SAMPLE)
    view = memoryview(target)
    best_s = float("inf")
    for _ in range(_TIMES):
        began = time.perf_counter()
        view[:] = source
        best_s = min(best_s, time.perf_counter() - began)
    return 2 * _SAMPLE / best_s
