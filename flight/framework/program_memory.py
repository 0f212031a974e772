"""Checksums of a process's own code and read-only tables, in the background (as cFS CS does).

Python code is data: a code object that an upset has changed runs on, wrong. Every function of
every loaded module, and every constant table of our own packages, gets a CRC-32 when it is first
met; from then on it is compared, some each time `check` is called. What counts is what a code
object means: its instructions (see `instructions.py`), constants, names and exception table.
"""

from __future__ import annotations

import enum
import marshal
import sys
import zlib
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from types import CodeType, FunctionType, ModuleType
from typing import Any, Protocol

from flight.framework.bytecode import as_compiled, live_instructions

OURS = ("flight", "icd", "hal")
"""Packages whose module constants are tables: names in capitals."""
_VERSION = 2
"""Of marshal: the last one whose octets do not depend on who else refers to an object."""
_DEEPEST = 8
_NAMES, _OVERHEAD = 1024, 192
"""What a list of names costs, a module's or a class's, and any object: in octets compared."""
_SLOWER = 6
"""By so much it takes longer to tell what octets mean than to compare them."""


class Program(Protocol):
    """The memory of a program, as the scrubber sees it."""

    passes: int
    """Times that everything was compared."""

    @property
    def items(self) -> int:
        """Code objects and tables with a checksum."""
        ...

    def check(self, octets: int) -> list[str]:
        """Compare about so many octets more; what has changed, by name."""
        ...

    def recompute(self) -> None:
        """Take everything as it is now for right."""
        ...


class NoProgram:
    """For a simulated executive, whose memory is not its own."""

    passes = 0
    items = 0

    def check(self, octets: int) -> list[str]:  # noqa: ARG002
        return []

    def recompute(self) -> None:
        """Nothing to compute."""


class ProgramMemory:
    """Implements `Program` for this process, or for some packages of it only.

    `modules` is `sys.modules`, unless a test says so.
    """

    def __init__(
        self,
        modules: Mapping[str, ModuleType] | None = None,
        packages: Sequence[str] = (),
    ) -> None:
        self._modules = sys.modules if modules is None else modules
        self._packages = packages
        self.passes = 0
        self._known: dict[str, _Known] = {}
        self._walk = self._compare()

    @property
    def items(self) -> int:
        return sum(len(known.objects) for known in self._known.values())

    def recompute(self) -> None:
        """Take everything as it is now for right: checksums are made anew."""
        self._known = {}
        self._walk = self._compare()

    def check(self, octets: int) -> list[str]:
        """Go on until so many octets are compared; the names of what changed.

        What changed is told once and then taken as it is. A call does a few octets more than
        asked for: one code object, or one module's names.
        """
        changed = []
        left = octets
        while left > 0:
            size, name = next(self._walk, (-1, ""))
            if size < 0:
                self.passes += 1
                self._walk = self._compare()
                break
            left -= size + _OVERHEAD
            if name:
                changed.append(name)
        return changed

    def _compare(self) -> Iterator[tuple[int, str]]:
        """For each object its octets, and its name if it has changed."""
        for name, module in list(self._modules.items()):
            if self._packages and name.partition(".")[0] not in self._packages:
                continue
            yield _NAMES, ""
            known = self._known.setdefault(name, _Known())
            at = 0
            for label, item in _items_of(name, module):
                if item is None:
                    yield _NAMES, ""
                    continue
                size, has_changed = known.compare(at, item)
                at += 1
                yield size, f"{name}:{label}" if has_changed else ""
            known.end(at)


