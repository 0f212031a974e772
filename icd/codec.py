"""Pack and unpack a row of fields; check values against what was declared."""

from __future__ import annotations

import enum
import math
import struct
import sys
from collections.abc import Sequence
from typing import Any

from icd.fields import Field

_FINITE = sys.float_info.max


@enum.unique
class FieldFault(enum.Enum):
    """What is wrong with a field's octets or value."""

    LENGTH = "length"
    TYPE = "type"
    RANGE = "range"
    ENUM = "enum"


class FieldError(ValueError):
    """Octets or a value that the declaration does not admit; the message says what it admits."""

    def __init__(self, fault: FieldFault, message: str) -> None:
        super().__init__(message)
        self.fault = fault


class Codec:
    """The compiled form of a row of fields: octets to values in declared order, and back."""

    def __init__(self, fields: Sequence[Field]) -> None:
        self.fields = tuple(fields)
        self._counted = bool(self.fields) and self.fields[-1].code == "o"
        fixed = self.fields[:-1] if self._counted else self.fields
        self._struct = struct.Struct(">" + "".join(map(_layout, fixed)) + "H" * self._counted)
        self._is_plain = not any(f.code in "so?" or f.is_array for f in self.fields)
        self._checked = tuple(
            _Check(index, field)
            for index, field in enumerate(self.fields)
            if field.labels or field.code in "fd" or field.low is not None or field.high is not None
        )
        self.size: int | None = None if self._counted else self._struct.size

    @property
    def largest(self) -> int:
        """The most octets one packed row can take."""
        return self._struct.size + (self.fields[-1].count if self._counted else 0)

    def unpack(self, data: bytes) -> tuple[Any, ...]:
        """Values in declared order; raises FieldError when the octets do not fit."""
        if self._is_plain:
            try:
                return self._struct.unpack(data)
            except struct.error:
                raise self._wrong_length(data) from None
        return self._unpack_mixed(data)

    def _unpack_mixed(self, data: bytes) -> tuple[Any, ...]:
        fixed = self._struct.size
        if len(data) < fixed or (not self._counted and len(data) != fixed):
            raise self._wrong_length(data)
        raw = iter(self._struct.unpack_from(data))
        values = [_from_wire(field, raw) for field in self.fields if field.code != "o"]
        if self._counted:
            count = next(raw)
            last = self.fields[-1]
            if count > last.count or len(data) != fixed + count:
                raise FieldError(
                    FieldFault.LENGTH,
                    f"{last.name} says {count} octets and {len(data) - fixed} follow; "
                    f"write up to {last.count}, counted",
                )
            values.append(data[fixed:])
        return tuple(values)

    def pack(self, values: Sequence[Any]) -> bytes:
        """Octets for values in declared order; raises FieldError for one that does not fit."""
        try:
            if self._is_plain:
                return self._struct.pack(*values)
            return self._pack_mixed(values)
        except FieldError:
            raise
        except (struct.error, TypeError, AttributeError, OverflowError, ValueError) as error:
            raise self._unfit(values, error) from None

    def _pack_mixed(self, values: Sequence[Any]) -> bytes:
        raw: list[Any] = []
        tail = b""
        for field, value in zip(self.fields, values, strict=True):
            if field.code == "s":
                raw.append(_text_octets(field, value))
            elif field.is_array:
                raw.extend(value)
            elif field.code == "?":
                raw.append(bool(value))
            elif field.code == "o":
                tail = bytes(value)
                if len(tail) > field.count:
                    raise FieldError(
                        FieldFault.LENGTH,
                        f"{field.name} has {len(tail)} octets; give at most {field.count}",
                    )
                raw.append(len(tail))
            else:
                raw.append(value)
        return self._struct.pack(*raw) + tail

    def pack_saturated(self, values: Sequence[Any]) -> bytes:
        """Like `pack`, but a value beyond its type becomes the nearest one that fits: counters
        saturate, long texts are cut."""
        try:
            return self.pack(values)
        except FieldError:
            return self.pack([saturate(f, v) for f, v in zip(self.fields, values, strict=True)])

    def check(self, values: Sequence[Any]) -> None:
        """Raise FieldError for a value outside its declared range or enumeration, or not finite."""
        for check in self._checked:
            value = values[check.index]
            if type(value) is not check.quick_type or not check.low <= value <= check.high:
                check.thorough(value)

    def _wrong_length(self, data: bytes) -> FieldError:
        wanted = ", ".join(f"{f.name} ({f.type_name})" for f in self.fields) or "no argument"
        at_least = "at least " if self._counted else ""
        return FieldError(
            FieldFault.LENGTH,
            f"{len(data)} octets; give {at_least}{self._struct.size}: {wanted}",
        )

    def _unfit(self, values: Sequence[Any], error: Exception) -> FieldError:
        if len(values) != len(self.fields):
            names = ", ".join(f.name for f in self.fields) or "none"
            return FieldError(
                FieldFault.LENGTH, f"{len(values)} values for {len(self.fields)} fields: {names}"
            )
        for field, value in zip(self.fields, values, strict=True):
            try:
                _check_fits(field, value)
            except FieldError as found:
                return found
        return FieldError(FieldFault.TYPE, str(error))


