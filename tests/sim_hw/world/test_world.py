"""The whole world: the same in steps and in blocks, and the same octets for the same scenario."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from icd.flips import FlipDraw, FlipKind
from sim_hw.world import records, scenario, settings, shipped
from sim_hw.world import run as running
from sim_hw.world.run import run
from sim_hw.world.scenario import Scenario
from sim_hw.world.world import World

pytestmark = pytest.mark.numerical

SHIPPED = shipped.names()
FAST = """
name = "fast"
start = "2026-03-20T06:00:00Z"
duration = "3 h"
acceleration = 2e4
[orbit]
altitude = "650 km"
node = "160 deg"
[power]
battery = "150 Wh"
array_area = "2 m2"
[flips]
door = "job"
[[load]]
start = "0 s"
level = 0.8
on = "10 min"
off = "3 min"
[[storm]]
start = "10 min"
scale = "S2"
[[fault]]
at = "1 h"
event = "gpu_interrupt"
xid = 79
"""


def fast(**changes: object) -> Scenario:
    return dataclasses.replace(settings.loads(Scenario, FAST, "fast.toml"), **changes)


def logged(what: Scenario, folder: Path) -> list[dict]:
    return records.read(run(what, folder).log)


def test_all_that_the_design_asks_for_is_shipped() -> None:
    asked = "quiet-day saa-pass s3-storm s4-storm hot-case long-eclipse dying-gpu aggressive-jetson"
    assert sorted([*asked.split(), "aggressive-h100"]) == SHIPPED


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_scenario_runs_and_says_what_it_is(name: str) -> None:
    found = scenario.load(name)
    assert found.name
    assert found.description
    world = World(found)
    block = world.block(5400)
    assert np.isfinite(block.output).all()
    assert np.isfinite(block.around.particles.total).all()


@pytest.mark.verifies("VA-SIM-04")
def test_steps_and_blocks_give_the_same_world() -> None:
    stepped, blocked = World(fast(duration=3700.0)), World(fast(duration=3700.0))
    whole = blocked.block(10**9)
    assert blocked.is_over
    faults = []
    for index in range(3700):
        step = stepped.step()
        assert step.elapsed_s == index
        assert (step.block.output[0] == whole.output[index]).all()
        assert step.flux == whole.around.particles.total[index]
        assert step.sink_c == whole.around.sink_c[index]
        faults += step.faults
    assert stepped.is_over
    assert faults == whole.faults
    assert len(faults) > 50


def test_a_step_takes_the_load_and_the_power_that_were_measured() -> None:
    world = World(fast())
    idle = world.step(load=0.0)
    assert idle.load == 0.0
    assert idle.block["power_w"][0] < 60.0
    driven = world.step(load=0.5, power_w=222.0)
    assert driven.block["power_w"][0] == 222.0
    assert driven.is_powered
    assert 0.0 < driven.battery <= 1.0


@pytest.mark.verifies("VA-SIM-04")
def test_the_same_scenario_gives_the_same_octets_and_another_seed_others(tmp_path: Path) -> None:
    first = run(fast(), tmp_path / "a").log.read_bytes()
    assert run(fast(), tmp_path / "b").log.read_bytes() == first
    assert run(fast(seed=2), tmp_path / "c").log.read_bytes() != first


def test_the_octets_do_not_depend_on_how_the_run_is_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run(fast(), tmp_path / "a").log.read_bytes()
    monkeypatch.setattr(running, "_BLOCK_S", 977.0)
    assert run(fast(), tmp_path / "b").log.read_bytes() == first


def test_a_run_in_step_with_a_clock_waits_and_gives_the_same_octets(tmp_path: Path) -> None:
    now, waits = [100.0], []

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        now[0] += seconds
        return False

    paced = run(fast(), tmp_path / "a", speed=1000.0, clock=lambda: now[0], wait=wait)
    assert now[0] - 100.0 == pytest.approx(10.8)
    assert len(waits) == 44
    assert paced.log.read_bytes() == run(fast(), tmp_path / "b").log.read_bytes()


def test_a_run_that_is_stopped_says_how_far_it_came(tmp_path: Path) -> None:
    stopped = run(fast(), tmp_path, speed=10.0, wait=lambda _seconds: True)
    assert not stopped.is_whole
    assert stopped.summary["t"] < 10.0
    assert records.read(stopped.log)[-1] == stopped.summary


def test_the_log_is_in_order_and_says_where_each_fault_was(tmp_path: Path) -> None:
    lines = logged(fast(), tmp_path)
    assert lines[0]["type"] == "scenario"
    assert lines[0]["acceleration"] == 2e4
    assert lines[-1]["type"] == "summary"
    times = [record["t"] for record in lines[1:]]
    assert times == sorted(times)
    faults = [record for record in lines if record["type"] == "fault"]
    assert sum(lines[-1]["faults"].values()) == len(faults)
    for record in faults:
        assert record["acceleration"] == 2e4
        assert {"lat", "lon", "alt_km", "l", "flux", "upset", "effect"} <= set(record)
    asked = [record for record in faults if record["scripted"]]
    assert [(record["t"], record["xids"]) for record in asked] == [(3600.0, [79])]


def test_faults_follow_the_particles(tmp_path: Path) -> None:
    """A seventh of the time, nine tenths of the faults; the rest are cosmic rays."""
    lines = logged(scenario.load("saa-pass"), tmp_path)
    faults = [record for record in lines if record["type"] == "fault"]
    in_saa = [record for record in faults if record["trapped"] > 5.0]
    assert lines[-1]["saa_share"] < 0.15
    assert 0.88 < len(in_saa) / len(faults) < 0.97


def test_the_flips_of_a_log_can_be_replayed(tmp_path: Path) -> None:
    lines = logged(fast(), tmp_path)
    flips = [record["flip"] for record in lines if "flip" in record]
    assert flips
    for message in flips:
        assert message.pop("door") == "job"
        draw = FlipDraw.from_message(message)
        assert draw.kind in FlipKind
        assert draw.message() == message


def test_the_log_tells_shadow_saa_and_a_payload_that_is_shed(tmp_path: Path) -> None:
    lines = logged(fast(duration=4 * 3600.0), tmp_path)
    names = [record["event"] for record in lines if record["type"] == "event"]
    for name in ("eclipse begins", "eclipse ends", "SAA entered", "SAA left"):
        assert name in names
    assert "payload shed, battery low" in names
    assert lines[-1]["depth_of_discharge"] > 0.7


def test_a_scenario_that_begins_in_the_shadow_says_so_at_once(tmp_path: Path) -> None:
    lines = logged(fast(start="2026-03-20T06:55:00Z"), tmp_path)
    state = next(record for record in lines if record["type"] == "state")
    first = next(record["event"] for record in lines if record["type"] == "event")
    assert ("begins" in first) == (not state["sunlit"])


def test_heat_is_told_once_and_not_at_every_move_of_the_governor(tmp_path: Path) -> None:
    lines = logged(scenario.load("hot-case"), tmp_path)
    names = [record["event"] for record in lines if record["type"] == "event"]
    assert names.count("throttling begins") == 1
    assert names.count("throttling ends") == 1
    assert 82.0 < lines[-1]["hottest_c"] < 87.0


def test_a_dying_gpu_dies_as_written(tmp_path: Path) -> None:
    lines = logged(scenario.load("dying-gpu"), tmp_path)
    xids = [record["xids"] for record in lines if record["type"] == "fault" and record["xids"]]
    assert xids[0] == [48, 63, 94]
    assert xids[-1] == [79]
    assert [48, 64] in xids


def test_cross_sections_of_a_scenario_carry_their_own_source(tmp_path: Path) -> None:
    mine = settings.loads(
        Scenario,
        FAST + '[cross_sections]\nlogic = "3e-9 cm2"\nsource = "beam test 12"\n',
        "mine.toml",
    )
    sections = logged(mine, tmp_path)[0]["cross_sections"]
    assert sections["logic"] == {"value": 3e-9, "unit": "cm2", "provenance": "beam test 12"}
    assert "beam test" not in sections["dram_correctable"]["provenance"]


@pytest.mark.parametrize("content", ["", "{}\n", "[]\n", "truth\n", '{"type": "state"}\n'])
def test_what_is_no_truth_log_is_refused(content: str, tmp_path: Path) -> None:
    path = tmp_path / "truth.jsonl"
    path.write_text(content)
    with pytest.raises(records.TruthLogError, match="not a truth log"):
        records.read(path)


def test_a_log_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(records.TruthLogError, match="No such file"):
        records.read(tmp_path / "none.jsonl")


def test_numbers_of_a_log_are_finite(tmp_path: Path) -> None:
    def refuse(name: str) -> None:
        raise AssertionError(name)

    for line in run(fast(), tmp_path).log.read_text().splitlines():
        json.loads(line, parse_constant=refuse)


def test_a_tle_flies_too() -> None:
    tle = (
        "1 25544U 98067A   24001.50000000  .00016717  00000-0  30074-3 0  9991",
        "2 25544  51.6416 100.0000 0005000  60.0000 300.0000 15.50000000    12",
    )
    orbit = dataclasses.replace(fast().orbit, node=None, altitude=550.0)
    flown = fast(start="2024-01-02T00:00:00Z", orbit=dataclasses.replace(orbit, tle=tle))
    altitude = World(flown).block(5400).around.track.altitude_km
    assert 400.0 < altitude.mean() < 430.0
