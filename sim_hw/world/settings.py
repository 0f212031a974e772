"""Reads a TOML file into dataclasses; says of anything wrong its line and what to write.

A field is declared with its unit and range (`number`), its choices (`choice`), or as `text`,
`TABLE` and `tables`; everything else follows from the declaration.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
from pathlib import Path
from typing import Any, TypeVar

from icd import written
from sim_hw.world.quantities import QuantityError, parse, spell

T = TypeVar("T")
Place = tuple[Any, ...]
"""Where a value stands: table names, keys, and places in an array of tables."""

_REQUIRED = dataclasses.MISSING
_HEADER = re.compile(r"\s*(\[\[?)\s*([\w\-. \"]+?)\s*\]\]?\s*(#.*)?")
_KEY = re.compile(r"\s*([\w\-]+|\"[^\"]+\")\s*=")


class SettingsError(ValueError):
    """Something in the file is wrong; the message begins with file and line."""


class Misfit(ValueError):
    """Settings that are right each but not together; raised by a dataclass as it is made."""

    def __init__(self, key: str, sentence: str) -> None:
        super().__init__(sentence)
        self.key = key


def number(
    unit: str, low: float, high: float, default: Any = _REQUIRED, provenance: str = ""
) -> Any:
    """A quantity in `unit` ("" for a bare number) from `low` to `high`."""
    return _field(default, kind="number", unit=unit, low=low, high=high, provenance=provenance)


def choice(*names: str, default: Any = _REQUIRED) -> Any:
    """One of a few words."""
    return _field(default, kind="choice", names=names)


def text(default: Any = _REQUIRED) -> Any:
    """Any string."""
    return _field(default, kind="text")


def lines_of_text(count: int, default: Any = _REQUIRED) -> Any:
    """So many strings."""
    return _field(default, kind="lines", count=count)


TABLE = {"kind": "table"}
"""Metadata of a field that is a table: `field(default_factory=Type, metadata=TABLE)`."""


def tables(of: type[Any]) -> Any:
    """An array of tables."""
    return dataclasses.field(default=(), metadata={"kind": "tables", "of": of})


def _field(default: Any, **metadata: Any) -> Any:
    if default is _REQUIRED:
        return dataclasses.field(metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def load(of: type[T], source: Path) -> T:
    """Read a file; anything wrong with it is a `SettingsError`."""
    try:
        content = written.text(source.read_bytes())
    except OSError as error:
        raise SettingsError(f"{source}: {error.strerror}") from error
    except ValueError as error:
        raise SettingsError(f"{source}: {error}") from error
    return loads(of, content, source.name)


def loads(of: type[T], content: str, name: str) -> T:
    """Read the text of a file that is called `name`."""
    try:
        raw = written.toml_tables(content)
    except ValueError as error:
        place = re.search(r"line (\d+)", str(error))
        line = place[1] if place else content.count("\n") + 1
        raise SettingsError(f"{name}:{line}: not TOML: {error}") from error
    return _Reader(name, _line_numbers(content)).read(of, raw, ())


def _line_numbers(content: str) -> dict[Place, int]:
    """Path of a key or table -> its line, starting at 1."""
    found: dict[Place, int] = {(): 1}
    counts: dict[Place, int] = {}
    here: Place = ()
    for line, words in enumerate(content.split("\n"), 1):
        if header := _HEADER.fullmatch(words):
            here = tuple(part.strip(' "') for part in header[2].split("."))
            if header[1] == "[[":
                counts[here] = counts.get(here, -1) + 1
                found.setdefault(here, line)
                here = (*here, counts[here])
            found.setdefault(here, line)
        elif key := _KEY.match(words):
            found.setdefault((*here, key[1].strip('"')), line)
    return found


class _Reader:
    """Reads tables, and knows where each value was written."""

    def __init__(self, name: str, lines: dict[Place, int]) -> None:
        self._name = name
        self._lines = lines

    def read(self, of: type[T], raw: dict[str, Any], path: Place) -> T:
        fields = {field.name: field for field in dataclasses.fields(of)}  # type: ignore[arg-type]
        for key in raw:
            if key not in fields:
                raise self._wrong((*path, key), _unknown(key, path, list(fields)))
        values: dict[str, Any] = {}
        for name, field in fields.items():
            if name in raw:
                values[name] = self._value(field, raw[name], (*path, name))
            elif field.default is _REQUIRED and field.default_factory is _REQUIRED:
                raise self._wrong(path, f"{_place(path)} has no {name}; add {_example(field)}")
        try:
            return of(**values)
        except Misfit as error:
            raise self._wrong((*path, error.key), str(error)) from error

    def _value(self, field: dataclasses.Field[Any], raw: Any, path: Place) -> Any:
        kind = field.metadata["kind"]
        if kind == "number":
            return self._number(field, raw, path)
        if kind == "choice":
            names = field.metadata["names"]
            if raw not in names:
                known = ", ".join(f'"{name}"' for name in names)
                raise self._wrong(path, f"{field.name} is {raw!r}; write one of {known}")
            return raw
        if kind == "text":
            return self._expect(str, raw, path, f'write {field.name} = "…"')
        if kind == "lines":
            count = field.metadata["count"]
            if not isinstance(raw, list) or [type(line) for line in raw] != [str] * count:
                raise self._wrong(path, f'write {field.name} = ["…", "…"]: {count} strings')
            return tuple(raw)
        if kind == "table":
            self._expect(dict, raw, path, f"write a table [{field.name}]")
            of: Any = field.default_factory
            return self.read(of, raw, path)
        self._expect(list, raw, path, f"write tables [[{field.name}]]")
        return tuple(
            self.read(
                field.metadata["of"],
                self._expect(dict, one, (*path, index), f"write tables [[{field.name}]]"),
                (*path, index),
            )
            for index, one in enumerate(raw)
        )

    def _number(self, field: dataclasses.Field[Any], raw: Any, path: Place) -> float:
        data = field.metadata
        try:
            value = parse(raw, data["unit"], spell(_typical(data), data["unit"]))
        except QuantityError as error:
            raise self._wrong(path, f"{field.name} = {raw!r} {error}") from error
        if not data["low"] <= value <= data["high"]:
            low, high = (spell(data[end], data["unit"]) for end in ("low", "high"))
            raise self._wrong(
                path, f"{field.name} = {raw!r} is out of range; write a value from {low} to {high}"
            )
        return value

    def _expect(self, kind: type[T], raw: Any, path: Place, advice: str) -> T:
        if not isinstance(raw, kind):
            raise self._wrong(path, f"{path[-1]} is not of the right kind; {advice}")
        return raw

    def _wrong(self, path: Place, sentence: str) -> SettingsError:
        while path not in self._lines:  # a key of an inline table stands on its table's line
            path = path[:-1]
        return SettingsError(f"{self._name}:{self._lines[path]}: {sentence}")


def _place(path: Place) -> str:
    names = [str(part) for part in path if isinstance(part, str)]
    return f"[{'.'.join(names)}]" if names else "the file"


def _unknown(key: str, path: Place, known: list[str]) -> str:
    near = difflib.get_close_matches(key, known, 1, 0.5)
    advice = f'write "{near[0]}"' if near else f"known are {', '.join(known)}"
    return f'"{key}" is not a key of {_place(path)}; {advice}'


def _typical(data: Any) -> float:
    low, high = float(data["low"]), float(data["high"])
    return low if low > 0.0 else min(1.0, high)


def _example(field: dataclasses.Field[Any]) -> str:
    data = field.metadata
    if data["kind"] == "number":
        value = spell(_typical(data), data["unit"])
        return f"{field.name} = " + (f'"{value}"' if data["unit"] else value)
    if data["kind"] == "choice":
        return f'{field.name} = "{data["names"][0]}"'
    return f'{field.name} = "…"'
