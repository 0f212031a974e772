"""Elements as others publish them, read by the letter: the lines of a TLE, and CCSDS OMM in JSON,
XML or CSV. SGP4 itself reads more kindly, and flies whatever it made of a wrong character.
"""

from __future__ import annotations

import calendar
import csv
import datetime as dt
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sgp4 import omm
from sgp4.api import SGP4_ERRORS, Satrec

from icd import written

LARGEST_ALPHA_5 = 339_999
"""The last catalogue number that a TLE can hold, as Z9999."""

_LINE_OCTETS = 69
_NUMBER = r"([A-HJ-NP-Z][0-9]{4}|[ 0-9]{4}[0-9])"
_POWER = r"[-+ ][0-9]{5}[-+ ][0-9]"
_FIRST = re.compile(
    rf"1 {_NUMBER}[A-Z ] [ -~]{{8}} ([0-9]{{2}})([ 0-9]{{3}}\.[0-9]{{8}}) "
    rf"[-+ ]\.[0-9]{{8}} {_POWER} {_POWER} [0-9 ] [ 0-9]{{4}}[0-9]"
)
_SECOND = re.compile(
    rf"2 {_NUMBER} ([ 0-9]{{3}}\.[0-9]{{4}}) ([ 0-9]{{3}}\.[0-9]{{4}}) [0-9]{{7}} "
    r"([ 0-9]{3}\.[0-9]{4}) ([ 0-9]{3}\.[0-9]{4}) ([ 0-9]{2}\.[0-9]{8})[ 0-9]{5}[0-9]"
)
_EPOCH = re.compile(
    r"([0-9]{4})-(?:([0-9]{2})-([0-9]{2})|([0-9]{3}))T([0-9]{2}:[0-9]{2}:[0-9]{2})"
    r"(\.[0-9]{1,6})?[0-9]*Z?"
)
_MEANT = {
    "CENTER_NAME": "EARTH",
    "REF_FRAME": "TEME",
    "TIME_SYSTEM": "UTC",
    "MEAN_ELEMENT_THEORY": "SGP4",
}
"""What a message that SGP4 can fly says of itself, where it says it."""
_RANGES = {
    "INCLINATION": (0.0, 180.0),
    "RA_OF_ASC_NODE": (0.0, 360.0),
    "ARG_OF_PERICENTER": (0.0, 360.0),
    "MEAN_ANOMALY": (0.0, 360.0),
    "ECCENTRICITY": (0.0, 1.0),
    "MEAN_MOTION": (0.0, 20.0),
}
"""In degrees, and in revolutions a day."""
_OPTIONAL = ("BSTAR", "MEAN_MOTION_DOT", "MEAN_MOTION_DDOT")

Fields = Mapping[str, Any]


class OrbitError(ValueError):
    """Elements that are no orbit, or an orbit that has come down; says what is wrong."""


def from_tle(first: str, second: str) -> Satrec:
    """The satellite of the two lines of a TLE. Raises OrbitError."""
    first, second = (line.rstrip(" \r\n") for line in (first, second))
    one, other = _matched(1, first, _FIRST), _matched(2, second, _SECOND)
    if one[1] != other[1]:
        raise OrbitError(
            f"line 1 is of satellite {one[1].strip()}, line 2 of {other[1].strip()}: copy both "
            "lines of one"
        )
    year = int(one[2]) + (1900 if int(one[2]) > 56 else 2000)
    day, days = float(one[3]), 366 if calendar.isleap(year) else 365
    if not 1.0 <= day < days + 1.0:
        raise OrbitError(f"line 1 of the TLE has day {one[3]} of {year}; it has 1 to {days}")
    if any(float(angle) > 360.0 for angle in other.groups()[1:5]):
        raise OrbitError("line 2 of the TLE has an angle beyond 360 degrees: copy the line again")
    return _checked(Satrec.twoline2rv(first, second))


def _matched(number: int, line: str, form: re.Pattern[str]) -> re.Match[str]:
    if odd := re.search(r"[^ -~]", line):
        raise OrbitError(
            f"line {number} of the TLE has {odd[0]!a} in column {odd.start() + 1}: type a plain "
            "space or digit in its place"
        )
    if len(line) != _LINE_OCTETS or not line.startswith(f"{number} "):
        raise OrbitError(f"line {number} of a TLE has 69 characters and starts '{number} '")
    if _checksum(line) != line[68]:
        raise OrbitError(
            f"line {number} of the TLE has checksum {line[68]}, its digits give "
            f"{_checksum(line)}: copy the line again"
        )
    match = form.fullmatch(line)
    if match is None:
        raise OrbitError(f"line {number} of the TLE has a wrong column: copy the line again")
    return match


