"""A text as numbers: its characters as vocabulary, most of it to learn, the rest to validate."""

from __future__ import annotations

import hashlib
import pydoc_data.topics
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flight.jobs.api import InputError
from flight.jobs.nanogpt.model import Array

_HELD_BACK = 10
"""One part in this many, at the end of the text, is for validation."""

_BOM = "\ufeff"
"""The byte order mark that some editors put in front of a text; it is no letter of it."""

_CODE_POINTS = 0x110000


@dataclass(frozen=True)
class Corpus:
    """A text, numbered; `vocabulary` holds its characters in order of code point."""

    vocabulary: str
    training: Array
    validation: Array
    sha256: str

    def sequences(self, batch: int, context: int, seed: int, step: int) -> Array:
        """The training batch of that step: batch x (context + 1), a function of seed and step."""
        return _windows(self.training, batch, context, (seed, step))

    def held_back(self, batch: int, context: int, seed: int, index: int) -> Array:
        """The validation batch of that index; the same ones at every validation."""
        return _windows(self.validation, batch, context, (seed, 2**63 + index))


def load(path: Path | None, context: int) -> Corpus:
    """The text in a file, or the prose of Python's own documentation.

    Raises InputError for a text that is not UTF-8, or too short for that context. UTF-16 without a
    mark is UTF-8 with zero octets, and refused by those.
    """
    octets = _python_prose() if path is None else path.read_bytes()
    try:
        text = octets.decode().removeprefix(_BOM)
    except UnicodeDecodeError as error:
        raise InputError(
            f"text: octet {error.start} is not UTF-8 ({error.reason}); convert the file to UTF-8"
        ) from None
    if "\0" in text:
        raise InputError("text: it holds zero octets; convert the file to UTF-8")
    shortest = _HELD_BACK * (context + 1)
    if len(text) < shortest:
        raise InputError(
            f"text: {len(text)} characters; a context of {context} needs at least {shortest}"
        )
    vocabulary, numbers = _numbered(text)
    split = len(numbers) - len(numbers) // _HELD_BACK
    return Corpus(vocabulary, numbers[:split], numbers[split:], hashlib.sha256(octets).hexdigest())


def _numbered(text: str) -> tuple[str, Array]:
    codes = np.frombuffer(text.encode("utf-32-le"), np.uint32)
    is_used = np.zeros(_CODE_POINTS, bool)
    is_used[codes] = True
    numbers = np.cumsum(is_used, dtype=np.int32) - np.int32(1)
    return "".join(map(chr, np.flatnonzero(is_used))), numbers[codes]


def _windows(numbers: Array, batch: int, context: int, key: tuple[int, int]) -> Array:
    # raw draws, because NumPy promises that these stay the same in every version
    draws = np.random.Philox(key=np.array(key, np.uint64)).random_raw(batch) >> np.uint64(32)
    starts = (draws * np.uint64(len(numbers) - context)) >> np.uint64(32)
    windows: Array = numbers[starts.astype(np.int64)[:, None] + np.arange(context + 1)]
    return windows


def _python_prose() -> bytes:
    topics: dict[str, str] = pydoc_data.topics.topics
    return "\n".join(topics[name] for name in sorted(topics)).encode()
