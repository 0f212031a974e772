"""Field types both ends of the link agree on: a Python type plus how it lies on the wire."""

from __future__ import annotations

import enum
import math
import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, get_args, get_type_hints


@dataclass(frozen=True)
class Wire:
    """The `struct` code of one scalar; every multi-octet field is big-endian."""

    code: str


@dataclass(frozen=True)
class Count:
    """The fixed length of an array."""

    length: int


@dataclass(frozen=True)
class TextLength:
    """The octets of a fixed, zero-padded UTF-8 text."""

    octets: int


@dataclass(frozen=True)
class OctetsLimit:
    """The most octets of a counted field; only the last field may be one."""

    octets: int


@dataclass(frozen=True)
class Unit:
    symbol: str


@dataclass(frozen=True)
class Limits:
    """The inclusive range of a value; None leaves that side open."""

    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Labels:
    """What numbers are called where they are shown; all that may come have a name."""

    names: tuple[tuple[int, str], ...]


@dataclass(frozen=True)
class FileName:
    """The text is a path in the payload's file store."""


U8 = Annotated[int, Wire("B")]
U16 = Annotated[int, Wire("H")]
U32 = Annotated[int, Wire("I")]
U64 = Annotated[int, Wire("Q")]
I8 = Annotated[int, Wire("b")]
I16 = Annotated[int, Wire("h")]
I32 = Annotated[int, Wire("i")]
I64 = Annotated[int, Wire("q")]
F32 = Annotated[float, Wire("f")]
F64 = Annotated[float, Wire("d")]
Flag = Annotated[bool, Wire("?")]
Text16 = Annotated[str, TextLength(16)]
Text32 = Annotated[str, TextLength(32)]
Text64 = Annotated[str, TextLength(64)]
Text128 = Annotated[str, TextLength(128)]
Text160 = Annotated[str, TextLength(160)]
Segment = Annotated[bytes, OctetsLimit(3072)]

LARGEST_F32 = 3.4028234663852886e38
_RANGE: dict[str, tuple[float, float]] = {
    "B": (0, 2**8 - 1),
    "H": (0, 2**16 - 1),
    "I": (0, 2**32 - 1),
    "Q": (0, 2**64 - 1),
    "b": (-(2**7), 2**7 - 1),
    "h": (-(2**15), 2**15 - 1),
    "i": (-(2**31), 2**31 - 1),
    "q": (-(2**63), 2**63 - 1),
    "?": (0, 1),
    "f": (-LARGEST_F32, LARGEST_F32),
}
_NAME = {
    "B": "u8",
    "H": "u16",
    "I": "u32",
    "Q": "u64",
    "b": "i8",
    "h": "i16",
    "i": "i32",
    "q": "i64",
    "f": "f32",
    "d": "f64",
    "?": "flag",
    "s": "text",
    "o": "octets",
}
CODES = {name: code for code, name in _NAME.items()}


class DeclarationError(TypeError):
    """A declaration that ground could not decode; the message says what to write."""


@dataclass(frozen=True)
class Field:
    """One field, free of Python types, so that ground can rebuild it from the dictionary file."""

    name: str
    code: str
    count: int = 1
    """Array length; octets of a text; most octets of a counted field."""
    is_array: bool = False
    labels: tuple[tuple[int, str], ...] = ()
    description: str = ""
    unit: str = ""
    low: float | None = None
    high: float | None = None
    is_file: bool = False

    @property
    def type_name(self) -> str:
        """The wire type in words: u16, f32, enum u8, text 32, octets up to 3072, u16[4]."""
        name = _NAME[self.code]
        if self.labels:
            return f"enum {name}"
        if self.code == "s":
            return f"text {self.count}"
        if self.code == "o":
            return f"octets up to {self.count}"
        return f"{name}[{self.count}]" if self.is_array else name

    @property
    def range(self) -> tuple[float, float] | None:
        """The inclusive range that is accepted; None for text and octets."""
        if self.code in "so":
            return None
        low, high = _RANGE.get(self.code, (-math.inf, math.inf))
        return (low if self.low is None else self.low, high if self.high is None else self.high)


def fields_of(declaration: type | Callable[..., Any], owner: str) -> tuple[Field, ...]:
    """Read the fields of a dataclass, or the parameters of a function, from its annotations.

    Raises DeclarationError for an annotation without a wire type.
    """
    hints = get_type_hints(declaration, include_extras=True)
    hints.pop("return", None)
    fields = tuple(_field(name, hint, owner) for name, hint in hints.items())
    for field in fields[:-1]:
        if field.code == "o":
            raise DeclarationError(f"{owner}: counted octets '{field.name}' must be the last field")
    return fields


def python_types_of(declaration: type | Callable[..., Any]) -> tuple[Any, ...]:
    """The bare Python type of each field, in order: int, float, str, an enum, a tuple…"""
    hints = get_type_hints(declaration, include_extras=True)
    hints.pop("return", None)
    return tuple(_split(hint)[0] for hint in hints.values())


def _split(hint: Any) -> tuple[Any, dict[type, Any]]:
    if not hasattr(hint, "__metadata__"):
        return hint, {}
    python_type, *notes = get_args(hint)
    return python_type, {type(note): note for note in notes}


def _field(name: str, hint: Any, owner: str) -> Field:
    python_type, notes = _split(hint)
    labels: tuple[tuple[int, str], ...] = ()
    if isinstance(python_type, type) and issubclass(python_type, enum.IntEnum):
        notes.setdefault(Wire, Wire("B"))
        labels = tuple((member.value, member.name) for member in python_type)
        low, high = _RANGE[notes[Wire].code]
        if beyond := [label for number, label in labels if not low <= number <= high]:
            raise DeclarationError(
                f"{owner}: {beyond[0]} of field '{name}' does not fit {_NAME[notes[Wire].code]}; "
                f"give numbers {low} … {high}, or a wider type"
            )
    elif Labels in notes:
        labels = notes[Labels].names
    code, count, is_array = _wire(name, hint, python_type, notes, owner)
    limits = notes.get(Limits, Limits())
    return Field(
        name,
        code,
        count,
        is_array,
        labels,
        notes.get(str, ""),
        notes.get(Unit, Unit("")).symbol,
        limits.low,
        limits.high,
        FileName in notes,
    )


def _wire(
    name: str, hint: Any, python_type: Any, notes: dict[type, Any], owner: str
) -> tuple[str, int, bool]:
    if TextLength in notes and python_type is str:
        return "s", notes[TextLength].octets, False
    if OctetsLimit in notes and python_type is bytes:
        return "o", notes[OctetsLimit].octets, False
    is_array = isinstance(python_type, types.GenericAlias) and python_type.__origin__ is tuple
    if Wire in notes and is_array == (Count in notes):
        return notes[Wire].code, notes[Count].length if is_array else 1, is_array
    raise DeclarationError(
        f"{owner}: field '{name}' has no wire type; write it as one of U8 … F64, Flag, Text32, "
        "Segment, an IntEnum, or Annotated[tuple[int, ...], Wire('H'), Count(4)] "
        f"(it is annotated {hint!r})"
    )
