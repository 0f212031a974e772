"""Who has which number, in a file: a board server that follows another one numbers as it did."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hal.nvml.gpus import MOST_GPUS, Identity

FILE = "VANALLEN_GPU_NUMBERS"
"""Environment variable: the file; without it nothing is kept."""
FORMAT = 1


class KnownGpus:
    """The file; one that cannot be read or written is as good as none."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._kept: list[Identity] = self._read()

    @property
    def identities(self) -> list[Identity]:
        """Who had the numbers 0, 1, … when it was written last."""
        return list(self._kept)

    def keep(self, identities: Sequence[Identity]) -> None:
        """Write who has which number, where that is new."""
        if self._path is None or list(identities) == self._kept:
            return
        self._kept = list(identities)
        content = {"format": FORMAT, "gpus": [list(identity) for identity in identities]}
        temporary = self._path.with_suffix(".new")
        with contextlib.suppress(OSError):
            temporary.write_text(json.dumps(content), encoding="utf-8")
            temporary.replace(self._path)

    def _read(self) -> list[Identity]:
        if self._path is None:
            return []
        try:
            content = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return []
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            return []
        rows = content.get("gpus")
        if not isinstance(rows, list) or not all(map(_is_identity, rows)):
            return []
        return [Identity(*row) for row in rows[:MOST_GPUS]]


def _is_identity(row: Any) -> bool:
    return isinstance(row, list) and len(row) == 2 and all(isinstance(text, str) for text in row)