class _Known:
    """The checksums of one module's objects, in their order; 0 where there is none yet.

    There are two of each: of what the memory holds, which is quick to make, and of what it means,
    which is made only where the first one changed: the interpreter writes caches.
    """

    def __init__(self) -> None:
        self.objects: list[object] = []
        self._raw, self._meant = array("I"), array("I")

    def compare(self, at: int, item: object) -> tuple[int, bool]:
        """Octets looked at, and whether the object now means something else than before."""
        if at == len(self.objects):
            self.objects.append(item)
            self._raw.append(0)
            self._meant.append(0)
        elif self.objects[at] is not item:
            self.objects[at], self._raw[at], self._meant[at] = item, 0, 0
        if isinstance(item, CodeType):
            return self._compare_code(at, item)
        data = table_octets(item)
        return _SLOWER * len(data), self._differs(at, zlib.crc32(data))

    def end(self, count: int) -> None:
        """There are no more objects than that."""
        del self.objects[count:], self._raw[count:], self._meant[count:]

    def _compare_code(self, at: int, code: CodeType) -> tuple[int, bool]:
        rest = _constants(code)
        live = live_instructions(code)
        raw = zlib.crc32(live, zlib.crc32(rest)) or 1
        size = len(live) + len(rest)
        if self._raw[at] == raw:
            return size, False
        self._raw[at] = raw
        meant = zlib.crc32(as_compiled(live), zlib.crc32(rest))
        return _SLOWER * size, self._differs(at, meant)

    def _differs(self, at: int, found: int) -> bool:
        before, self._meant[at] = self._meant[at], found or 1
        return before not in (0, found or 1)


def _constants(code: CodeType) -> bytes:
    """What a code object refers to, but for the code within it."""
    constants = [each for each in code.co_consts if not isinstance(each, CodeType)]
    table: bytes = getattr(code, "co_exceptiontable", b"")
    try:
        return marshal.dumps((constants, code.co_names, table), _VERSION)
    except ValueError:  # a constant that no compiler made
        return b"".join((*_plain(constants, 0), *_plain(code.co_names, 0), table))


def table_octets(value: object) -> bytes:
    """What a table of plain values, enum members, dataclasses and functions means."""
    return b"\0".join(_plain(value, 0))


def _items_of(name: str, module: ModuleType) -> Iterator[tuple[str, object]]:
    yield from _codes_of(module)
    if name.partition(".")[0] in OURS:
        yield from _tables_of(module)


def _codes_of(module: ModuleType) -> Iterator[tuple[str, object]]:
    for value in list(getattr(module, "__dict__", {}).values()):
        if isinstance(value, FunctionType):
            yield from _nested(value.__code__, value.__qualname__)
        elif isinstance(value, type) and value.__module__ == module.__name__:
            yield "", None  # to look through a class takes time, whatever is found
            for function in _methods(value):
                yield from _nested(function.__code__, function.__qualname__)


def _nested(code: CodeType, name: str) -> Iterator[tuple[str, object]]:
    yield name, code
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield from _nested(each, name)


def _methods(kind: type) -> Iterator[FunctionType]:
    for attribute in list(vars(kind).values()):
        held: Sequence[Any] = (attribute,)
        if isinstance(attribute, staticmethod | classmethod):
            held = (attribute.__func__,)
        elif isinstance(attribute, property):
            held = (attribute.fget, attribute.fset)
        yield from (each for each in held if isinstance(each, FunctionType))


def _tables_of(module: ModuleType) -> Iterator[tuple[str, object]]:
    for label, value in list(vars(module).items()):
        is_constant = label.isupper() and label.strip("_") and not label.startswith("__")
        if is_constant and isinstance(value, tuple | frozenset | Mapping | bytes):
            yield label, value


def _plain(value: object, depth: int) -> Iterator[bytes]:
    make = _PLAIN.get(type(value))
    if make is not None:
        yield make(value)
    elif isinstance(value, enum.Enum):
        yield f"{type(value).__qualname__}.{value.name}={value.value!r}".encode()
    elif depth >= _DEEPEST:
        yield type(value).__qualname__.encode()
    elif isinstance(value, Mapping):
        for key, item in list(value.items()):
            yield from _plain(key, depth + 1)
            yield from _plain(item, depth + 1)
    elif isinstance(value, set | frozenset):
        yield from sorted(b"\0".join(_plain(item, depth + 1)) for item in value)
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _plain(item, depth + 1)
    elif is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            yield from _plain(getattr(value, field.name), depth + 1)
    else:
        yield getattr(value, "__qualname__", type(value).__qualname__).encode()


_PLAIN: dict[type, Callable[[Any], bytes]] = {
    int: lambda value: b"%d" % value,
    bool: lambda value: b"%d" % value,
    float: lambda value: value.hex().encode(),
    str: lambda value: value.encode(errors="surrogatepass"),
    bytes: bytes,
    type(None): lambda _: b"",
}
