"""Protection levels, end to end: from a forecast on the ground to the level in a job's page."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from examples.session import Session
from ground.client.client import Client
from tests.mission.conftest import cleanly, start
from tests.mission.watching import await_done, await_job, command_again, job_row, until

LONG = {"size": 96, "repeats": 1_000_000}


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(name, marks=pytest.mark.xdist_group(f"protection {name}"))
        for name in ("emulated-h100", "emulated-orin")
    ],
)
def flown(request: pytest.FixtureRequest) -> Iterator[tuple[Session, Client]]:
    """A payload of its own on each emulated board, and a client."""
    with cleanly(request.param) as session:
        start(session)
        with session.start_ground() as client:
            yield session, client


def forecast(folder: Path, client: Client, begin_s: float, end_s: float) -> str:
    """A forecast with one pass, put into the file store; its name there."""
    now = datetime.now(timezone.utc)

    def utc(seconds: float) -> str:
        return (now + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")

    plain = {
        "format": 1,
        "source": "by hand",
        "tai_minus_utc_s": 37,
        "begin": utc(-7200),
        "end": utc(7200),
        "passes": [{"begin": utc(begin_s), "end": utc(end_s), "flux": 900, "radiation": "raised"}],
    }
    path = folder / "forecast.json"
    path.write_text(json.dumps(plain))
    client.put(path, "forecast.json")
    return "forecast.json"


def values(client: Client) -> dict[str, Any]:
    """Housekeeping of the component as it is now."""
    cursor = client.cmd("protection.hk_now").cursor
    found = client.values("protection", after=cursor, wait_s=5)
    return {name.removeprefix("protection."): value.value for name, value in found.items()}


@pytest.mark.verifies("VA-LVL-01", "VA-LVL-03", "VA-LVL-04", "VA-LVL-05", "VA-LVL-08")
def test_a_pass_that_begins_now_raises_a_running_job_and_a_restart_keeps_it(
    flown: tuple[Session, Client], tmp_path: Path
) -> None:
    session, client = flown
    job = client.submit("matmul", LONG).result["job"]
    row = await_job(client, job, lambda row: row["phase"] == "RUNNING" and row["step"] > 0)
    assert (row["protection"], row["level"]) == ("ADAPTIVE", "ABFT")
    name = forecast(tmp_path, client, -5, 3600)
    cursor = client.cursor()
    loaded = client.cmd("protection.load_forecast", file=name)
    assert loaded.result["passes"] == 1
    raised = client.expect_event("protection.raised", after=cursor)
    assert "a pass is forecast" in raised.text
    await_job(client, job, lambda row: row["level"] == "DMR")
    assert values(client)["why"] == "FORECAST"

    since = time.monotonic()
    session.ready(after_pid=session.kill_executive())
    command_again(client, since)
    client.expect_event("jobs.job_readopted", after=cursor, where={"job": job}, timeout_s=90)
    until(lambda: values(client)["forecast"] == "VALID", 10, "the forecast after a restart")
    again = await_job(client, job, lambda row: row["level"] == "DMR")
    assert again["pid"] == row["pid"]

    client.cmd("protection.drop_forecast")
    await_job(client, job, lambda row: row["level"] == "ABFT")
    client.cmd("jobs.cancel", job=job)
    await_job(client, job, lambda row: row["phase"] == "CANCELLED")


@pytest.mark.verifies("VA-LVL-01", "VA-LVL-02")
def test_a_level_is_asked_for_changed_and_shown_and_stands_in_the_manifest(
    flown: tuple[Session, Client], tmp_path: Path
) -> None:
    _, client = flown
    job = client.submit("matmul", LONG, protection="none").result["job"]
    await_job(client, job, lambda row: row["phase"] == "RUNNING" and row["level"] == "NONE")
    client.cmd("jobs.set_protection", job=job, protection="dmr")
    await_job(client, job, lambda row: (row["protection"], row["level"]) == ("DMR", "DMR"))
    client.cmd("jobs.cancel", job=job)
    short = client.submit("matmul", {"size": 64, "repeats": 3}, protection="tmr").result["job"]
    await_done(client, short)
    client.get(f"products/job-{short}/manifest.json", tmp_path / "manifest.json")
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["protection"]["asked"] == "TMR"
    assert job_row(client, short)["lost"] == 0


@pytest.mark.verifies("VA-LVL-05")
def test_a_forecast_that_is_garbage_is_refused_with_the_reason(
    flown: tuple[Session, Client], tmp_path: Path
) -> None:
    _, client = flown
    path = tmp_path / "garbage.json"
    path.write_bytes(b"\x00\xff" * 500)
    client.put(path, "garbage.json")
    before = values(client)
    result = client.cmd("protection.load_forecast", file="garbage.json", check=False)
    assert (result.state, "not whole JSON" in result.reason) == ("failed", True)
    after = values(client)
    assert (after["refused"], after["forecast"]) == (before["refused"] + 1, before["forecast"])
