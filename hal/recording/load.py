"""Work that shows how a board behaves: it computes, or it moves memory, until it is told to end."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hal.compute.device import ComputeDevice
from hal.kernels.copy import COPY
from hal.kernels.matmul import MATMUL

PHASES = ("idle", "compute", "memory")
_SIDE = {"host": 384, "cuda": 4096}
_LENGTH = {"host": 1 << 22, "cuda": 1 << 28}


def work(device: ComputeDevice, phase: str, has_ended: Callable[[], bool]) -> int:
    """Run launches of a phase until `has_ended`; how many. Raises ComputeError, ValueError."""
    if phase not in PHASES[1:]:
        raise ValueError(f"no load {phase!r}; give {' or '.join(PHASES[1:])}")
    step = _computing(device) if phase == "compute" else _moving(device)
    count = 0
    while not has_ended():
        step()
        device.synchronise()
        count += 1
    return count


def _computing(device: ComputeDevice) -> Callable[[], None]:
    side = _SIDE[device.kind]
    a = device.copy_in(np.full((side, side), 1.0 / side, np.float32))
    out = device.allocate((side, side), np.float32)
    return lambda: device.launch(MATMUL, a, a, out)


def _moving(device: ComputeDevice) -> Callable[[], None]:
    a = device.allocate(_LENGTH[device.kind], np.float32)
    out = device.allocate(_LENGTH[device.kind], np.float32)
    return lambda: device.launch(COPY, a, out)
