"""Jobs as the operator knows them: submitted, watched, controlled, products brought home."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from examples.texts import shakespeare_or_prose
from ground.client.client import Client
from ground.errors import CommandRefused, TransferFailed
from tests.mission.watching import await_done, await_job

pytestmark = pytest.mark.xdist_group("functional")
ENDLESS = {"size": 64, "repeats": 1_000_000}


def _running(payload: Client, **limits: int) -> int:
    job: int = payload.submit("matmul", ENDLESS, **limits).result["job"]
    await_job(payload, job, lambda row: row["phase"] == "RUNNING" and row["step"] > 0)
    return job


@pytest.mark.verifies("VA-JOB-01", "VA-JOB-06", "VA-JOB-10")
def test_a_matmul_job_runs_and_leaves_verified_products(payload: Client, tmp_path: Path) -> None:
    before = payload.cursor()
    job = payload.submit("matmul", {"size": 128, "repeats": 3}).result["job"]
    done = payload.expect_event("jobs.job_done", where={"job": job}, after=before, timeout_s=90)
    assert done.arguments["products"] == 1
    payload.get(f"products/job-{job}/result.json", tmp_path / "result.json")
    assert (tmp_path / "result.json").stat().st_size == done.arguments["octets"]
    result = json.loads((tmp_path / "result.json").read_text())
    assert 0 < result["worst_residual"] < result["alarm_above"]
    assert result["wrong_products"] == {}
    row = await_done(payload, job)
    assert row["metrics"]["worst_residual"] == pytest.approx(result["worst_residual"])


@pytest.mark.verifies("VA-JOB-04")
def test_the_same_matmul_gives_the_same_digest_and_another_seed_another(
    payload: Client, tmp_path: Path
) -> None:
    digests = []
    for seed in (1, 1, 2):
        settings = {"size": 64, "repeats": 2, "seed": seed}
        job = payload.submit("matmul", settings).result["job"]
        await_done(payload, job)
        payload.get(f"products/job-{job}/result.json", tmp_path / "result.json")
        digests.append(json.loads((tmp_path / "result.json").read_text())["digest"])
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.verifies("VA-JOB-10")
def test_an_imaging_job_gives_the_statistics_that_numpy_gives(
    payload: Client, tmp_path: Path
) -> None:
    scene = np.random.default_rng(7).integers(100, 4000, (4, 64, 96), dtype=np.uint16)
    earlier = scene.copy()
    earlier[1, 10:20, 10:20] = 4000
    for name, image in (("scene", scene), ("earlier", earlier)):
        np.save(tmp_path / f"{name}.npy", image)
        payload.put(tmp_path / f"{name}.npy", f"images/{name}.npy")
    settings = {"scene": "images/scene.npy", "earlier": "images/earlier.npy"}
    job = payload.submit("imaging", settings).result["job"]
    await_done(payload, job)
    for name in ("report.json", "index.npy", "change.pgm"):
        payload.get(f"products/job-{job}/{name}", tmp_path / name)
    report = json.loads((tmp_path / "report.json").read_text())
    low, high = scene[0].astype(np.float64), scene[1].astype(np.float64)
    expected = (high - low) / (high + low)
    assert report["index"]["mean"] == pytest.approx(expected.mean(), abs=1e-6)
    assert report["index"]["deviation"] == pytest.approx(expected.std(), abs=1e-6)
    assert report["index"]["known"] == expected.size
    np.testing.assert_allclose(np.load(tmp_path / "index.npy"), expected, atol=1e-6)
    mask = np.frombuffer((tmp_path / "change.pgm").read_bytes()[-64 * 96 :], np.uint8)
    changed = mask.reshape(64, 96) > 0
    assert 0 < report["change"]["changed"] == changed.sum()
    assert not changed[20:].any()


@pytest.mark.verifies("VA-JOB-06")
def test_a_nanogpt_job_brings_home_weights_a_sample_and_a_falling_loss(
    payload: Client, tmp_path: Path
) -> None:
    (tmp_path / "text.txt").write_text(shakespeare_or_prose(30_000)[1], encoding="utf-8")
    payload.put(tmp_path / "text.txt", "texts/text.txt")
    settings = {
        "text": "texts/text.txt",
        "steps": 120,
        "configuration": "TINY",
        "sample_length": 60,
        "warm_up": 5,
        "learning_rate": 0.01,
    }
    job = payload.submit("nanogpt", settings).result["job"]
    row = await_done(payload, job)
    assert row["step"] == row["total"] == 120
    for name in ("weights.npz", "sample.txt", "training.json"):
        payload.get(f"products/job-{job}/{name}", tmp_path / name)
    with np.load(tmp_path / "weights.npz") as weights:
        assert all(np.isfinite(weights[name]).all() for name in weights.files if
                   weights[name].dtype.kind == "f")  # fmt: skip
        assert sum(weights[name].size for name in weights.files) > 10_000
    assert len((tmp_path / "sample.txt").read_text(encoding="utf-8")) >= 60
    assert row["metrics"]["loss"] < 3.6


def test_a_paused_job_stands_still_until_it_is_resumed_and_a_cancelled_one_ends(
    payload: Client, tmp_path: Path
) -> None:
    job = _running(payload)
    payload.send("jobs.pause", {"job": job})
    held = await_job(payload, job, lambda row: row["phase"] == "PAUSED")
    other = payload.submit("matmul", {"size": 32, "repeats": 1}).result["job"]
    await_done(payload, other)  # the paused one left its slot to it
    payload.jobs(refresh=True)
    assert await_job(payload, job, lambda row: row["phase"] == "PAUSED")["step"] == held["step"]
    payload.send("jobs.resume", {"job": job})
    await_job(payload, job, lambda row: row["step"] > held["step"])
    before = payload.cursor()
    payload.send("jobs.cancel", {"job": job})
    payload.expect_event("jobs.job_cancelled", where={"job": job}, after=before, timeout_s=90)
    with pytest.raises(TransferFailed):
        payload.get(f"products/job-{job}/result.json", tmp_path / "none")


@pytest.mark.verifies("VA-JOB-07")
def test_every_transition_of_a_job_is_an_event(payload: Client) -> None:
    before = payload.cursor()
    job = payload.submit("matmul", {"size": 64, "repeats": 500}).result["job"]
    payload.expect_event("jobs.job_done", where={"job": job}, after=before, timeout_s=90)
    names = [
        event.name.removeprefix("jobs.job_")
        for event in payload.events(before)
        if event.arguments.get("job") == job
    ]
    assert names == ["queued", "starting", "started", "finishing", "done"]


def test_safe_mode_holds_every_job_until_the_mode_is_nominal_again(payload: Client) -> None:
    job = _running(payload)
    payload.send("commands.arm", {"apid": 1, "opcode": 2})
    payload.send("commands.set_mode", {"mode": "SAFE"})
    try:
        held = await_job(payload, job, lambda row: row["phase"] == "PAUSED")
        assert "safe" in held["reason"].lower()
    finally:
        payload.send("commands.arm", {"apid": 1, "opcode": 2})
        payload.send("commands.set_mode", {"mode": "NOMINAL"})
    await_job(payload, job, lambda row: row["step"] > held["step"])
    payload.send("jobs.cancel", {"job": job})
    await_job(payload, job, lambda row: row["phase"] == "CANCELLED")


def test_a_job_of_higher_priority_goes_first(payload: Client) -> None:
    low = _running(payload, priority=1)
    high = payload.submit("matmul", {"size": 32, "repeats": 2}, priority=9).result["job"]
    await_done(payload, high)
    await_job(payload, low, lambda row: row["phase"] == "RUNNING")
    payload.send("jobs.cancel", {"job": low})
    await_job(payload, low, lambda row: row["phase"] == "CANCELLED")


def test_wrong_jobs_are_refused_before_they_are_sent(payload: Client) -> None:
    with pytest.raises(CommandRefused, match="did you mean 'matmul'"):
        payload.submit("matmull", {})
    with pytest.raises(CommandRefused, match=r"size.*2.*8192"):
        payload.submit("matmul", {"size": 1})
    with pytest.raises(CommandRefused, match="needs scene"):
        payload.submit("imaging", {})


@pytest.mark.verifies("VA-JOB-07")
def test_a_job_whose_input_is_not_there_fails_with_the_reason(payload: Client) -> None:
    before = payload.cursor()
    job = payload.submit("imaging", {"scene": "images/nowhere.npy"}).result["job"]
    failed = payload.expect_event("jobs.job_failed", where={"job": job}, after=before, timeout_s=90)
    assert "images/nowhere.npy" in failed.arguments["reason"]


@pytest.mark.verifies("VA-JOB-02")
def test_a_job_that_passes_its_wall_time_is_ended_and_says_so(payload: Client) -> None:
    before = payload.cursor()
    job = payload.submit("matmul", ENDLESS, wall_s=1).result["job"]
    ended = payload.expect_event("jobs.job_expired", where={"job": job}, after=before, timeout_s=90)
    assert "used up its 1 s" in ended.arguments["reason"]


@pytest.mark.verifies("VA-JOB-02")
def test_a_job_that_needs_more_memory_than_it_may_have_fails_with_the_reason(
    payload: Client,
) -> None:
    before = payload.cursor()
    settings = {"size": 8192, "repeats": 1, "precision": "FLOAT64"}
    job = payload.submit("matmul", settings, memory_mb=400).result["job"]
    failed = payload.expect_event("jobs.job_failed", where={"job": job}, after=before, timeout_s=90)
    assert "memory" in failed.arguments["reason"].lower()
