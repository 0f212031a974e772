"""Reads a campaign file into dataclasses; says of anything wrong its line and what to write.

A field is declared by what it may hold (`whole`, `share`, `quantity`, `words`, `choice`, `text`,
`NAMED`); everything else follows from the declaration.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from icd import written

T = TypeVar("T")
Place = tuple[str, ...]

UNITS: dict[str, dict[str, float]] = {
    "s": {"s": 1.0, "ms": 1e-3, "min": 60.0},
    "octets": {"octets": 1.0, "KiB": 1024.0, "MiB": 1024.0**2},
}
"""Unit that a quantity is kept in -> the units it may be written in, and their size in it."""

_REQUIRED = dataclasses.MISSING
_HEADER = re.compile(r"\s*\[\s*([\w\-\".]+)\s*\]\s*(#.*)?")
_KEY = re.compile(r"\s*([\w\-]+|\"[^\"]+\")\s*=")
_QUANTITY = re.compile(r"\s*(\d+\.?\d*(?:[eE][-+]?\d+)?)\s*(\S*)\s*", re.ASCII)


class SettingsError(ValueError):
    """Something in the file is wrong; the message begins with file and line."""


class Misfit(ValueError):
    """Settings that are right each but not together; raised by a dataclass as it is made."""

    def __init__(self, key: str, sentence: str) -> None:
        super().__init__(sentence)
        self.key = key


def whole(low: int, high: int, default: Any = _REQUIRED) -> Any:
    """A whole number from `low` to `high`."""
    return _field(default, kind="whole", low=low, high=high)


def share(low: float, high: float, default: Any = _REQUIRED) -> Any:
    """A bare number from `low` to `high`."""
    return _field(default, kind="share", low=low, high=high)


def quantity(unit: str, low: float, high: float, default: Any = _REQUIRED) -> Any:
    """A number with its unit, such as "20 s", from `low` to `high` in `unit`."""
    return _field(default, kind="quantity", unit=unit, low=low, high=high)


def words(known: Sequence[str], default: Any = _REQUIRED) -> Any:
    """A list of different words out of `known`, at least one."""
    return _field(default, kind="words", known=tuple(known))


def choice(known: Sequence[str], default: Any = _REQUIRED) -> Any:
    """One word out of `known`."""
    return _field(default, kind="choice", known=tuple(known))


def text(default: Any = _REQUIRED) -> Any:
    """A line of text."""
    return _field(default, kind="text")


NAMED = {"kind": "named"}
"""Metadata of a field that holds tables such as [kernel.matmul], each of the type that `kinds` has
under its name: `field(metadata=NAMED)`."""


def _field(default: Any, **metadata: Any) -> Any:
    if default is _REQUIRED:
        return dataclasses.field(metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def load(of: type[T], source: Path, kinds: Mapping[str, type[Any]]) -> T:
    """Read a file; anything wrong with it is a `SettingsError`.

    `kinds` gives the dataclass of every table that a `NAMED` field may hold.
    """
    try:
        content = written.text(source.read_bytes())
    except OSError as error:
        raise SettingsError(f"{source}: {error.strerror}") from error
    except ValueError as error:
        raise SettingsError(f"{source}: {error}") from error
    return loads(of, content, source.name, kinds)


def loads(of: type[T], content: str, name: str, kinds: Mapping[str, type[Any]]) -> T:
    """Read the text of a file that is called `name`."""
    try:
        raw = written.toml_tables(content)
    except ValueError as error:
        place = re.search(r"line (\d+)", str(error))
        line = place[1] if place else content.count("\n") + 1
        raise SettingsError(f"{name}:{line}: not TOML: {error}") from error
    return _Reader(name, _line_numbers(content), kinds).read(of, raw, ())


def _line_numbers(content: str) -> dict[Place, int]:
    """Path of a key or table -> its line, starting at 1."""
    found: dict[Place, int] = {(): 1}
    here: Place = ()
    for line, words in enumerate(content.split("\n"), 1):
        if header := _HEADER.fullmatch(words):
            here = tuple(part.strip(' "') for part in header[1].split("."))
            found.setdefault(here, line)
        elif key := _KEY.match(words):
            found.setdefault((*here, key[1].strip('"')), line)
    return found


class _Reader:
    """Reads tables, and knows where each value was written."""

    def __init__(self, name: str, lines: dict[Place, int], kinds: Mapping[str, type[Any]]) -> None:
        self._name = name
        self._lines = lines
        self._kinds = kinds

    def read(self, of: type[T], raw: dict[str, Any], path: Place) -> T:
        fields = {field.name: field for field in dataclasses.fields(of)}  # type: ignore[arg-type]
        for key in raw:
            if key not in fields:
                self._refuse((*path, key), _unknown(key, path, list(fields)))
        values: dict[str, Any] = {}
        for name, field in fields.items():
            if name in raw:
                values[field.name] = self._value(field, raw[name], (*path, name))
            elif field.default is _REQUIRED and field.default_factory is _REQUIRED:
                self._refuse(path, f"{_place(path)} has no {name}; add {self._example(field)}")
        try:
            return of(**values)
        except Misfit as error:
            self._refuse((*path, error.key), str(error))

    def _value(self, field: dataclasses.Field[Any], raw: Any, path: Place) -> Any:
        readers = {
            "whole": self._whole,
            "share": self._share,
            "quantity": self._quantity,
            "words": self._words,
            "choice": self._choice,
            "text": self._text,
            "named": self._named,
        }
        return readers[field.metadata["kind"]](field, raw, path)

    def _whole(self, field: dataclasses.Field[Any], raw: Any, path: Place) -> int:
        if type(raw) is not int:
            self._refuse(path, f"{path[-1]} is a whole number; write {_example(field)}")
        return int(self._within(field, raw, raw, path))

    def _share(self, field: dataclasses.Field[Any], raw: Any, path: Place) -> float:
        if type(raw) not in (int, float):
            self._refuse(path, f"{path[-1]} is a bare number; write {_example(field)}")
        return float(self._within(field, raw, raw, path))

    def _quantity(self, field: dataclasses.Field[Any], raw: Any, path: Place) -> float:
        units = UNITS[field.metadata["unit"]]
        match = _QUANTITY.fullmatch(raw) if isinstance(raw, str) else None
        if match is None:
            self._refuse(path, f"{path[-1]} has a unit; write {_example(field)}")
        if match[2] not in units:
            found = f'the unit "{match[2]}" is' if match[2] else f"{raw!r} has no unit, which is"
            known = ", ".join(units)
            self._refuse(path, f"{path[-1]}: {found} not one of {known}; write {_example(field)}")
        return self._within(field, float(match[1]) * units[match[2]], raw, path)

    def _within(self, field: dataclasses.Field[Any], value: float, raw: Any, path: Place) -> float:
        low, high = field.metadata["low"], field.metadata["high"]
        if not low <= value <= high:
            unit = field.metadata.get("unit", "")
            ends = f"{_spelt(low, unit)} to {_spelt(high, unit)}"
            self._refuse(path, f"{path[-1]} = {raw!r} is out of range; write a value from {ends}")
        return value

    def _words(self, field: dataclasses.Field[Any], raw: Any, path: Place) -> tuple[str, ...]:
        known = field.metadata["known"]
        if not isinstance(raw, list) or not raw:
            self._refuse(path, f"{path[-1]} is a list; write {_example(field)}")
        for word in raw:
            if word not in known:
                near = difflib.get_close_matches(str(word), known, 1, 0.5)
                advice = f'write "{near[0]}"' if near else f"known are {_listed(known)}"
                self._refuse(path, f"{path[-1]}: there is no {word!r}; {advice}")
        if len(set(raw)) < len(raw):
            self._refuse(path, f"{path[-1]} names something twice; write each once")
        return tuple(raw)

    def _choice(self, field: dataclasses.Field[Any], raw: Any, path: Place) -> str:
        known = field.metadata["known"]
        if raw not in known:
            self._refuse(path, f"{path[-1]} = {raw!r}; write one of {_listed(known)}")
        return str(raw)

    def _text(self, field: dataclasses.Field[Any], raw: Any, path: Place) -> str:
        if not isinstance(raw, str) or not raw.strip():
            self._refuse(path, f"{path[-1]} is text; write {_example(field)}")
        return raw

    def _named(self, field: dataclasses.Field[Any], raw: Any, path: Place) -> dict[str, Any]:
        if not isinstance(raw, dict) or not raw:
            self._refuse(path, f"{path[-1]} holds tables; write {self._example(field)}")
        for name, content in raw.items():
            if name not in self._kinds:
                near = difflib.get_close_matches(name, self._kinds, 1, 0.5)
                advice = f'write "{near[0]}"' if near else f"known are {_listed(list(self._kinds))}"
                self._refuse((*path, name), f'there is no {path[-1]} "{name}"; {advice}')
            if not isinstance(content, dict):
                self._refuse((*path, name), f"{name} is a table; write [{path[-1]}.{name}]")
        return {name: self.read(self._kinds[name], raw[name], (*path, name)) for name in raw}

    def _example(self, field: dataclasses.Field[Any]) -> str:
        if field.metadata["kind"] == "named":
            return f"a table [{field.name}.{next(iter(self._kinds))}]"
        return _example(field)

    def _refuse(self, path: Place, sentence: str) -> NoReturn:
        while path not in self._lines:  # a key of an inline table stands on its table's line
            path = path[:-1]
        raise SettingsError(f"{self._name}:{self._lines[path]}: {sentence}")


def _place(path: Place) -> str:
    return f"[{'.'.join(path)}]" if path else "the file"


def _unknown(key: str, path: Place, known: list[str]) -> str:
    near = difflib.get_close_matches(key, known, 1, 0.5)
    advice = f'write "{near[0]}"' if near else f"known are {', '.join(known)}"
    return f'"{key}" is not a key of {_place(path)}; {advice}'


def _listed(known: Sequence[str]) -> str:
    return ", ".join(f'"{word}"' for word in known)


def _spelt(value: float, unit: str) -> str:
    return f"{value:g} {unit}" if unit else f"{value:g}"


def _example(field: dataclasses.Field[Any]) -> str:
    data, name = field.metadata, field.name
    match data["kind"]:
        case "whole" | "share":
            return f"{name} = {max(data['low'], min(1, data['high'])):g}"
        case "quantity":
            return f'{name} = "{_spelt(max(data["low"], 1.0), data["unit"])}"'
        case "words":
            return f'{name} = ["{data["known"][0]}"]'
        case "choice":
            return f'{name} = "{data["known"][0]}"'
    return f'{name} = "…"'
