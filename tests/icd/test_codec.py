"""Octets of a row of fields, and every way in which a value can be wrong."""

from __future__ import annotations

import math
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icd.codec import Codec, FieldError, FieldFault, saturate
from icd.fields import Field

pytestmark = pytest.mark.portable

MIXED = (
    Field("on", "?"),
    Field("steps", "h", 2, is_array=True),
    Field("name", "s", 8),
    Field("colour", "B", labels=((1, "RED"), (2, "BLUE"))),
    Field("rest", "o", 16),
)
INTEGERS = "BHIQbhiq"


def test_a_row_octet_by_octet() -> None:
    packed = Codec(MIXED).pack((True, (-1, 258), "Ås", 2, b"\xfe\xff"))
    assert packed == bytes.fromhex(
        "01"  # on
        "ffff 0102"  # steps -1 and 258, big-endian
        "c3857300 00000000"  # "Ås" is three octets of UTF-8, padded with zeros to eight
        "02"  # colour BLUE
        "0002 feff"  # two counted octets
    )
    assert Codec(MIXED).unpack(packed) == (True, (-1, 258), "Ås", 2, b"\xfe\xff")


def test_every_integer_and_float_is_big_endian() -> None:
    row = Codec([Field(code, code) for code in "BHIQbhiqfd"])
    assert row.pack((1, 2, 3, 4, -1, -2, -3, -4, 0.5, -2.0)) == bytes.fromhex(
        "01 0002 00000003 0000000000000004"
        "ff fffe fffffffd fffffffffffffffc"
        "3f000000"  # 0.5: exponent 126, fraction 0
        "c000000000000000"  # -2.0: sign, exponent 1024, fraction 0
    )


def test_sizes_are_known_beforehand() -> None:
    assert (Codec(MIXED).size, Codec(MIXED).largest) == (None, 32)
    assert (Codec(MIXED[:4]).size, Codec(MIXED[:4]).largest) == (14, 14)
    assert Codec([]).pack(()) == b""
    assert Codec([]).unpack(b"") == ()


@pytest.mark.verifies("VA-CMD-03")
@pytest.mark.parametrize(
    ("fields", "octets", "fault", "says"),
    [
        ([Field("a", "H")], "00", FieldFault.LENGTH, r"1 octets; give 2: a \(u16\)"),
        ([], "00", FieldFault.LENGTH, "give 0: no argument"),
        (MIXED[:1], "0101", FieldFault.LENGTH, r"give 1: on \(flag\)"),
        (MIXED[:1], "02", FieldFault.RANGE, "on = 2; a flag is 0 or 1"),
        ([Field("t", "s", 2)], "ff00", FieldFault.TYPE, "t is not UTF-8 text"),
        (MIXED[4:], "00", FieldFault.LENGTH, "at least 2: rest"),
        (MIXED[4:], "0002 01", FieldFault.LENGTH, "says 2 octets and 1 follow; write up to 16"),
        (MIXED[4:], "0000 01", FieldFault.LENGTH, "says 0 octets and 1 follow"),
        (MIXED[4:], "0011" + "00" * 17, FieldFault.LENGTH, "says 17 octets"),
    ],
)
def test_octets_that_do_not_fit_are_refused_with_what_to_give(
    fields: Any, octets: str, fault: FieldFault, says: str
) -> None:
    with pytest.raises(FieldError, match=says) as caught:
        Codec(fields).unpack(bytes.fromhex(octets))
    assert caught.value.fault is fault


@pytest.mark.parametrize(
    ("field", "value", "fault", "says"),
    [
        (Field("a", "B"), 256, FieldFault.RANGE, "a = 256; give 0 … 255"),
        (Field("a", "b", unit="V"), -129, FieldFault.RANGE, "a = -129 V; give -128 … 127 V"),
        (Field("a", "B"), 1.5, FieldFault.TYPE, "a = 1.5; give a whole number"),
        (Field("a", "B"), "1", FieldFault.TYPE, "a = '1'; give a u8"),
        (Field("a", "B"), None, FieldFault.TYPE, "a = None; give a u8"),
        (Field("a", "f"), 1e39, FieldFault.RANGE, r"a = 1e\+39; give -3.40282e\+38"),
        (Field("a", "f"), "x", FieldFault.TYPE, "give a f32"),
        (Field("a", "s", 2), "ÅÅ", FieldFault.LENGTH, "takes 4 octets as UTF-8; give at most 2"),
        (Field("a", "s", 8), "\ud800", FieldFault.TYPE, "give Unicode text"),
        (Field("a", "s", 8), 7, FieldFault.TYPE, "a = 7; give a text"),
        (Field("a", "o", 2), b"abc", FieldFault.LENGTH, "has 3 octets; give at most 2"),
        (Field("a", "o", 2), "ab", FieldFault.TYPE, "give octets"),
        (Field("a", "H", 2, is_array=True), (1,), FieldFault.LENGTH, "needs 2 values, not 1"),
        (Field("a", "H", 2, is_array=True), 5, FieldFault.TYPE, "a = 5; give 2 values"),
        (Field("a", "H", 2, is_array=True), (1, -1), FieldFault.RANGE, "a = -1; give 0 … 65535"),
    ],
)
def test_values_that_do_not_fit_are_refused_with_what_to_give(
    field: Field, value: Any, fault: FieldFault, says: str
) -> None:
    with pytest.raises(FieldError, match=says) as caught:
        Codec([field]).pack([value])
    assert caught.value.fault is fault


