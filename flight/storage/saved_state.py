"""The few numbers that must survive a power-off: boot count, time, anti-replay ceilings, mode."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from flight.framework.ports import Section, Storage, StorageResult
from icd.written import json_value

PATH = "state/executive.json"
BACKUP = "state/executive.backup.json"
"""A second copy, for a file that rots; it may lag behind by one write."""
FORMAT = 1
_HIGHEST_CEILING = 1 << 63


class SavedState:
    """One small file, replaced atomically; a change is durable when its `done` is called.

    Changes that arrive while a write is under way go together into the next one. A write that
    fails is tried again, and `failures` counts it.
    """

    def __init__(self, storage: Storage, values: dict[str, Any]) -> None:
        self._storage = storage
        self._values = values
        self._waiting: list[Callable[[], None]] = []
        self._is_writing = False
        self._is_dirty = False
        self.failures = 0

    def get(self, key: str, default: Any) -> Any:
        """The value of a key; the default when there is none or it has another type."""
        value = self._values.get(key, default)
        return value if isinstance(value, type(default)) else default

    def put(self, key: str, value: Any, done: Callable[[], None] | None = None) -> None:
        """Change one value."""
        self._values[key] = value
        if done is not None:
            self._waiting.append(done)
        self._is_dirty = True
        self._write()

    def section(self, name: str) -> Section:
        """What one component keeps, under a key of its own."""
        return _Section(self, name)

    def run(self, now: int) -> int | None:
        """Try a failed write again."""
        self._write()
        return now + 1_000_000_000

    def _write(self) -> None:
        if self._is_writing or not self._is_dirty:
            return
        data = encode(self._values)
        waiting = self._waiting
        if self._storage.submit(
            "write", lambda result: self._written(result, waiting, data), path=PATH, data=data
        ):
            self._is_writing, self._is_dirty, self._waiting = True, False, []

    def _written(
        self, result: StorageResult, waiting: list[Callable[[], None]], data: bytes
    ) -> None:
        self._is_writing = False
        if not result.ok:
            self.failures += 1
            self._is_dirty = True
            self._waiting = waiting + self._waiting
            return  # `run` tries again
        for done in waiting:
            done()
        self._write()
        if not self._is_writing:
            self._storage.submit("write", lambda _: None, path=BACKUP, data=data)


@dataclass(frozen=True)
class _Section:
    state: SavedState
    name: str

    def load(self) -> dict[str, object]:
        found: dict[str, object] = self.state.get(self.name, {})
        return found

    def keep(self, content: dict[str, object], done: Callable[[], None] | None = None) -> None:
        self.state.put(self.name, content, done)


def encode(values: Mapping[str, Any]) -> bytes:
    """The octets of a state file."""
    kept = {key: value for key, value in values.items() if key not in ("format", "crc32")}
    return json.dumps({"format": FORMAT, "crc32": _checksum(kept), **kept}).encode()


def parse(data: bytes) -> dict[str, Any]:
    """The values of a state file; raises ValueError with what is wrong.

    One without a checksum was written by hand and is taken.
    """
    values = json_value(data)
    if not isinstance(values, dict) or values.pop("format", None) != FORMAT:
        raise ValueError(f"not of format {FORMAT}")
    if values.pop("crc32", _checksum(values)) != _checksum(values):
        raise ValueError("its checksum does not match")
    return values


def _checksum(values: Mapping[str, Any]) -> int:
    rest = {key: value for key, value in values.items() if key != "crc32"}
    return zlib.crc32(json.dumps(rest, sort_keys=True).encode())


def sensible(values: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The values that can be flown with, and the names of those that cannot."""
    lost = [key for key, is_sound in _SOUND.items() if key in values and not is_sound(values[key])]
    return {key: value for key, value in values.items() if key not in lost}, lost


def _is_boots(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**32 - 1


def _is_replay(value: Any) -> bool:
    return isinstance(value, dict) and all(
        slot.isdecimal() and type(ceiling) is int and 0 <= ceiling < _HIGHEST_CEILING
        for slot, ceiling in value.items()
    )


_SOUND: Mapping[str, Callable[[Any], bool]] = {
    "boots": _is_boots,
    "replay": _is_replay,
    "clock": lambda value: isinstance(value, dict),
    "mode": lambda value: type(value) is int,
    "endpoint": lambda value: isinstance(value, str),
}
