"""The few numbers that must survive a power-off: boot count, time, anti-replay ceilings, mode."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from flight.ports import Storage, StorageResult

PATH = "state/executive.json"
FORMAT = 1


class PersistentState:
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

    def run(self, now: int) -> int | None:
        """Try a failed write again."""
        self._write()
        return now + 1_000_000_000

    def _write(self) -> None:
        if self._is_writing or not self._is_dirty:
            return
        data = json.dumps({"format": FORMAT, **self._values}).encode()
        waiting = self._waiting
        if self._storage.submit(
            "write", lambda result: self._written(result, waiting), path=PATH, data=data
        ):
            self._is_writing, self._is_dirty, self._waiting = True, False, []

    def _written(self, result: StorageResult, waiting: list[Callable[[], None]]) -> None:
        self._is_writing = False
        if not result.ok:
            self.failures += 1
            self._is_dirty = True
            self._waiting = waiting + self._waiting
            return  # `run` tries again
        for done in waiting:
            done()
        self._write()


def parse(data: bytes) -> dict[str, Any]:
    """The values of a state file; raises ValueError with what is wrong."""
    values = json.loads(data)
    if not isinstance(values, dict) or values.pop("format", None) != FORMAT:
        raise ValueError(f"{PATH} is not of format {FORMAT}")
    return values
