"""What a job says about itself: its parameters, outputs, metrics and limits, once, in types."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, astuple, dataclass
from dataclasses import fields as dataclass_fields
from functools import cached_property
from typing import Any

from icd import written
from icd.codec import Codec, FieldError, FieldFault
from icd.dictionary import JobFragment
from icd.fields import CODES, DeclarationError, Field, fields_of, python_types_of

MOST_METRICS = 8
"""As many float64 metrics as a job's status page has room for."""

_TEXT, _FLAG, _OCTETS, _F64 = (CODES[name] for name in ("text", "flag", "octets", "f64"))
_FLAGS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


@dataclass(frozen=True)
class Output:
    """One file that the job leaves in its product folder."""

    name: str
    description: str


@dataclass(frozen=True)
class JobDeclaration:
    """One job: what ground may ask of it and what it leaves behind.

    `parameters` is a frozen dataclass of icd field types. Every field has a default, except that a
    `FileName` may have none: such an input must be named; an input with the default "" is optional.
    `entry` is "module:function"; only the worker imports it. `metrics` is a dataclass of at most
    eight F64 fields. The limits are defaults, which a submit may lower.
    """

    number: int
    name: str
    description: str
    parameters: type
    entry: str
    outputs: tuple[Output, ...] = ()
    metrics: type | None = None
    memory_mb: int = 2048
    wall_s: int = 86_400
    cpu_s: int = 86_400
    bit_identical: bool = True
    """The same parameters and inputs give the same bits, also after a resume."""

    def __post_init__(self) -> None:
        self._check_defaults()
        self._check_metrics()

    @cached_property
    def fields(self) -> tuple[Field, ...]:
        """The parameters in declared order, as they lie on the wire."""
        return fields_of(self.parameters, f"job {self.name}")

    @cached_property
    def metric_fields(self) -> tuple[Field, ...]:
        """The metrics in the order in which the status page holds them."""
        return fields_of(self.metrics, f"job {self.name}") if self.metrics else ()

    @cached_property
    def codec(self) -> Codec:
        """Packs and unpacks one row of parameters."""
        return Codec(self.fields)

    @property
    def inputs(self) -> tuple[str, ...]:
        """The parameters that name a file in the payload's file store."""
        return tuple(field.name for field in self.fields if field.is_file)

    def fragment(self) -> JobFragment:
        """What ground needs to know of this job; part of the dictionary."""
        return JobFragment(
            number=self.number,
            name=self.name,
            description=self.description,
            parameters=self.fields,
            defaults=self._defaults(),
            outputs=tuple((output.name, output.description) for output in self.outputs),
            metrics=self.metric_fields,
        )

    def build(self, values: Sequence[Any]) -> Any:
        """An instance of `parameters` from values in declared order.

        Raises FieldError for a value out of range.
        """
        self.codec.check(values)
        types = python_types_of(self.parameters)
        converted = [
            python_type(value) if field.labels else value
            for field, python_type, value in zip(self.fields, types, values, strict=True)
        ]
        try:
            return self.parameters(*converted)
        except FieldError:
            raise
        except Exception as error:  # the job's own code may check them, and be wrong
            text = f"job {self.name} does not take them: {type(error).__name__}: {error}"
            raise FieldError(FieldFault.RANGE, text) from None

    def pack(self, parameters: Any) -> bytes:
        """The octets of an instance of `parameters`."""
        return self.codec.pack(astuple(parameters))

    def unpack(self, octets: bytes) -> Any:
        """The instance of `parameters` that octets hold; raises FieldError when they do not."""
        return self.build(self.codec.unpack(octets))

    def parse(self, settings: Mapping[str, str]) -> Any:
        """An instance of `parameters` from words, as typed by a person: {"size": "256"}.

        What is not set keeps its default. Values pass through their wire type, so that a job run
        by hand sees the same numbers as one that was commanded. Raises FieldError.
        """
        unknown = sorted(set(settings) - {field.name for field in self.fields})
        if unknown:
            known = ", ".join(field.name for field in self.fields)
            raise FieldError(
                FieldFault.TYPE, f"job {self.name} has no parameter {unknown[0]!r}; set {known}"
            )
        values = []
        for field, slot in zip(self.fields, dataclass_fields(self.parameters), strict=True):
            if field.name in settings:
                values.append(_parsed(field, settings[field.name]))
            elif slot.default is MISSING:
                raise FieldError(
                    FieldFault.TYPE,
                    f"job {self.name} needs {field.name}; set {field.name}=FILE "
                    f"({field.description})",
                )
            else:
                values.append(slot.default)
        self.codec.check(values)
        return self.unpack(self.codec.pack(values))

    def _defaults(self) -> tuple[Any, ...]:
        slots = {slot.name: slot.default for slot in dataclass_fields(self.parameters)}
        defaults = (slots[field.name] for field in self.fields)
        return tuple(
            None if value is MISSING else int(value) if isinstance(value, enum.IntEnum) else value
            for value in defaults
        )

    def _check_defaults(self) -> None:
        slots = {slot.name: slot for slot in dataclass_fields(self.parameters)}
        for field in self.fields:
            default = slots[field.name].default
            if default is MISSING and not field.is_file:
                raise DeclarationError(
                    f"job {self.name}: parameter '{field.name}' has no default; give it one "
                    "(only a FileName may go without)"
                )

    def _check_metrics(self) -> None:
        wrong = [f.name for f in self.metric_fields if f.code != _F64 or f.is_array]
        if wrong:
            raise DeclarationError(f"job {self.name}: metric '{wrong[0]}' must be F64")
        if len(self.metric_fields) > MOST_METRICS:
            raise DeclarationError(
                f"job {self.name}: {len(self.metric_fields)} metrics; declare at most "
                f"{MOST_METRICS}"
            )


def _parsed(field: Field, text: str) -> Any:
    if field.code == _TEXT:
        return text
    if field.labels:
        return _label(field, text)
    if field.is_array:
        return tuple(_scalar(field, part) for part in text.split(","))
    return _scalar(field, text)


def _label(field: Field, text: str) -> int:
    for number, label in field.labels:
        if text.lower() == label.lower() or text == str(number):
            return number
    labels = ", ".join(label.lower() for _, label in field.labels)
    raise FieldError(FieldFault.ENUM, f"{field.name} = {text}; give one of {labels}")


def _scalar(field: Field, text: str) -> Any:
    try:
        if field.code == _FLAG:
            return _FLAGS[text.strip().lower()]
        if field.code == _OCTETS:
            return bytes.fromhex(text)
        return written.real(text) if field.code in "fd" else written.whole_of_any_base(text)
    except (KeyError, ValueError):
        wanted = "true or false" if field.code == _FLAG else f"a {field.type_name}"
        raise FieldError(FieldFault.TYPE, f"{field.name} = {text}; give {wanted}") from None
