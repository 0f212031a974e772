"""Plain values from a file into dataclasses: every key, type and number is looked at."""

from __future__ import annotations

import enum
import types
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from typing import Any, Union, get_args, get_origin, get_type_hints

_CALLED = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}


def made(of: Any, plain: Any, where: str) -> Any:
    """`plain` as a value of the type `of`: a dataclass of the types below, a tuple of them, an
    IntEnum, or int, float, str, bool, with None where that is permitted.

    Raises ValueError, naming the place by `where`.
    """
    if of is Any:
        return plain
    if is_dataclass(of):
        return _record(of, plain, where)
    origin = get_origin(of)
    if origin is tuple:
        return _tuple(get_args(of), plain, where)
    if origin in (types.UnionType, Union):
        return None if plain is None else made(get_args(of)[0], plain, where)
    if issubclass(of, enum.IntEnum):
        return _member(of, plain, where)
    if type(plain) is not of and not (of is float and type(plain) is int):
        raise ValueError(f"{where} is {_shown(plain)}, not {_CALLED[of]}")
    return plain


def _record(of: Any, plain: Any, where: str) -> Any:
    if not isinstance(plain, dict):
        raise ValueError(f"{where} is {_shown(plain)}, not an object")
    known = _types(of)
    if unknown := sorted(set(plain) - set(known)):
        raise ValueError(f"{where} has an unknown key {unknown[0]!r}")
    if missing := [
        name for name, (_, is_needed) in known.items() if is_needed and name not in plain
    ]:
        raise ValueError(f"{where} has no {missing[0]}")
    return of(**{key: made(known[key][0], one, f"{where}.{key}") for key, one in plain.items()})


@cache
def _types(of: Any) -> dict[str, tuple[Any, bool]]:
    """Field -> its type, and whether it must be given."""
    hints = get_type_hints(of)
    return {
        field.name: (hints[field.name], field.default is MISSING is field.default_factory)
        for field in fields(of)
    }


def _tuple(inner: tuple[Any, ...], plain: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(plain, list):
        raise ValueError(f"{where} is {_shown(plain)}, not a list")
    if inner[-1] is ...:
        inner = (inner[0],) * len(plain)
    if len(inner) != len(plain):
        raise ValueError(f"{where} has {len(plain)} values, not {len(inner)}")
    return tuple(
        made(of, one, f"{where}[{index}]")
        for index, (of, one) in enumerate(zip(inner, plain, strict=True))
    )


def _member(of: type[enum.IntEnum], plain: Any, where: str) -> enum.IntEnum:
    for member in of:
        if type(plain) is int and plain == member:
            return member
    raise ValueError(f"{where} is {_shown(plain)}, not one of {', '.join(map(str, map(int, of)))}")


def _shown(plain: Any) -> str:
    return repr(plain)[:40]
