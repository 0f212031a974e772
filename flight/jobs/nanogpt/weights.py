"""The trained weights as a file that plain NumPy reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from flight.jobs.nanogpt.model import Array, Shape, named


def save(path: Path, theta: Array, shape: Shape, vocabulary: str) -> None:
    """Write an .npz: float32 weights under the names of nanoGPT's state dict, and what they need.

    Besides the weights: `n_layer`, `n_head`, `n_embd`, `block_size`, `vocab_size` (int32), and
    `vocabulary`, the code point (uint32) of each row of the token embedding. The same weights
    give the same octets.
    """
    arrays: dict[str, Any] = dict(named(theta, shape))
    with path.open("wb") as file:
        np.savez(
            file,
            n_layer=np.int32(shape.layers),
            n_head=np.int32(shape.heads),
            n_embd=np.int32(shape.width),
            block_size=np.int32(shape.context),
            vocab_size=np.int32(shape.vocabulary),
            vocabulary=np.array([ord(character) for character in vocabulary], np.uint32),
            **arrays,
        )
