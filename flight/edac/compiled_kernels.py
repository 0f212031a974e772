"""Kernels that are kept on a disk between processes, and compiled anew where that copy is bad.

Numba reads what it kept without a look at it: a lost page ends the import with an error of pickle,
and a flipped bit is executed. So a checksum lies beside each file, and what does not match, or
cannot be read, is dropped. Where nothing can be written, kernels are compiled for this process
alone. Processes that start together take turns: the first compiles, the others read.
"""

from __future__ import annotations

import contextlib
import fcntl
import select
import warnings
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from numba import njit
from numba.core.errors import NumbaError

_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
_LOCK = "kept.lock"
_TRIES, _PAUSE_S = 600, 0.05
"""Half a minute: what compiles a kernel takes a tenth of it, and what hangs may hang for ever."""


def kept(signature: str) -> Callable[[Callable[..., Any]], Any]:
    """Compile a function for one signature, without the interpreter's lock; keep the kernel.

    Warns where a kept kernel cannot be used or kept, and says why. Raises NumbaError where the
    function cannot be compiled.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        kernel = _kept(function, signature) or _kept(function, signature)
        if kernel is None:
            kernel = njit(**_OPTIONS)(function)
            kernel.compile(signature)
        kernel.disable_compile()
        return kernel

    return decorate


def _kept(function: Callable[..., Any], signature: str) -> Any:
    """The kernel, or None where what is kept of it cannot be read; then that is gone."""
    files, kernel = None, None
    try:
        kernel = njit(cache=True, **_OPTIONS)(function)
        files = _Files(function, Path(kernel.stats.cache_path))
        with files.locked():
            if files.are_damaged():
                _say(function, "what was kept is damaged")
                files.drop()
            kernel.compile(signature)
            files.sign()
    except NumbaError:
        raise
    except Exception as error:  # rotten octets can raise anything; so can a disk
        _say(function, f"cannot keep it, or read it: {error!r}. Give $NUMBA_CACHE_DIR a folder")
        if files is not None:
            files.drop()
    return kernel if kernel is not None and kernel.signatures else None


def _say(function: Callable[..., Any], what: str) -> None:
    name = f"{function.__module__}.{function.__qualname__}"
    warnings.warn(f"kernel {name} is compiled anew: {what}", RuntimeWarning, stacklevel=4)


class _Files:
    """The files that Numba keeps of one function in a folder, and the checksums beside them."""

    def __init__(self, function: Callable[..., Any], folder: Path) -> None:
        self._folder = folder
        self._name = f"{function.__module__.rpartition('.')[2]}.{function.__qualname__}-"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """No other process is here meanwhile; where there can be no lock, go on without."""
        with contextlib.ExitStack() as stack:
            with contextlib.suppress(OSError):
                lock = stack.enter_context((self._folder / _LOCK).open("a"))
                _take(lock.fileno())
            yield

    def are_damaged(self) -> bool:
        """Whether a file does not match its checksum. What was kept without one is dropped."""
        sums = [(_stored_sum(path), _sum_of(path)) for path in self._all("nb?")]
        if not all(stored for stored, _ in sums):
            self.drop()
            return False
        return any(stored != found for stored, found in sums)

    def sign(self) -> None:
        """Write the checksum of each file that has another one, or none."""
        for path in self._all("nb?"):
            if (found := _sum_of(path)) != _stored_sum(path):
                _beside(path).write_text(found)

    def drop(self) -> None:
        """Remove all that is kept of the function."""
        for path in [*self._all("nb?"), *self._all("crc")]:
            with contextlib.suppress(OSError):
                path.unlink()

    def _all(self, kind: str) -> list[Path]:
        return sorted(self._folder.glob(f"{self._name}*.{kind}"))


def _take(lock: int) -> None:
    """Wait for the lock of a file, but not longer than a bounded time."""
    for _ in range(_TRIES):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            select.select([], [], [], _PAUSE_S)
        else:
            return


def _beside(path: Path) -> Path:
    return path.with_suffix(".crc")


def _sum_of(path: Path) -> str:
    return f"{zlib.crc32(path.read_bytes()):08x}"


def _stored_sum(path: Path) -> str:
    try:
        return _beside(path).read_text()
    except FileNotFoundError:
        return ""
