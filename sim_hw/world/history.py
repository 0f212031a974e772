"""What a board did in each step of a scenario, kept so that a companion that follows goes on.

The world is a function of its scenario and of this: run through it again, it is where it was.
A file of one line of JSON, then load and power of each step as two doubles.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from icd.written import json_value

NAME = "world.history"
LONGEST_GAP_S = 600.0
"""After a longer absence the scenario begins anew."""
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_PAIR = 16


@dataclass(frozen=True)
class Past:
    """How far an earlier companion came."""

    began_ns: int
    """CLOCK_MONOTONIC when the scenario began."""
    load: NDArray[np.float64]
    power_w: NDArray[np.float64]


class History:
    """The history of a board's folder, for one scenario (by its digest)."""

    def __init__(self, folder: Path, digest: str) -> None:
        self._path = folder / NAME
        self._digest = digest

    def past(self, now_ns: int, step_s: float) -> Past | None:
        """What an earlier companion left when it was killed; None when there is nothing to go on
        from: another scenario, another boot of this machine, or too long ago."""
        try:
            head, _, body = self._path.read_bytes().partition(b"\n")
            told = json_value(head)
            began_ns = int(told["began_ns"])
            if (told["digest"], told["boot"]) != (self._digest, _boot()):
                return None
        except (OSError, ValueError, KeyError, TypeError):
            return None
        pairs = np.frombuffer(body[: len(body) // _PAIR * _PAIR], np.float64).reshape(-1, 2)
        gap_s = (now_ns - began_ns) / 1e9 - len(pairs) * step_s
        if not 0.0 <= gap_s + step_s <= LONGEST_GAP_S:
            return None
        return Past(began_ns, pairs[:, 0].copy(), pairs[:, 1].copy())

    def begin(self, began_ns: int, past: Past | None = None) -> None:
        """Write what is known so far, in place of what there was."""
        head = {"digest": self._digest, "boot": _boot(), "began_ns": began_ns}
        body = b"" if past is None else np.stack([past.load, past.power_w], 1).tobytes()
        temporary = self._path.with_name(f".{NAME}")
        temporary.write_bytes(json.dumps(head).encode() + b"\n" + body)
        temporary.rename(self._path)

    def add(self, steps: int, load: float, power_w: float) -> None:
        """So many steps more, all alike."""
        with self._path.open("ab") as file:
            file.write(np.array([[load, power_w]] * steps).tobytes())

    def forget(self) -> None:
        """The scenario was ended in order: nothing is to go on from."""
        self._path.unlink(missing_ok=True)


def _boot() -> str:
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""
