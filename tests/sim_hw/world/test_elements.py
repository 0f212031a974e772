"""Published elements: TLE and OMM are read by the letter, and both give the same orbit."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from sim_hw.__main__ import main
from sim_hw.world import settings
from sim_hw.world.orbit import Orbit, OrbitError
from sim_hw.world.scenario import Scenario

UTC = dt.timezone.utc
FIRST = "1 25544U 98067A   08264.51782528 -.00002182  00000-0 -11606-4 0  2927"
SECOND = "2 25544  51.6416 247.4627 0006703 130.5360 325.0288 15.72125391563537"
START = dt.datetime(2008, 9, 21, tzinfo=UTC)
OMM: dict[str, Any] = {  # the same elements, as the CCSDS message names them
    "OBJECT_NAME": "ISS (ZARYA)",
    "OBJECT_ID": "1998-067A",
    "EPOCH": "2008-09-20T12:25:40.104192",
    "MEAN_MOTION": 15.72125391,
    "ECCENTRICITY": 0.0006703,
    "INCLINATION": 51.6416,
    "RA_OF_ASC_NODE": 247.4627,
    "ARG_OF_PERICENTER": 130.5360,
    "MEAN_ANOMALY": 325.0288,
    "EPHEMERIS_TYPE": 0,
    "CLASSIFICATION_TYPE": "U",
    "NORAD_CAT_ID": 25544,
    "ELEMENT_SET_NO": 292,
    "REV_AT_EPOCH": 56353,
    "BSTAR": -1.1606e-5,
    "MEAN_MOTION_DOT": -2.182e-5,
    "MEAN_MOTION_DDOT": 0,
}


def summed(line: str) -> str:
    """The line with the checksum that its digits give."""
    total = sum(int(c) if c.isascii() and c.isdigit() else c == "-" for c in line[:68])
    return line[:68] + str(total % 10)


def as_csv(*messages: dict[str, Any]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(OMM))
    writer.writeheader()
    writer.writerows(messages)
    return out.getvalue()


def as_xml(*messages: dict[str, Any]) -> str:
    head = ("OBJECT_NAME", "OBJECT_ID")
    tail = ("EPHEMERIS_TYPE", "CLASSIFICATION_TYPE", "NORAD_CAT_ID", "ELEMENT_SET_NO")
    tail += ("REV_AT_EPOCH", "BSTAR", "MEAN_MOTION_DOT", "MEAN_MOTION_DDOT")

    def tags(message: dict[str, Any], names: Any) -> str:
        return "".join(f"<{n}>{message[n]}</{n}>" for n in names if n in message)

    bodies = "".join(
        '<omm id="CCSDS_OMM_VERS" version="2.0"><header/><body><segment>'
        f"<metadata>{tags(one, head)}<REF_FRAME>TEME</REF_FRAME></metadata>"
        f"<data><meanElements>{tags(one, [n for n in OMM if n not in head + tail])}</meanElements>"
        f"<tleParameters>{tags(one, tail)}</tleParameters></data></segment></body></omm>"
        for one in messages
    )
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<ndm>{bodies}</ndm>\n'


def as_json(*messages: dict[str, Any]) -> str:
    return json.dumps(list(messages))


@pytest.mark.verifies("VA-SEC-06")
@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        (FIRST.replace("U ", "U\u00a0"), SECOND, r"line 1 of the TLE has '\\xa0' in column 9"),
        (FIRST, SECOND.replace("51", "\uff151"), r"line 2 of the TLE has '\\uff15' in column 10"),
        (FIRST.replace("  00000-0", "\t 00000-0"), SECOND, r"has '\\t' in column 44"),
        (summed(FIRST.replace("08264", "08000")), SECOND, "has day 000.51782528 of 2008; it has 1"),
        (summed(FIRST.replace("08264", "08367")), SECOND, "day 367.5.* it has 1 to 366"),
        (summed(FIRST.replace("08264", "07366")), SECOND, "day 366.5.* of 2007; it has 1 to 365"),
        (FIRST, summed(SECOND.replace("25544", "25545")), "satellite 25544, line 2 of 25545"),
        (FIRST, summed(SECOND.replace("25544", "A5544")), "satellite 25544, line 2 of A5544"),
        (summed(FIRST.replace("25544", "I5544")), SECOND, "line 1 of the TLE has a wrong column"),
        (summed(FIRST.replace(".517", "0517")), SECOND, "line 1 of the TLE has a wrong column"),
        (FIRST, summed(SECOND.replace("247.4627", "447.4627")), "an angle beyond 360 degrees"),
        (FIRST, SECOND + " 0", "line 2 of a TLE has 69 characters"),
        (SECOND, FIRST, "line 1 of a TLE has 69 characters and starts '1 '"),
    ],
)
def test_a_tle_that_is_not_one_to_the_letter_is_refused(
    first: str, second: str, words: str
) -> None:
    with pytest.raises(OrbitError, match=words):
        Orbit.from_tle(first, second)


def test_blanks_and_line_ends_behind_a_line_are_no_part_of_it() -> None:
    assert Orbit.from_tle(FIRST + "\r\n", SECOND + "  \n").source == "TLE of 25544"


def test_the_last_day_of_a_leap_year_is_a_day() -> None:
    assert Orbit.from_tle(summed(FIRST.replace("08264", "08366")), SECOND)


@pytest.mark.parametrize(
    ("written", "number"), [("A0000", 100000), ("E8493", 148493), ("Z9999", 339999)]
)
def test_a_number_beyond_99999_is_written_as_alpha_5(written: str, number: int) -> None:
    lines = (summed(line.replace("25544", written)) for line in (FIRST, SECOND))
    orbit = Orbit.from_tle(*lines)
    assert orbit.satellite.satnum == number
    assert orbit.source == f"TLE of {number}"


@pytest.mark.verifies("VA-SEC-06")
@pytest.mark.parametrize("spell", [as_json, as_xml, as_csv])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_an_omm_flies_where_the_tle_of_the_same_elements_does(spell: Any, mark: str) -> None:
    orbit = Orbit.from_omm((mark + spell(OMM)).encode())
    seconds = np.arange(0.0, 86400.0, 600.0)
    there = orbit.track(START, seconds).place_km
    assert orbit.source == "OMM of 25544"
    assert there == pytest.approx(
        Orbit.from_tle(FIRST, SECOND).track(START, seconds).place_km, abs=1e-3
    )


@pytest.mark.parametrize(
    "epoch", ["2008-09-20T12:25:40.104192Z", "2008-264T12:25:40.104192000", "2008-09-20T12:25:40"]
)
def test_an_epoch_is_read_in_every_form_of_the_standard(epoch: str) -> None:
    found = Orbit.from_omm(as_json(OMM | {"EPOCH": epoch})).satellite
    whole = Orbit.from_omm(as_json(OMM)).satellite
    assert found.jdsatepochF == pytest.approx(whole.jdsatepochF, abs=0.11 / 86400)
    assert found.jdsatepoch == whole.jdsatepoch


def test_numbers_may_be_texts_and_what_says_nothing_of_the_orbit_may_be_left_out() -> None:
    bare = {key: str(OMM[key]) for key in ("EPOCH", "NORAD_CAT_ID", *list(OMM)[3:9], "BSTAR")}
    assert Orbit.from_omm(json.dumps(bare)).satellite.no_kozai > 0.0


def test_a_number_of_nine_digits_flies_though_no_tle_can_hold_it() -> None:
    assert Orbit.from_omm(as_json(OMM | {"NORAD_CAT_ID": 799500123})).source == "OMM of 799500123"


@pytest.mark.verifies("VA-SEC-06")
@pytest.mark.parametrize("spell", [as_json, as_xml, as_csv])
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"MEAN_MOTION": "1_5.7"}, "MEAN_MOTION: '1_5.7' is not a number"),
        ({"MEAN_MOTION": "\uff115.7"}, "is not a number"),
        ({"ECCENTRICITY": 1.5}, "has ECCENTRICITY 1.5; it is 0 to 1"),
        ({"INCLINATION": -1}, "INCLINATION -1; it is 0 to 180"),
        ({"MEAN_MOTION": 0.0}, "not an orbit"),
        ({"NORAD_CAT_ID": "A5544"}, "NORAD_CAT_ID: 'A5544' is not a whole number"),
        ({"NORAD_CAT_ID": 10**9}, "at most nine digits"),
        ({"EPOCH": "2008-02-30T00:00:00"}, 'EPOCH "2008-02-30T00:00:00" is no time'),
        ({"EPOCH": "2008-000T00:00:00"}, "is no time"),
        ({"EPOCH": "2008-09-20T25:00:00"}, "is no time"),
        ({"EPOCH": "08264.51782528"}, "is no time"),
        ({"MEAN_ANOMALY": ""}, "the OMM has no MEAN_ANOMALY"),
    ],
)
def test_a_wrong_omm_is_refused_with_the_name_of_what_is_wrong(
    spell: Any, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(OrbitError, match=words):
        Orbit.from_omm(spell(OMM | changes))


@pytest.mark.parametrize("spell", [as_json, as_xml, as_csv])
def test_a_message_of_two_satellites_is_refused(spell: Any) -> None:
    with pytest.raises(OrbitError, match="the OMM is of 2 satellites; keep the one that flies"):
        Orbit.from_omm(spell(OMM, OMM | {"NORAD_CAT_ID": 5}))


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("", "the OMM is of 0 satellites"),
        ("[]", "the OMM is of 0 satellites"),
        ("[7]", "it holds no objects"),
        ("[" * 200_000, "not an OMM in JSON, XML or CSV: its brackets nest"),
        ("<a>" * 200_000, "not an OMM in JSON, XML or CSV"),
        ("<ndm></omm>", "not an OMM in JSON, XML or CSV"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><ndm/>', "it declares a document type"),
        (as_csv(OMM).rstrip() + ",7\n", "a line has not as many values"),
        ("EPOCH,MEAN_MOTION\n2008-09-20T00:00:00\n", "a line has not as many values"),
        (as_json(OMM | {"MEAN_ELEMENT_THEORY": "SGP4-XP"}), "SGP4 flies SGP4 only"),
        (as_json(OMM | {"REF_FRAME": "EME2000"}), "REF_FRAME EME2000; SGP4 flies TEME only"),
        (b"\xff\xfe[", "octet 0 is not UTF-8"),
    ],
)
def test_what_is_no_omm_is_refused(message: str | bytes, words: str) -> None:
    with pytest.raises(OrbitError, match=words):
        Orbit.from_omm(message)


def test_a_scenario_flies_an_omm() -> None:
    content = 'name = "a"\nstart = "2008-09-21T00:00:00Z"\n[orbit]\n'
    flown = settings.loads(Scenario, f"{content}omm = '''{as_json(OMM)}'''", "a.toml").flown
    assert flown.source == "OMM of 25544"
    with pytest.raises(settings.SettingsError, match=r"a.toml:4: not an OMM in JSON"):
        settings.loads(Scenario, f"{content}omm = '[7]'", "a.toml")
    with pytest.raises(settings.SettingsError, match=r"a.toml:5: an OMM says everything; leave"):
        settings.loads(Scenario, f"{content}omm = '[7]'\naltitude = '551 km'", "a.toml")


def test_a_forecast_is_made_of_an_omm_file(tmp_path: Path) -> None:
    (tmp_path / "iss.xml").write_text(as_xml(OMM))
    out = tmp_path / "forecast.json"
    words = ["forecast", "--omm", str(tmp_path / "iss.xml"), "--hours", "3", "--out", str(out)]
    ended = CliRunner().invoke(main, words)
    assert ended.exit_code == 0, ended.output
    made = json.loads(out.read_text())
    assert made["source"] == "AP8, OMM of 25544"
    assert made["begin"] == "2008-09-20T12:25:40Z"


def test_an_omm_file_that_is_none_is_refused_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "none").write_bytes(b"\xff")
    ended = CliRunner().invoke(main, ["forecast", "--omm", str(tmp_path / "none")])
    assert (ended.exit_code, "not an OMM" in ended.output) == (1, True)
    ended = CliRunner().invoke(main, ["forecast", "--omm", str(tmp_path / "nowhere")])
    assert (ended.exit_code, "No such file" in ended.output) == (1, True)