class _Check:
    """The range of one field, looked up once: most values pass by one comparison."""

    __slots__ = ("field", "high", "index", "low", "quick_type")

    def __init__(self, index: int, field: Field) -> None:
        self.index, self.field = index, field
        low, high = field.range or (0, 0)
        self.low, self.high = max(low, -_FINITE), min(high, _FINITE)
        self.quick_type: Any = float if field.code in "fd" else int
        if field.labels:
            numbers = [number for number, _ in field.labels]
            self.low, self.high = min(numbers), max(numbers)
            if self.high - self.low >= len(numbers):
                self.quick_type = None  # not every number between them has a label
        if field.is_array or field.code == "?":
            self.quick_type = None

    def thorough(self, value: Any) -> None:
        """Raise FieldError with the reason, if there is one."""
        for one in value if self.field.is_array else (value,):
            _check_one(self.field, one)


def _layout(field: Field) -> str:
    if field.code == "s":
        return f"{field.count}s"
    return ("B" if field.code == "?" else field.code) * (field.count if field.is_array else 1)


def _from_wire(field: Field, raw: Any) -> Any:
    if field.is_array:
        return tuple(next(raw) for _ in range(field.count))
    value = next(raw)
    if field.code == "s":
        try:
            return value.rstrip(b"\0").decode()
        except UnicodeDecodeError:
            raise FieldError(FieldFault.TYPE, f"{field.name} is not UTF-8 text") from None
    if field.code == "?":
        if value > 1:
            raise FieldError(FieldFault.RANGE, f"{field.name} = {value}; a flag is 0 or 1")
        return value == 1
    return value


def _text_octets(field: Field, value: str) -> bytes:
    try:
        octets = value.encode()
    except UnicodeEncodeError:
        raise FieldError(FieldFault.TYPE, f"{field.name} = {value!r}; give Unicode text") from None
    if len(octets) > field.count:
        raise FieldError(
            FieldFault.LENGTH,
            f"{field.name} takes {len(octets)} octets as UTF-8; give at most {field.count}",
        )
    return octets


def _check_fits(field: Field, value: Any) -> None:
    if field.code == "s":
        if not isinstance(value, str):
            raise FieldError(FieldFault.TYPE, f"{field.name} = {value!r}; give a text")
        _text_octets(field, value)
    elif field.code == "o":
        if not isinstance(value, bytes | bytearray | memoryview):
            raise FieldError(FieldFault.TYPE, f"{field.name} = {value!r}; give octets")
    elif field.is_array:
        if not isinstance(value, Sequence):
            raise FieldError(
                FieldFault.TYPE, f"{field.name} = {value!r}; give {field.count} values"
            )
        if len(value) != field.count:
            raise FieldError(
                FieldFault.LENGTH, f"{field.name} needs {field.count} values, not {len(value)}"
            )
        for element in value:
            _check_one(field, element)
    else:
        _check_one(field, value)


def _check_one(field: Field, value: Any) -> None:
    if field.labels:
        if not any(value == number for number, _ in field.labels):
            names = ", ".join(f"{label} = {number}" for number, label in field.labels)
            raise FieldError(FieldFault.ENUM, f"{field.name} = {value}; give one of {names}")
        return
    if isinstance(value, bool) != (field.code == "?") or not isinstance(value, int | float):
        raise FieldError(FieldFault.TYPE, f"{field.name} = {value!r}; give a {field.type_name}")
    if field.code not in "fd" and not isinstance(value, int):
        raise FieldError(FieldFault.TYPE, f"{field.name} = {value!r}; give a whole number")
    low, high = field.range or (-math.inf, math.inf)
    if not low <= value <= high or not math.isfinite(value):
        unit = f" {field.unit}" if field.unit else ""
        raise FieldError(
            FieldFault.RANGE,
            f"{field.name} = {_show(value)}{unit}; give {_show(low)} … {_show(high)}{unit}",
        )


def _show(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:g}"


def saturate(field: Field, value: Any) -> Any:
    """The nearest value that the field's type can hold."""
    if field.code == "s":
        octets = value.encode(errors="replace")  # surrogates: names of files that are no UTF-8
        return octets[: field.count].decode(errors="ignore")
    if field.code == "o":
        return bytes(value)[: field.count]
    if field.is_array:
        return tuple(_nearest(field, element) for element in value)[: field.count]
    return _nearest(field, value)


def _nearest(field: Field, value: Any) -> Any:
    low, high = Field(field.name, field.code).range or (0, 0)
    if field.code in "fd":
        return value if not math.isfinite(value) else max(low, min(high, value))
    return int(max(low, min(high, value)))
