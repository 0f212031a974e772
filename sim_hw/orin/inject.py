"""What the world can do to an emulated Orin: heat, over-current, memory errors, broken files."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from icd.board_state import BoardState
from icd.written import json_value
from sim_hw.orin.kernel_files import RAILS, ZONES

FILE = "injections.json"
LEVELS = ("warning", "critical")
_MMU_FAULT = 31


@dataclass
class Injections:
    """All that is being done to a board; counts only rise."""

    sink_c: float | None = None
    offset_k: float = 0.0
    over_current: dict[str, str] = field(default_factory=dict)
    zones_off: list[str] = field(default_factory=lambda: ["cv0", "cv1", "cv2"])
    files: dict[str, str | None] = field(default_factory=dict)
    """Path -> what it says instead; None takes it away."""

    corrected: int = 0
    uncorrected: int = 0
    throttle_events: int = 0
    slots_broken: list[int] = field(default_factory=list)
    """Boot slots whose software does not come up."""

    power: bool = True


def load(folder: Path) -> Injections:
    """What is being done; nothing where the file is missing or cannot be understood."""
    try:
        body = json_value((folder / FILE).read_bytes())
        return Injections(**body)
    except (OSError, ValueError, TypeError):
        return Injections()


class OrinWorld:
    """Does things to the emulated Orin of a folder; its companion sees them at its next step."""

    def __init__(self, folder: Path) -> None:
        if not (folder / "root").is_dir() and not (folder / "staging").is_dir():
            raise ValueError(f"no emulated Orin in {folder}; start it: sim_hw board --model orin")
        self._folder = folder

    def over_current(self, rail: str, level: str | None) -> None:
        """Raise the alarm of a rail (`warning`, `critical`), or lower it (None)."""
        _one_of("rail", rail, tuple(RAILS))
        if level is not None:
            _one_of("level", level, LEVELS)
        with self._change() as injections:
            if level is None:
                injections.over_current.pop(rail, None)
            else:
                injections.over_current[rail] = level
                injections.throttle_events += 1

    def temperature(self, offset_k: float) -> None:
        """Let every zone measure `offset_k` more than it is; the governor believes it."""
        with self._change() as injections:
            injections.offset_k = offset_k

    def sink(self, sink_c: float) -> None:
        """Set what the radiator sees, in °C."""
        with self._change() as injections:
            injections.sink_c = sink_c

    def zone(self, name: str, on: bool) -> None:
        """Switch the block of a thermal zone on or off; off, the zone says -256 °C."""
        _one_of("zone", name, ZONES)
        with self._change() as injections:
            others = [zone for zone in injections.zones_off if zone != name]
            injections.zones_off = others if on else [*others, name]

    def ecc(self, corrected: int, uncorrected: int) -> None:
        """Count memory errors."""
        if corrected < 0 or uncorrected < 0:
            raise ValueError("error counts only rise; give numbers of 0 or more")
        with self._change() as injections:
            injections.corrected += corrected
            injections.uncorrected += uncorrected

    def file(self, path: str, text: str | None) -> None:
        """Let a file below the root say something else, or vanish (None)."""
        plain = path.lstrip("/")
        if ".." in Path(plain).parts or not plain:
            raise ValueError(f"{path!r} is no file of the board; give a path such as sys/…/temp")
        with self._change() as injections:
            injections.files[plain] = text

    def mend(self, path: str) -> None:
        """Give a file its value from before the fault."""
        with self._change() as injections:
            injections.files.pop(path.lstrip("/"), None)

    def slot(self, number: int, boots: bool) -> None:
        """Let the software in a boot slot come up, or not, from the next boot on."""
        if number not in (0, 1):
            raise ValueError(f"no boot slot {number}; give 0 or 1")
        with self._change() as injections:
            others = [slot for slot in injections.slots_broken if slot != number]
            injections.slots_broken = others if boots else [*others, number]

    def crash(self, pid: int | None = None) -> int:
        """End compute contexts as a GPU fault does: a process's, or all; how many ended.

        They read an MMU fault, which is what most upsets of the GPU's logic look like.
        """
        board = BoardState.attach(self._folder / "board.state")
        try:
            ended = 0
            for row in board.contexts:
                if row.pid and not row.killed_by and pid in (None, row.pid):
                    row.killed_by = _MMU_FAULT
                    ended += 1
            return ended
        finally:
            del row
            board.close()

    def power(self, on: bool) -> None:
        """Switch the rail of the whole module."""
        with self._change() as injections:
            injections.power = on

    @contextlib.contextmanager
    def _change(self) -> Iterator[Injections]:
        path = self._folder / FILE
        descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            injections = load(self._folder)
            yield injections
            temporary = path.with_name(f".{FILE}.{os.getpid()}")
            temporary.write_text(json.dumps(asdict(injections)), encoding="utf-8")
            temporary.rename(path)
        finally:
            os.close(descriptor)


class Watched:
    """The injections of a folder, read again when somebody changed them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: Any = None
        self.now = Injections()

    def look(self) -> Injections:
        """What is being done now."""
        try:
            found = (self._folder / FILE).stat()
            mark: Any = (found.st_mtime_ns, found.st_ino)
        except OSError:
            mark = None
        if mark != self._seen:
            self._seen = mark
            self.now = load(self._folder)
        return self.now


def _one_of(kind: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ValueError(f"no {kind} {value!r}; give one of {', '.join(known)}")
