"""Field types: what an annotation says, and what it may not say."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Annotated, Any

import pytest

from icd.fields import (
    F32,
    I16,
    U8,
    U16,
    Count,
    DeclarationError,
    Field,
    FileName,
    Flag,
    Limits,
    OctetsLimit,
    Segment,
    Text32,
    Unit,
    Wire,
    fields_of,
    python_types_of,
)

pytestmark = pytest.mark.portable


class Colour(enum.IntEnum):
    RED = 1
    BLUE = 200


class Wide(enum.IntEnum):
    FAR = 300


@dataclass
class Row:
    count: Annotated[U16, "how many"]
    speed: Annotated[F32, "how fast", Unit("m/s"), Limits(0.5, 9.0)]
    colour: Annotated[Colour, "which"]
    on: Flag
    steps: Annotated[tuple[int, ...], Wire("h"), Count(3), Limits(high=9)]
    name: Annotated[Text32, FileName()]
    rest: Segment


def test_a_dataclass_gives_its_fields_in_order_with_their_notes() -> None:
    assert fields_of(Row, "Row") == (
        Field("count", "H", description="how many"),
        Field("speed", "f", description="how fast", unit="m/s", low=0.5, high=9.0),
        Field("colour", "B", labels=((1, "RED"), (200, "BLUE")), description="which"),
        Field("on", "?"),
        Field("steps", "h", 3, is_array=True, high=9),
        Field("name", "s", 32, is_file=True),
        Field("rest", "o", 3072),
    )


def test_a_function_gives_its_parameters_and_not_its_result() -> None:
    def walk(region: U16, back: Flag) -> None: ...

    assert [field.name for field in fields_of(walk, "walk")] == ["region", "back"]
    assert python_types_of(walk) == (int, bool)


@pytest.mark.parametrize(
    ("field", "name", "bounds"),
    [
        (Field("a", "B"), "u8", (0, 255)),
        (Field("a", "q"), "i64", (-(2**63), 2**63 - 1)),
        (Field("a", "H", 4, is_array=True), "u16[4]", (0, 65535)),
        (Field("a", "B", labels=((0, "OFF"),)), "enum u8", (0, 255)),
        (Field("a", "?"), "flag", (0, 1)),
        (Field("a", "d", low=0.0), "f64", (0.0, float("inf"))),
        (Field("a", "h", low=-3, high=3), "i16", (-3, 3)),
        (Field("a", "s", 32), "text 32", None),
        (Field("a", "o", 99), "octets up to 99", None),
    ],
)
def test_type_and_range_are_told_in_words(field: Field, name: str, bounds: Any) -> None:
    assert (field.type_name, field.range) == (name, bounds)


@pytest.mark.verifies("VA-EXE-01")
@pytest.mark.parametrize(
    "annotation",
    [
        int,
        str,
        bytes,
        list[int],
        Annotated[int, "no wire type"],
        tuple[int, ...],
        Annotated[tuple[int, ...], Wire("H")],  # an array without its length
        Annotated[int, Wire("H"), Count(2)],  # a length without an array
        Annotated[int, OctetsLimit(3)],
    ],
)
def test_an_annotation_without_wire_type_is_refused_with_what_to_write(annotation: Any) -> None:
    bad = type("Bad", (), {"__annotations__": {"x": annotation}})
    with pytest.raises(DeclarationError, match="Bad: field 'x' has no wire type; write it as"):
        fields_of(bad, "Bad")


@pytest.mark.verifies("VA-EXE-01")
def test_counted_octets_must_be_last() -> None:
    bad = type("Bad", (), {"__annotations__": {"x": Segment, "y": U8}})
    with pytest.raises(DeclarationError, match="'x' must be the last field"):
        fields_of(bad, "Bad")


@pytest.mark.verifies("VA-EXE-01")
def test_an_enumeration_that_does_not_fit_its_type_is_refused() -> None:
    bad = type("Bad", (), {"__annotations__": {"x": Wide}})
    with pytest.raises(DeclarationError, match=r"FAR of field 'x' does not fit u8; give .* wider"):
        fields_of(bad, "Bad")
    good = type("Good", (), {"__annotations__": {"x": Annotated[Wide, Wire("H")]}})
    assert fields_of(good, "Good") == (Field("x", "H", labels=((300, "FAR"),)),)


def test_signed_types_keep_their_sign() -> None:
    row = type("Signed", (), {"__annotations__": {"x": I16}})
    assert fields_of(row, "Signed")[0].range == (-32768, 32767)
