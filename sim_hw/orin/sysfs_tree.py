"""A tree of kernel files kept up to date: whole values only, and only those that changed."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Mapping
from pathlib import Path


class SysfsTree:
    """The files below `root`; `staging` is a folder beside it on the same file system.

    A file is replaced by renaming, so that a reader sees the old or the new value and never half.
    """

    def __init__(self, root: Path, staging: Path) -> None:
        self.root = root
        self._staging = staging
        self._off = staging / "off"
        self._values: dict[str, str] = {}
        self._held: dict[str, str | None] = {}
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        staging.mkdir(mode=0o700, parents=True, exist_ok=True)

    @property
    def is_on(self) -> bool:
        """Whether the tree is there at all."""
        return self.root.is_dir()

    def remove(self) -> None:
        """Take the whole tree away for good."""
        shutil.rmtree(self.root, ignore_errors=True)
        shutil.rmtree(self._staging, ignore_errors=True)

    def copy_out(self, path: str, place: Path) -> None:
        """Keep what a folder of the tree holds in `place`, which is replaced."""
        source = (self.root if self.is_on else self._off) / path
        shutil.rmtree(place, ignore_errors=True)
        if source.is_dir():
            shutil.copytree(source, place)

    def copy_in(self, path: str, place: Path) -> None:
        """Put what was kept back into the tree; nothing where nothing was."""
        if place.is_dir():
            shutil.copytree(place, self.root / path, dirs_exist_ok=True)

    def power(self, on: bool) -> None:
        """Take the tree away as one, or put it back: a board without power answers nothing."""
        source, target = (self._off, self.root) if on else (self.root, self._off)
        if source.is_dir() and not target.exists():
            source.rename(target)

    def put(self, values: Mapping[str, str]) -> int:
        """Give files these values; how many files were written."""
        changed = {path: text for path, text in values.items() if self._values.get(path) != text}
        self._values.update(changed)
        written = 0
        for path, text in changed.items():
            if path not in self._held and self.is_on:
                self._write(path, text)
                written += 1
        return written

    def link(self, path: str, target: str) -> None:
        """Let `path` lead to `target`; both are below the root, and the link is relative."""
        place = self.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        relative = os.path.relpath(self.root / target, place.parent)
        with contextlib.suppress(FileExistsError):
            place.symlink_to(relative)

    def tool(self, path: str, text: str) -> None:
        """An executable file."""
        self._write(path, text)
        (self.root / path).chmod(0o755)

    def read(self, path: str) -> str:
        """What a client may have written to a file; empty while it cannot be read."""
        try:
            return (self.root / path).read_text(encoding="utf-8").strip("\0 \n")
        except (OSError, UnicodeDecodeError):
            return ""

    def number(self, path: str, default: float) -> float:
        """The number a client may have written, or `default` where it is none."""
        try:
            return float(self.read(path))
        except ValueError:
            return default

    def accept(self, path: str) -> None:
        """Take what a client wrote for the value of the file."""
        self._values[path] = self.read(path) + "\n"

    def hold(self, held: Mapping[str, str | None]) -> None:
        """Keep files at a text, or away (None), whatever their value; others are let go."""
        wanted = {self._real(path): text for path, text in held.items()}
        for path in self._held.keys() - wanted.keys():
            del self._held[path]
            if path in self._values and self.is_on:
                self._write(path, self._values[path])
        for path, text in wanted.items():
            if path in self._held and self._held[path] == text:
                continue
            self._held[path] = text
            if text is None:
                (self.root / path).unlink(missing_ok=True)
            else:
                self._write(path, text)

    def _real(self, path: str) -> str:
        """The path of a file with no link on the way, by which its value is known."""
        place = (self.root / path).resolve()
        root = self.root.resolve()
        if not place.is_relative_to(root):
            raise ValueError(f"{path} leads out of the tree")
        return str(place.relative_to(root))

    def _write(self, path: str, text: str) -> None:
        place = self.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._staging / "file"
        temporary.write_text(text, encoding="utf-8")
        temporary.rename(place)
