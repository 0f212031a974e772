"""What is wrong with a scenario is refused with its line, and with what to write instead."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim_hw.world import scenario, settings
from sim_hw.world.quantities import UNITS, QuantityError, parse, spell
from sim_hw.world.scenario import Scenario

GOOD = """\
name = "a day"
start = "2026-03-20T00:00:00Z"

[orbit]
altitude = "550 km"

[board]
model = "h100"

[[load]]
start = "0 s"
level = 0.5

[[load]]
start = "1 h"
level = 0.9
"""


def refused(content: str) -> str:
    with pytest.raises(settings.SettingsError) as refusal:
        settings.loads(Scenario, content, "a.toml")
    return str(refusal.value)


WRONG = [
    ("altitude =", "altitud =", r'a.toml:5: "altitud" is not a key of \[orbit\]; write "altitude"'),
    ("[board]", "[boards]", r'a.toml:7: "boards" is not a key of the file; write "board"'),
    ("[board]", "[zzz]", r'a.toml:7: "zzz" is not a key of the file; known are name, '),
    ("level = 0.9", "level = 1.9", r"a.toml:16: level = 1.9 is out of range; write a value from 0"),
    ("level = 0.9", 'level = "90 %"', r"a.toml:16: level = '90 %' is a bare number; write 1"),
    ("level = 0.9", "level = true", r"a.toml:16: level = True is a bare number"),
    ("level = 0.9", "# none", r"a.toml:14: \[load\] has no level; add level = 1"),
    ('"550 km"', "550", r'a.toml:5: altitude = 550 has a unit; write "250 km"'),
    ('"550 km"', '"550 W"', r'a.toml:5: .* the unit "W" is not one of km, m; write "250 km"'),
    ('"550 km"', '"550"', r'a.toml:5: .* it has no unit \(km, m\); write "250 km"'),
    ('"550 km"', '"high"', r"a.toml:5: .* is not a number and a unit"),
    ('"550 km"', '"5_50 km"', r"a.toml:5: .* is not a number and a unit"),
    ('"550 km"', '"\uff15\uff15\uff10 km"', r"a.toml:5: .* is not a number and a unit"),
    ('"550 km"', '"550\u00a0km"', r"a.toml:5: .* the unit .* is not one of km, m"),
    ('"550 km"', '"550 m"', r"a.toml:5: .* is out of range; write a value from 250 km to 1400 km"),
    ('"h100"', '"b200"', r"""a.toml:8: model is 'b200'; write one of "h100", .*, "orin\""""),
    ('"h100"', '"h100', r"a.toml:8: not TOML: "),
    ('start = "2026-03-20T00:00:00Z"', 'start = "today"', r'a.toml:2: start = "today" is no date'),
    ("T00:00:00Z", "T00:00:00", r"is no date with a zone; write "),
    ('name = "a day"', "name = 3", r'a.toml:1: name is not of the right kind; write name = "…"'),
    ('name = "a day"', "", r'a.toml:1: the file has no name; add name = "…"'),
    ('start = "1 h"', 'start = "-1 h"', r"a.toml:15: start = '-1 h' is out of range"),
    ('[[load]]\nstart = "0 s"', '[load]\nstart = "0 s"', r"a.toml:\d+: "),
    (
        "[orbit]",
        '[orbit]\nnode="3 deg"\ntle = ["1 25544U", "2 25544"]',
        r"a.toml:5: a TLE says everything",
    ),
    ("[orbit]", '[orbit]\ntle = "1 25544U"', r'a.toml:5: write tle = \["…", "…"\]: 2 strings'),
    ("[board]", "[board]\npower_limit = '100 W'", r"write one from 200 to 350 W"),
    ("[orbit]", "orbit_ = 1\n[orbit]", r'a.toml:4: "orbit_" is not a key'),
    ("[board]", "[flips]\ndoor = 'ajar'\n[board]", r"a.toml:8: door is 'ajar'; write one of"),
    ("[board]", "[cross_sections]\nlogic = '1e-9 cm2'\n[board]", r"a.toml:7: cross-sections need"),
    ("[board]", "[power]\ncutoff = 0.8\n[board]", r"a.toml:7: the payload would restart at 0.6"),
    ("[orbit]", "[orbit]\nnode='3 deg'\nnode_local_time='6 h'", r"a.toml:5: both node and node"),
    ('start = "1 h"', 'on = "3 min"\nstart = "1 h"', r"a.toml:15: on and off go together"),
    ('name = "a day"', 'name = "a day"\nseed = 1.5', r"seed = 1.5 is not whole"),
    ('name = "a day"', 'name = "a day"\nlog_period = "1 s"\nstep = "2 s"', "shorter than step"),
    ('start = "0 s"', 'start = "2 h"', r"a.toml:10: .*not in order of start"),
    ('"550 km"', '"400 km"\neccentricity = 0.05', r"a.toml:4: the orbit runs from \d\d to 7"),
    ('"550 km"', '"1400 km"\neccentricity = 0.03', r"a.toml:4: the orbit runs .* to 16\d\d km"),
    ('name = "a day"', "name = ''\nacceleration = 1e8", r"a.toml:2: .* write at most \d"),
]