@pytest.mark.parametrize("fields", [MIXED, [Field("on", "B")] * 5])
def test_a_wrong_number_of_values_is_refused(fields: Any) -> None:
    with pytest.raises(FieldError, match="1 values for 5 fields: on"):
        Codec(fields).pack([True])


@pytest.mark.verifies("VA-CMD-03")
@pytest.mark.parametrize(
    ("field", "value", "fault", "says"),
    [
        (Field("a", "H", low=2, unit="s"), 1, FieldFault.RANGE, "a = 1 s; give 2 … 65535 s"),
        (Field("a", "f", high=9.5), 9.75, FieldFault.RANGE, r"a = 9.75; give .* … 9.5"),
        (Field("a", "d"), math.nan, FieldFault.RANGE, "a = nan"),
        (Field("a", "d"), math.inf, FieldFault.RANGE, "a = inf"),
        (Field("a", "H", 2, is_array=True, high=5), (5, 6), FieldFault.RANGE, "a = 6"),
        (MIXED[3], 3, FieldFault.ENUM, "colour = 3; give one of RED = 1, BLUE = 2"),
    ],
)
def test_a_value_outside_its_declaration_is_refused(
    field: Field, value: Any, fault: FieldFault, says: str
) -> None:
    with pytest.raises(FieldError, match=says) as caught:
        Codec([field]).check([value])
    assert caught.value.fault is fault


def test_limits_are_inclusive() -> None:
    Codec([Field("a", "h", low=-2, high=2)] * 2).check([-2, 2])


@pytest.mark.verifies("VA-TLM-04")
@pytest.mark.parametrize(
    ("field", "value", "sent"),
    [
        (Field("a", "B"), 256, 255),
        (Field("a", "B"), -1, 0),
        (Field("a", "I"), 2**40, 2**32 - 1),
        (Field("a", "b"), -999, -128),
        (Field("a", "H"), 2.75, 2),
        (Field("a", "f"), 1e300, 3.4028234663852886e38),
        (Field("a", "f"), -1e300, -3.4028234663852886e38),
        (Field("a", "f"), math.inf, math.inf),
        (Field("a", "s", 3), "aÅÅ", "aÅ"),  # cut between characters, never inside one
        (Field("a", "s", 2), "aÅ", "a"),
        (Field("a", "s", 8), "x\udcff", "x?"),
        (Field("a", "o", 2), b"abc", b"ab"),
        (Field("a", "H", 2, is_array=True), (70_000, -7), (65_535, 0)),
    ],
)
def test_telemetry_saturates_instead_of_raising(field: Field, value: Any, sent: Any) -> None:
    codec = Codec([field])
    assert codec.unpack(codec.pack_saturated([value])) == (sent,)


def test_a_not_a_number_is_sent_as_such() -> None:
    codec = Codec([Field("a", "f"), Field("b", "B")])
    nan, full = codec.unpack(codec.pack_saturated([math.nan, 999]))
    assert math.isnan(nan)
    assert full == 255


def _values(field: Field) -> st.SearchStrategy[Any]:
    if field.is_array:
        one = Field(field.name, field.code)
        return st.tuples(*[_values(one)] * field.count)
    if field.code == "?":
        return st.booleans()
    if field.code == "f":
        return st.floats(width=32, allow_nan=False)
    if field.code == "d":
        return st.floats(allow_nan=False)
    if field.code == "s":
        text = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
        return text.filter(lambda t: len(t.encode()) <= field.count)
    if field.code == "o":
        return st.binary(max_size=field.count)
    low, high = field.range or (0, 0)
    return st.integers(int(low), int(high))


_scalar = st.sampled_from(INTEGERS + "fd?").map(lambda code: Field("x", code))
_array = st.builds(
    lambda code, n: Field("x", code, n, is_array=True),
    st.sampled_from(INTEGERS + "fd"),
    st.integers(1, 5),
)
_text = st.integers(1, 40).map(lambda n: Field("x", "s", n))
_last: st.SearchStrategy[list[Field]] = st.one_of(
    st.just([]), st.integers(0, 40).map(lambda n: [Field("x", "o", n)])
)
ROWS = st.builds(
    lambda first, last: [*first, *last],
    st.lists(st.one_of(_scalar, _array, _text), max_size=6),
    _last,
)


@given(ROWS, st.data())
def test_any_row_comes_back_as_it_was_packed(row: list[Field], data: st.DataObject) -> None:
    values = tuple(data.draw(_values(field)) for field in row)
    codec = Codec(row)
    packed = codec.pack(values)
    assert codec.unpack(packed) == values
    assert codec.size in (None, len(packed))
    assert len(packed) <= codec.largest


@given(ROWS, st.binary(max_size=80))
def test_arbitrary_octets_are_refused_or_come_back(row: list[Field], octets: bytes) -> None:
    codec = Codec(row)
    try:
        values = codec.unpack(octets)
    except FieldError:
        return
    again = codec.unpack(codec.pack(values))
    assert str(again) == str(values)  # as text, for a not-a-number is not equal to itself


@given(st.sampled_from(INTEGERS), st.integers(-(2**70), 2**70))
def test_any_integer_saturates_to_one_that_packs(code: str, value: int) -> None:
    nearest = saturate(Field("x", code), value)
    struct.pack(">" + code, nearest)
    assert nearest == value or abs(nearest) < abs(value)
