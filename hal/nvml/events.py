"""The NVML event set of a board: what happened, as faults, however much of it there is."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from hal.device import Fault, FaultKind
from hal.errors import BoardError, TimedOut
from hal.nvml import xid
from hal.nvml.calls import ask

_KINDS = {
    0x1: (FaultKind.ECC_CORRECTED, "corrected ECC errors"),
    0x2: (FaultKind.ECC_UNCORRECTED, "uncorrected ECC errors"),
    0x200: (FaultKind.ECC_CORRECTED, "storm of corrected ECC errors"),
    0x400: (FaultKind.OTHER, "DRAM row retired"),
    0x800: (FaultKind.OTHER, "DRAM row retirement failed"),
    0x1000: (FaultKind.OTHER, "poison, not fatal"),
    0x2000: (FaultKind.OTHER, "poison, fatal"),
    0x4000: (FaultKind.OTHER, "GPU unavailable"),
    0x8000: (FaultKind.OTHER, "recovery action changed"),
}
_XID = 0x8
_WANTED = sum(_KINDS) | _XID

MOST_FAULTS = 256
"""So many are told one by one; of more, the first of each sort, and how many there were."""
MOST_DRAINED = 4096
EARLY_S = 0.01
"""A wait may end so much too early."""


class Events:
    """An event set that is made when it can be.

    `clock` stamps; `number` finds a device by its handle; `wait` is called with the seconds that a
    driver should have waited and did not.
    """

    def __init__(
        self,
        clock: Callable[[], int],
        number: Callable[[Any], int | None],
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self._clock = clock
        self._number = number
        self._wait = wait
        self._set: Any = None

    @property
    def is_watching(self) -> bool:
        return self._set is not None

    def watch(self, handles: Iterable[Callable[[], Any]]) -> bool:
        """Make a set on every device that can have one; false when none can."""
        try:
            made = ask("nvmlEventSetCreate")
        except BoardError:
            return False
        self._set, watched = made, 0
        for handle_of in handles:
            with contextlib.suppress(BoardError):
                handle = handle_of()
                kinds = ask("nvmlDeviceGetSupportedEventTypes", handle) & _WANTED
                ask("nvmlDeviceRegisterEvents", handle, kinds, made)
                watched += 1
        if not watched:
            self.unwatch()
        return bool(watched)

    def unwatch(self) -> None:
        """Free the event set; a second call does nothing."""
        held, self._set = self._set, None
        if held is not None:
            with contextlib.suppress(BoardError):
                ask("nvmlEventSetFree", held)

    def take(self, timeout_s: float) -> tuple[list[Fault], BoardError | None]:
        """Wait for the first fault and take what else has come; and what ended the watch, if so."""
        kept: list[Fault] = []
        seen: set[tuple[int | None, FaultKind, int]] = set()
        left_out: Counter[tuple[int | None, str]] = Counter()
        ended = None
        began = time.monotonic()
        for taken in range(MOST_DRAINED):
            try:
                wait_ms = 0 if taken else max(0, round(timeout_s * 1000))
                fault = self._fault(ask("nvmlEventSetWait_v2", self._set, wait_ms))
            except TimedOut:
                if not taken:
                    self._make_up_for(timeout_s - (time.monotonic() - began))
                break
            except BoardError as error:
                ended = error
                break
            sort = fault.device, fault.kind, fault.code
            if len(kept) < MOST_FAULTS or sort not in seen:
                seen.add(sort)
                kept.append(fault)
            else:
                left_out[fault.device, fault.text] += 1
        return kept + self._overflow(left_out), ended

    def _make_up_for(self, left_s: float) -> None:
        """Wait what the driver should have waited: one that answers at once turns us in circles."""
        if left_s > EARLY_S:
            self._wait(left_s)

    def _overflow(self, left_out: Counter[tuple[int | None, str]]) -> list[Fault]:
        """One fault for each device of which some were not told one by one."""
        found = []
        for device in dict.fromkeys(device for device, _ in left_out):
            sorts = [(text, n) for (of, text), n in left_out.most_common() if of == device]
            count = sum(n for _, n in sorts)
            text = f"{count} more: " + ", ".join(f"{n} x {text}" for text, n in sorts)
            found.append(Fault(self._clock(), device, FaultKind.OVERFLOW, count, text[:160]))
        return found

    def _fault(self, event: Any) -> Fault:
        index = self._number(event.device)
        kind, code = int(event.eventType), int(event.eventData)
        if kind == _XID:
            return Fault(self._clock(), index, FaultKind.XID, code, xid.name(code))
        meaning, text = _KINDS.get(kind, (FaultKind.OTHER, f"event {kind:#x}"))
        return Fault(self._clock(), index, meaning, kind, text)