@pytest.mark.parametrize(("right", "wrong", "message"), WRONG, ids=[w[1][:30] for w in WRONG])
def test_a_wrong_setting_is_refused_with_its_line(right: str, wrong: str, message: str) -> None:
    assert right in GOOD
    found = refused(GOOD.replace(right, wrong, 1))
    assert re.search(message, found), found
    assert re.match(r"a\.toml:\d+: ", found)


def test_a_good_one_is_read_in_its_units() -> None:
    found = settings.loads(Scenario, GOOD + 'on = "10 min"\noff = "0.5 h"\n', "a.toml")
    assert found.orbit.altitude == 550.0
    assert [one.start for one in found.load] == [0.0, 3600.0]
    assert (found.load[1].on, found.load[1].off) == (600.0, 1800.0)
    assert found.power.battery == 800.0


def test_a_line_is_found_in_an_inline_table_too() -> None:
    content = GOOD.replace('[orbit]\naltitude = "550 km"', "orbit = { altitude = 5 }")
    assert refused(content).startswith("a.toml:4: altitude = 5 has a unit")


def test_a_tle_with_a_wrong_checksum_is_refused_with_its_table() -> None:
    tle = (
        '["1 25544U 98067A   24001.50000000  .00016717  00000-0  30074-3 0  9990", '
        '"2 25544  51.6416 100.0000 0005000  60.0000 300.0000 15.50000000    19"]'
    )
    content = GOOD.replace('altitude = "550 km"', f"tle = {tle}")
    assert re.match(r"a.toml:5: line 1 of the TLE has checksum", refused(content))


def test_a_file_that_is_not_there_or_not_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(settings.SettingsError, match="No such file"):
        scenario.load(tmp_path / "none.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(settings.SettingsError, match="not UTF-8"):
        scenario.load(tmp_path / "bytes.toml")
    with pytest.raises(
        settings.SettingsError, match=r'"tuesday" is no scenario; known are .*quiet'
    ):
        scenario.load("tuesday")


@given(st.text(max_size=200))
def test_no_text_does_worse_than_be_refused(content: str) -> None:
    with pytest.raises(settings.SettingsError):
        settings.loads(Scenario, content, "a.toml")


@given(
    st.sampled_from(GOOD.splitlines()),
    st.sampled_from(['"x"', "-1", "1e400", "[]", "{}", "true", '"-5 km"', "[[1]]", '"1 nan"']),
)
def test_no_value_does_worse_than_be_refused(line: str, value: str) -> None:
    key = line.split("=")[0]
    content = GOOD.replace(line, f"{key} = {value}", 1) if "=" in line else GOOD
    with contextlib.suppress(settings.SettingsError):
        settings.loads(Scenario, content, "a.toml")


@given(st.sampled_from(sorted(UNITS)), st.floats(1e-3, 1e6))
def test_a_quantity_reads_back_as_it_is_spelt(unit: str, value: float) -> None:
    written = spell(value, unit)
    assert parse(written, unit, "1") == pytest.approx(value, rel=1e-5)
    assert parse(written.replace(" ", ""), unit, "1") == pytest.approx(value, rel=1e-5)


def test_a_quantity_without_a_number_is_none() -> None:
    with pytest.raises(QuantityError):
        parse("km", "km", "1 km")
