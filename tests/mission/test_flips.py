"""Bits that flip for real: a job finds wrong products, and the log names each of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flight.fault_tolerance.levels import Level
from flight.jobs.local import run_local
from ground.client.client import Client
from hal.compute.device import open_device
from hal.compute.upsets import Replayed
from icd import flips
from sim_hw.world import records
from tests.mission.conftest import cleanly, start
from tests.mission.watching import await_done

pytestmark = [pytest.mark.control, pytest.mark.xdist_group("flips")]
SETTINGS = {"size": 256, "repeats": 1000}
SCENARIO = """
name = "wrong results"
description = "In the middle of the SAA; only the logic of the GPU is upset, a few times a second"
start = "2026-03-20T00:00:00Z"
duration = "10 min"
seed = 3
acceleration = 1000
[orbit]
altitude = "650 km"
inclination = "98 deg"
node = "168 deg"
anomaly = "333 deg"
[cross_sections]
dram_correctable = "0 cm2"
dram_uncorrectable = "0 cm2"
sram_correctable = "0 cm2"
sram_uncorrectable = "0 cm2"
logic = "2e-5 cm2"
gpu_interrupt = "0 cm2"
host_interrupt = "0 cm2"
latch_up = "0 cm2"
source = "made up for this story"
"""


class Story:
    """A payload that flew in the SAA and multiplied matrices, and what it left."""

    def __init__(self, board: str, door: str, folder: Path) -> None:
        self.scenario = folder / "wrong.toml"
        model = board.removeprefix("emulated-")
        more = f'[board]\nmodel = "{model}"\n[flips]\ndoor = "{door}"\n'
        self.scenario.write_text(SCENARIO + more)
        with cleanly(board) as session:
            start(session, "--scenario", str(self.scenario))
            with session.start_ground() as client:
                self.job, self.result = self._multiply(client, folder)
            self.truth = records.read(session.run / "board" / records.NAME)
            self.log = folder / flips.LOG
            written = session.run / "board" / flips.LOG
            if written.exists():
                self.log.write_bytes(written.read_bytes())

    def _multiply(self, client: Client, folder: Path) -> tuple[int, dict[str, Any]]:
        job = client.submit("matmul", SETTINGS, protection="abft").result["job"]
        row = await_done(client, job, timeout_s=180)
        assert row["phase"] == "DONE", row
        client.get(f"products/job-{job}/result.json", folder / "result.json")
        return job, json.loads((folder / "result.json").read_text())


@pytest.fixture(scope="module", params=["emulated-h100", "emulated-orin"])
def struck(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Story:
    """A story with flips on."""
    return Story(request.param, "job", tmp_path_factory.mktemp("struck"))


@pytest.mark.verifies("VA-FLP-04")
def test_a_job_finds_wrong_products_and_the_log_of_flips_names_them(struck: Story) -> None:
    wrong = {int(number) for number in struck.result["wrong_products"]}
    done = flips.effective(flips.read_log(struck.log), struck.job)
    assert wrong
    assert wrong <= {flip.step for flip in done}
    drawn = {record["id"] for record in struck.truth if "flip" in record}
    assert {flip.id for flip in done} <= drawn
    assert {flip.acceleration for flip in done} == {1000.0}


@pytest.mark.verifies("VA-FLP-03")
def test_the_logged_flips_give_the_same_wrong_bits_on_ground(struck: Story, tmp_path: Path) -> None:
    settings = {name: str(value) for name, value in SETTINGS.items()}
    replay = Replayed.of(struck.log, struck.job)
    device = open_device("host", flips=replay)
    again = run_local("matmul", settings, tmp_path, device=device, level=Level.ABFT)
    assert replay.left == 0
    assert json.loads(again.files["result.json"].read_text()) == struck.result


@pytest.fixture
def closed(tmp_path: Path) -> Story:
    return Story("emulated-orin", "closed", tmp_path)


@pytest.mark.verifies("VA-FLP-01")
def test_behind_a_closed_door_the_same_upsets_flip_nothing(closed: Story) -> None:
    upsets = [record for record in closed.truth if record["type"] == "fault"]
    assert {record["upset"] for record in upsets} == {"logic"}
    assert closed.result["wrong_products"] == {}
    assert not closed.log.exists()
