"""Keeps every dictionary ever given to this ground station, by wire hash."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path

from ground.errors import ConfigurationError
from ground.server.link_sequence import replace_durably
from icd import written
from icd.dictionary import Dictionary


class DictionaryStore:
    """Dictionaries by (wire hash, text hash); copies lie in the state folder, so that archives and
    mixed fleets can be decoded for ever."""

    def __init__(self, folder: Path, given: Iterable[Path] = ()) -> None:
        """Raises ConfigurationError for a given file that is no dictionary."""
        self._folder = folder
        self._given = tuple(given)
        self._known: dict[tuple[str, str], Dictionary] = {}
        self._read_at: dict[Path, int] = {}
        folder.mkdir(parents=True, exist_ok=True)
        for path in self._given:
            self._read(path, is_given=True)
        self._scan()

    def find(self, wire_hash: str, text_hash: str = "") -> Dictionary | None:
        """The dictionary of these hashes, or one that decodes the same octets; None if unknown.

        Looks at the files again when they changed since.
        """
        found = self._match(wire_hash, text_hash)
        if found is None:
            self._scan()
            found = self._match(wire_hash, text_hash)
        return found

    def all(self) -> list[Dictionary]:
        return list(self._known.values())

    def _match(self, wire_hash: str, text_hash: str) -> Dictionary | None:
        exact = self._known.get((wire_hash, text_hash))
        if exact is not None:
            return exact
        return next((d for (wire, _), d in self._known.items() if wire == wire_hash), None)

    def _scan(self) -> None:
        for path in (*self._given, *sorted(self._folder.glob("*.json"))):
            self._read(path, is_given=False)

    def _read(self, path: Path, *, is_given: bool) -> None:
        try:
            changed = path.stat().st_mtime_ns
            if self._read_at.get(path) == changed:
                return
            text = written.text(path.read_bytes())
            dictionary = Dictionary.from_json(text)
        except (OSError, ValueError) as error:
            if is_given:
                raise ConfigurationError(
                    f"cannot read dictionary {path}: {error}; give the file that the payload's "
                    "flight wrote"
                ) from error
            return
        self._read_at[path] = changed
        key = (dictionary.wire_hash, dictionary.text_hash)
        if key not in self._known:
            self._known[key] = dictionary
            kept = self._folder / f"{key[0]}-{key[1]}.json"
            if not kept.exists():
                with contextlib.suppress(OSError):  # a full disk: it is known for this run
                    replace_durably(kept, text.encode())
