"""Loads a golden copy into a region, in a process of its own: it takes seconds, the walk goes on.

What can end a process (a file that is cut short while it is read, no memory left) ends this one.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from flight.components.scrubber.worker.golden_copies import GoldenError, GoldenFiles
from flight.workers.lifeline import Lifeline

LARGEST = 64 << 30
"""Octets of one region."""

UNFINISHED = ".loading"
"""Ends the name of what is not whole yet."""

Ended = Callable[[bool, str, int], None]
"""Called with whether it was done, why not, and the octets of the region."""


class Loader:
    """Loads one region after another; `lifeline` tells when the process that does it has ended."""

    def __init__(self, lifeline: Lifeline, golden: GoldenFiles, folder: Path) -> None:
        self._lifeline = lifeline
        self._golden = golden
        self._folder = folder
        self._waiting: list[tuple[str, str, Ended]] = []
        self._pid = 0
        for left in folder.glob(f".*{UNFINISHED}"):  # by a worker that was killed meanwhile
            left.unlink(missing_ok=True)

    def load(self, name: str, golden: str, ended: Ended) -> None:
        """Make the region of that name of the content of a golden copy."""
        self._waiting.append((name, golden, ended))
        if not self._pid:
            self._next()

    def close(self) -> None:
        """End what is under way."""
        self._waiting.clear()
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
            self._pid = 0

    def _next(self) -> None:
        name, golden, ended = self._waiting.pop(0)
        parent = os.getpid()
        reading, writing = os.pipe2(os.O_CLOEXEC)
        self._pid = os.fork()
        if not self._pid:
            os._exit(self._child(parent, self._folder / name, golden, writing))
        os.close(writing)
        self._lifeline.watch(reading, lambda: self._ended(reading, ended))

    def _ended(self, reading: int, ended: Ended) -> None:
        answer = os.read(reading, 4096)
        self._lifeline.unwatch(reading)
        os.close(reading)
        _, status = os.waitpid(self._pid, 0)
        self._pid = 0
        ok, text, octets = False, f"its process ended with status {status}", 0
        if answer:
            ok, text, octets = json.loads(answer)
        ended(ok, text, octets)
        if self._waiting:
            self._next()

    def _child(self, parent: int, path: Path, golden: str, writing: int) -> int:
        """In the new process: load, tell how it went in one write, and end."""
        for number in (signal.SIGTERM, signal.SIGALRM):
            signal.signal(number, signal.SIG_DFL)
        signal.set_wakeup_fd(-1)

        def may_go_on() -> bool:
            return os.getppid() == parent and self._lifeline.has_lease()

        try:
            answer = [True, "", fill(path, self._golden, golden, may_go_on)]
        except (GoldenError, OSError, ValueError, MemoryError) as error:
            answer = [False, _words(error), 0]
        except BaseException as error:  # nothing may return into the parent's loop
            sys.stderr.write(f"scrub worker, loading {golden}: {error!r}\n")
            return 1
        os.write(writing, json.dumps(answer).encode())
        return 0


def fill(path: Path, files: GoldenFiles, golden: str, may_go_on: Callable[[], bool]) -> int:
    """Make a sealed region of a golden copy; octets of it.

    It takes its name when it is sealed. Raises GoldenError, OSError, RegionError.
    """
    from flight.edac.region_file import create

    source = files.open(golden)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}{UNFINISHED}")
    try:
        if not 0 < source.length <= LARGEST:
            raise GoldenError(f"{golden}: {source.length} octets; give 1 … {LARGEST}")
        made = create(unfinished, path.name, source.length, golden=golden)
        at = 0
        for piece in source.pieces():
            made.data[at : at + len(piece)] = memoryview(piece)
            at += len(piece)
            if not may_go_on():
                raise GoldenError(f"{golden}: the payload ends")
        made.seal()
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
        source.close()
    return at


def _words(error: BaseException) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return (text or type(error).__name__)[:160]
