"""What every payload must do over the link, emulated or real."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest

from ground.client import Client
from ground.errors import CommandFailed, CommandRefused

COMPONENTS = ("commands", "telemetry", "watchdog", "board", "jobs", "files", "executive")
pytestmark = pytest.mark.xdist_group("functional")


@pytest.mark.verifies("VA-CMD-07", "VA-CMD-02")
def test_a_ping_completes_and_every_stage_is_reported_to_its_source(payload: Client) -> None:
    result = payload.ping()
    assert result.ok
    stages = [stage for stage, _ in result.stages]
    assert stages[-4:] == ["sent", "accepted", "started", "completed"]


@pytest.mark.verifies("VA-LINK-07")
def test_the_payload_says_who_it_is(payload: Client) -> None:
    dictionary = payload.dictionary(wait_s=5.0)
    (of,) = payload.status()["payloads"]
    assert of["identity"]["wire_hash"] == dictionary.wire_hash
    assert of["identity"]["boot_count"] >= 1


@pytest.mark.parametrize("component", COMPONENTS)
@pytest.mark.verifies("VA-TLM-01")
def test_housekeeping_of_every_component_comes_on_demand(payload: Client, component: str) -> None:
    before = payload.cursor()
    payload.send(f"{component}.hk_now")
    values = payload.values(component, after=before)
    assert values
    assert all(value.validity == "valid" for value in values.values())


@pytest.mark.verifies("VA-CMD-03", "VA-GND-02")
def test_a_command_out_of_range_is_refused_before_it_is_sent(payload: Client) -> None:
    with pytest.raises(CommandRefused, match="give"):
        payload.send("commands.arm", {"apid": 70_000, "opcode": 1})


@pytest.mark.verifies("VA-CMD-04")
def test_a_critical_command_must_be_armed_and_any_other_disarms_it(payload: Client) -> None:
    safe = {"mode": "NOMINAL"}
    with pytest.raises(CommandFailed, match="arm it first"):
        payload.send("commands.set_mode", safe)
    payload.send("commands.arm", {"apid": 1, "opcode": 2})
    assert payload.send("commands.set_mode", safe).ok
    payload.send("commands.arm", {"apid": 1, "opcode": 2})
    payload.ping()
    with pytest.raises(CommandFailed, match="arm it first"):
        payload.send("commands.set_mode", safe)


@pytest.mark.verifies("VA-FIL-01", "VA-FIL-02")
def test_a_file_goes_up_and_comes_back_octet_for_octet(payload: Client, tmp_path: Path) -> None:
    original = tmp_path / "up.bin"
    original.write_bytes(random.Random(1).randbytes(300_001))
    payload.put(original, "functional/up.bin")
    payload.get("functional/up.bin", tmp_path / "down.bin")
    assert (tmp_path / "down.bin").read_bytes() == original.read_bytes()
    names = [row["path"] for row in payload.files("functional")]
    assert any(name.endswith("up.bin") for name in names)


@pytest.mark.verifies("VA-STO-04")
def test_a_path_out_of_the_file_store_is_refused(payload: Client, tmp_path: Path) -> None:
    local = tmp_path / "x"
    local.write_bytes(b"x")
    with pytest.raises(Exception, match=r"relative path|\.\."):
        payload.put(local, "../outside")


@pytest.mark.verifies("VA-JOB-01", "VA-JOB-06")
def test_a_matmul_job_runs_and_leaves_verified_products(payload: Client, tmp_path: Path) -> None:
    before = payload.cursor()
    job = payload.submit("matmul", {"size": 128, "repeats": 3}).result["job"]
    done = payload.expect_event("jobs.job_done", where={"job": job}, after=before, timeout_s=90)
    assert done.arguments["products"] >= 1
    payload.get(f"products/job-{job}/result.json", tmp_path / "result.json")
    assert json.loads((tmp_path / "result.json").read_text())


def test_an_imaging_job_maps_an_uplinked_image(payload: Client, tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    scene = rng.integers(100, 4000, (4, 64, 96), dtype=np.uint16)
    np.save(tmp_path / "scene.npy", scene)
    payload.put(tmp_path / "scene.npy", "images/scene.npy")
    before = payload.cursor()
    job = payload.submit("imaging", {"scene": "images/scene.npy"}).result["job"]
    payload.expect_event("jobs.job_done", where={"job": job}, after=before, timeout_s=90)
    payload.get(f"products/job-{job}/report.json", tmp_path / "report.json")
    assert json.loads((tmp_path / "report.json").read_text())


@pytest.mark.verifies("VA-BRD-01")
def test_the_board_reports_power_and_temperature_with_validity(payload: Client) -> None:
    power = payload.wait_value("board.power_w", lambda value: value > 0, timeout_s=20)
    assert power.unit == "W"
    assert power.validity == "valid"


@pytest.mark.verifies("VA-GND-04")
def test_the_history_shows_how_each_command_ended(payload: Client) -> None:
    payload.ping()
    newest = payload.history(limit=1)[-1]
    assert newest.state == "completed"
