"""What a kernel is: one computation, in a form for every device."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Kernel:
    """A computation that writes its results into its last arguments.

    `reference` is plain and slow and defines what is right; `host` runs in this process;
    `build_cuda` compiles on first use and returns what launches it on device arrays.
    """

    name: str
    reference: Callable[..., None]
    host: Callable[..., None]
    build_cuda: Callable[[], Callable[..., None]] | None = None
    outputs: int = 1
    """How many of its last arguments it writes."""

    def moved_bytes(self, arguments: Sequence[Any]) -> int:
        """Octets that a launch reads and writes: of each array once."""
        return sum(one.nbytes for one in arguments if isinstance(one, np.ndarray))

    def cuda(self) -> Callable[..., None] | None:
        """The launcher for CUDA arrays, or None when the kernel has no such form."""
        return None if self.build_cuda is None else _built(self.build_cuda)


@functools.cache
def _built(build: Callable[[], Any]) -> Any:
    return build()
