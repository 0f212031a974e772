"""The commands of the world, and the pictures they draw."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from sim_hw.__main__ import main
from sim_hw.world import records, scenario

SHORT = """
name = "short"
description = "a pass through the SAA"
start = "2026-03-20T00:00:00Z"
duration = "40 min"
acceleration = 1e4
[orbit]
altitude = "650 km"
inclination = "98 deg"
node = "168 deg"
anomaly = "255 deg"
[[storm]]
start = "0 s"
scale = "S2"
[[load]]
start = "0 s"
level = 0.8
[[fault]]
at = "35 min"
event = "gpu_interrupt"
xid = 79
"""


def called(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    (folder / "short.toml").write_text(SHORT)
    result = called("run", folder / "short.toml", "--out", folder)
    assert result.exit_code == 0, result.output
    summary = json.loads(result.output[: result.output.rindex("}") + 1])
    assert summary["faults"]
    return folder / records.NAME


def size_of(png: Path) -> tuple[int, int]:
    octets = png.read_bytes()
    assert octets.startswith(b"\x89PNG")
    return struct.unpack(">II", octets[16:24])


def test_a_log_is_drawn_whole_or_one_orbit_of_it(log: Path, tmp_path: Path) -> None:
    result = called("plot", log.parent)
    assert result.exit_code == 0, result.output
    assert size_of(log.with_suffix(".png")) == (1430, 1196)
    result = called("plot", log, "--orbit", 1, "--png", tmp_path / "one.png")
    assert result.exit_code == 0, result.output
    assert size_of(tmp_path / "one.png") == (1430, 1196)


def test_an_orbit_that_is_not_in_the_log_is_refused(log: Path) -> None:
    result = called("plot", log, "--orbit", 2)
    assert result.exit_code == 1
    assert "there is no orbit 2 in this log; choose one from 1 to 1" in result.output


def test_a_log_too_short_to_draw_says_so(log: Path, tmp_path: Path) -> None:
    path = tmp_path / records.NAME
    path.write_text("".join(log.read_text().splitlines(keepends=True)[:2]))
    result = called("plot", path)
    assert result.exit_code == 1
    assert "draw a longer part" in result.output


def test_a_log_without_what_is_drawn_says_what(log: Path, tmp_path: Path) -> None:
    lines = records.read(log)
    for line in lines:
        line.pop("sink_c", None)
    path = tmp_path / records.NAME
    path.write_text("".join(map(records.spelt, lines)))
    assert "no sink_c" in called("plot", path).output


def test_a_quiet_hour_without_faults_or_storms_is_drawn(tmp_path: Path) -> None:
    quiet = SHORT.replace("1e4", "1").split("[[storm]]")[0]
    (tmp_path / "quiet.toml").write_text(quiet)
    assert called("run", tmp_path / "quiet.toml", "--out", tmp_path).exit_code == 0
    assert called("plot", tmp_path).exit_code == 0


def test_drawing_without_matplotlib_says_what_to_install(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    result = called("plot", log)
    assert result.exit_code == 1
    assert result.output == "Error: this needs matplotlib: pip install '.[plot]'\n"


def test_the_truth_is_printed_a_line_a_record_and_by_type(log: Path) -> None:
    whole = called("truth", log).output.splitlines()
    assert len(whole) == len(records.read(log))
    assert " scenario " in whole[0]
    faults = called("truth", log.parent, "--type", "fault", "--type", "event").output
    assert "SAA entered" in faults
    assert "XID" not in faults
    assert "xids=[79]" in faults
    assert " state " not in faults


def test_what_is_expected_is_told_with_its_source() -> None:
    result = called("expect", "aggressive-jetson")
    assert result.exit_code == 0
    assert "dram_correctable" in result.output
    assert "LPDDR5" in result.output
    assert len(result.output.splitlines()) == 12


def test_the_shipped_scenarios_are_listed() -> None:
    lines = called("scenarios").output.splitlines()
    assert len(lines) == 9
    assert lines[1].startswith("aggressive-jetson")
    for line in lines:
        name, description = line.split(maxsplit=1)
        assert description == scenario.load(name).description


@pytest.mark.parametrize("speed", ["fast", "0", "-1", "nan"])
def test_a_speed_that_is_none_is_refused(speed: str) -> None:
    result = called("run", "quiet-day", "--speed", speed)
    assert result.exit_code == 2
    assert "write real, max, or a number" in result.output


def test_a_wrong_scenario_is_refused_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(SHORT.replace("650 km", "650 m"))
    result = called("run", tmp_path / "a.toml", "--out", tmp_path)
    assert result.exit_code == 1
    assert result.output.startswith("Error: a.toml:8: altitude = '650 m' is out of range")


def test_a_run_at_a_speed_takes_that_long(log: Path, tmp_path: Path) -> None:
    """2,400 s at 10,000 times: the same octets, in a quarter of a second."""
    result = called("run", log.parent / "short.toml", "--out", tmp_path, "--speed", "10000")
    assert result.exit_code == 0, result.output
    assert (tmp_path / records.NAME).read_bytes() == log.read_bytes()


def printed(code: str) -> str:
    """What a fresh interpreter prints."""
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    ).stdout


def test_playing_a_board_needs_neither_sgp4_nor_matplotlib() -> None:
    code = "import sys, sim_hw.__main__; print({'sgp4', 'matplotlib'} & set(sys.modules))"
    assert printed(code).strip() == "set()"


def test_a_world_without_sgp4_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['sgp4'] = None\n"
        "from click.testing import CliRunner\n"
        "from sim_hw.__main__ import main\n"
        "print(CliRunner().invoke(main, ['run', 'quiet-day']).output)"
    )
    assert printed(code).startswith("Error: this needs sgp4: pip install '.[sim]'\n")


def test_what_fails_to_import_for_another_reason_is_no_matter_of_extras(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "sim_hw.world.forecast", None)
    # Once imported, a module is also an attribute of its package, which is looked at first.
    monkeypatch.delattr("sim_hw.world.forecast", raising=False)
    result = called("forecast", "quiet-day")
    assert isinstance(result.exception, ImportError)
