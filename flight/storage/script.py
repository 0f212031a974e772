"""Several storage operations after each other, written as a generator and stepped by answers."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, NamedTuple, TypeVar

from flight.framework.ports import Storage, StorageResult

T = TypeVar("T")


class Ask(NamedTuple):
    """One storage operation."""

    operation: str
    arguments: dict[str, Any]


Script = Generator[Ask, StorageResult, T]


class StorageFailed(Exception):
    """The storage worker could not do what a script needs; `error` is its errno name."""

    def __init__(self, result: StorageResult, asked: Ask) -> None:
        path = asked.arguments.get("path", "")
        super().__init__(f"{asked.operation} {path}: {result.text or result.error}")
        self.error = result.error

    @property
    def reason(self) -> str:
        """A sentence for ground."""
        return f"{self.error}: {self}"


def ask(operation: str, **arguments: Any) -> Script[StorageResult]:
    """Do one operation, whatever comes of it."""
    return (yield Ask(operation, arguments))


def must(operation: str, **arguments: Any) -> Script[Any]:
    """The value of one operation; raises StorageFailed when it failed."""
    result = yield Ask(operation, arguments)
    if not result.ok:
        raise StorageFailed(result, Ask(operation, arguments))
    return result.value


def tolerate(operation: str, *errors: str, **arguments: Any) -> Script[Any]:
    """Like `must`, but None where the operation failed with one of those errno names."""
    result = yield Ask(operation, arguments)
    if not result.ok and result.error not in errors:
        raise StorageFailed(result, Ask(operation, arguments))
    return result.value if result.ok else None


def perform(
    storage: Storage,
    script: Script[T],
    done: Callable[[T], object],
    failed: Callable[[StorageFailed], object],
) -> None:
    """Step a script with the storage's answers, then call `done` with what it returns.

    `failed` gets the StorageFailed that the script let through.
    """

    def step(result: StorageResult | None) -> None:
        try:
            asked = next(script) if result is None else script.send(result)
            while not storage.submit(asked.operation, step, **asked.arguments):
                asked = script.send(StorageResult(False, error="EAGAIN", text="storage is busy"))
        except StopIteration as end:
            done(end.value)
        except StorageFailed as failure:
            failed(failure)

    step(None)