def _checksum(line: str) -> str:
    total = sum(int(c) if c.isdigit() else c == "-" for c in line[:68])
    return str(total % 10)


def from_omm(message: str | bytes) -> tuple[Satrec, str]:
    """The satellite of a CCSDS OMM in JSON, XML or CSV, and its number in the catalogue.

    Raises OrbitError, also for a message of several satellites.
    """
    try:
        text = message if isinstance(message, str) else written.text(message)
        found = _reader(text.strip())(text.strip())
    except (ValueError, ET.ParseError, csv.Error) as error:
        raise OrbitError(f"not an OMM in JSON, XML or CSV: {error}") from None
    if len(found) != 1:
        raise OrbitError(f"the OMM is of {len(found)} satellites; keep the one that flies")
    return _satellite(found[0])


def _reader(message: str) -> Callable[[str], Sequence[Fields]]:
    if message.startswith(("{", "[")):
        return _json
    return _xml if message.startswith("<") else _csv


def _json(message: str) -> Sequence[Fields]:
    told = written.json_value(message)
    rows = told if isinstance(told, list) else [told]
    if not all(isinstance(row, dict) for row in rows):
        raise ValueError("it holds no objects")
    return rows


def _xml(message: str) -> Sequence[Fields]:
    if "<!DOCTYPE" in message or "<!ENTITY" in message:  # neither is of use here, both can do harm
        raise ValueError("it declares a document type")
    return [
        {one.tag: one.text or "" for one in segment.iter() if not len(one)}
        for segment in ET.fromstring(message).iter("segment")
    ]


def _csv(message: str) -> Sequence[Fields]:
    rows = list(csv.DictReader(message.splitlines(), strict=True))
    if any(None in row or None in row.values() for row in rows):
        raise ValueError("a line has not as many values as its head has names")
    return rows


def _satellite(fields: Fields) -> tuple[Satrec, str]:
    for name, meant in _MEANT.items():
        if str(fields.get(name) or meant).strip() != meant:
            raise OrbitError(f"the OMM has {name} {fields[name]}; SGP4 flies {meant} only")
    values = {name: _real(fields, name) for name in _RANGES}
    for name, (low, high) in _RANGES.items():
        if not low <= values[name] <= high:
            raise OrbitError(f"the OMM has {name} {values[name]:g}; it is {low:g} to {high:g}")
    values |= {name: _real(fields, name) if fields.get(name) else 0.0 for name in _OPTIONAL}
    number = _whole(fields, "NORAD_CAT_ID")
    satellite = Satrec()
    # What says nothing of the orbit is left out; a number beyond alpha-5 would be refused.
    said = {"CLASSIFICATION_TYPE": "U", "OBJECT_ID": "", "EPHEMERIS_TYPE": 0}
    said |= {"ELEMENT_SET_NO": 0, "REV_AT_EPOCH": 0, "EPOCH": _epoch(fields)}
    catalogue = number if number <= LARGEST_ALPHA_5 else 0
    omm.initialize(satellite, {**said, **values, "NORAD_CAT_ID": catalogue})
    return _checked(satellite), str(number)


def _given(fields: Fields, name: str) -> Any:
    value = fields.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float | str) or value == "":
        raise OrbitError(f"the OMM has no {name}")
    return value


def _real(fields: Fields, name: str) -> float:
    value = _given(fields, name)
    try:
        return written.real(value if isinstance(value, str) else repr(value))
    except ValueError as error:
        raise OrbitError(f"the OMM's {name}: {error}") from None


def _whole(fields: Fields, name: str) -> int:
    try:
        number = written.whole(str(_given(fields, name)))
    except ValueError as error:
        raise OrbitError(f"the OMM's {name}: {error}") from None
    if not 0 <= number <= 999_999_999:
        raise OrbitError(f"the OMM has {name} {number}; it has at most nine digits")
    return number


def _epoch(fields: Fields) -> str:
    """The epoch as the package wants it; a day of the year is as good as a month and a day."""
    told = str(_given(fields, "EPOCH")).strip()
    match = _EPOCH.fullmatch(told)
    try:
        if match is None:
            raise ValueError(told)
        year, month, day, of_year, clock, fraction = match.groups()
        if of_year is None:
            date = dt.date(int(year), int(month), int(day))
        else:
            date = dt.datetime.strptime(f"{year} {of_year}", "%Y %j").date()
        dt.time.fromisoformat(clock)
    except ValueError:
        raise OrbitError(
            f'the OMM\'s EPOCH "{told}" is no time; it is such as 2026-03-20T04:11:00.000000'
        ) from None
    return f"{date}T{clock}{fraction or '.0'}"


def _checked(satellite: Satrec) -> Satrec:
    if satellite.error:
        raise OrbitError(f"not an orbit: {SGP4_ERRORS[satellite.error]}")
    return satellite
