"""Upsets in stored files: what can be is set right, for jobs and for ground; the rest is said."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from examples.session import Session
from ground.client.client import Client
from ground.errors import TransferFailed
from tests.mission.conftest import cleanly, start
from tests.mission.watching import await_done, await_job, job_row, kill, until

pytestmark = [pytest.mark.control, pytest.mark.xdist_group("protected files")]
WORK = {"size": 256, "repeats": 1000, "seed": 3}
"""Some seconds of work: it is paused after its first steps and before its last."""


@pytest.fixture(scope="module")
def own(board_name: str) -> Iterator[Session]:
    """A payload whose files are damaged."""
    with cleanly(board_name) as session:
        start(session)
        yield session


@pytest.fixture(scope="module")
def flown(own: Session) -> Iterator[Client]:
    """Its client; commits go to the disk soon, and a job that failed is tried again soon."""
    with own.start_ground() as client:
        client.send("jobs.set", {"back_off_s": 0.1, "disk_interval_s": 0.1})
        yield client


def hit(path: Path, *places: int, octets: int = 64) -> None:
    """A burst at each place of a file, none where the file ends before."""
    content = bytearray(path.read_bytes())
    for at in places:
        wrong = content[at : at + octets]
        content[at : at + octets] = bytes(octet ^ 0xA5 for octet in wrong)
    path.write_bytes(content)


def done(payload: Client, settings: dict[str, Any]) -> int:
    job: int = payload.submit("matmul", settings).result["job"]
    await_done(payload, job)
    return job


def fetched(payload: Client, remote: str, folder: Path) -> bytes:
    payload.get(remote, folder / "fetched")
    return (folder / "fetched").read_bytes()


@pytest.mark.verifies("VA-EDC-01")
def test_a_job_goes_on_from_a_stored_commit_that_was_hit_to_the_same_product(
    own: Session, flown: Client, tmp_path: Path
) -> None:
    undisturbed = done(flown, WORK)
    expected = json.loads(fetched(flown, f"products/job-{undisturbed}/result.json", tmp_path))
    cursor = flown.cursor()
    job = flown.submit("matmul", WORK).result["job"]
    await_job(flown, job, lambda row: row["phase"] == "RUNNING" and row["step"] > 5)
    flown.send("jobs.pause", {"job": job})
    row = await_job(flown, job, lambda row: row["phase"] == "PAUSED")
    until(lambda: kept_step(flown, job) == row["step"], 20.0, "its last commit on the disk")
    kill(row["pid"])
    await_job(flown, job, lambda row: row["phase"] == "WAITING")
    for path in stored_commits(own, job):
        hit(path, 10, 300)
    flown.send("jobs.resume", {"job": job})
    await_done(flown, job)
    repaired = flown.expect_event("files.file_repaired", after=cursor, timeout_s=90)
    assert repaired.arguments["path"].startswith(f"state/jobs/{job}/commit.")
    begun = [event for event in flown.events(after=cursor) if event.name == "jobs.job_started"]
    assert begun[-1].arguments["step"] > 5
    result = json.loads(fetched(flown, f"products/job-{job}/result.json", tmp_path))
    assert result["digest"] == expected["digest"]


def kept_step(payload: Client, job: int) -> int:
    """The step of the commit that the payload knows to be on the disk."""
    payload.send("jobs.list")
    return int(job_row(payload, job)["commit_step"])


def stored_commits(session: Session, job: int) -> list[Path]:
    return sorted((session.state / "jobs" / str(job)).glob("commit.?"))


@pytest.mark.verifies("VA-EDC-03", "VA-EDC-05", "VA-EDC-06")
def test_a_product_that_was_hit_comes_down_right_and_an_event_tells(
    own: Session, flown: Client, tmp_path: Path
) -> None:
    job = done(flown, {"size": 32, "repeats": 2})
    remote = f"products/job-{job}/result.json"
    stored = own.state / "files" / remote
    sound = stored.read_bytes()
    assert stored.with_name("result.json.edac").exists()
    assert json.loads(stored.with_name("manifest.json").read_text())["unprotected"] == []
    hit(stored, 64)
    cursor = flown.cursor()
    found = flown.send("files.verify", {"path": remote}).result
    assert (found["protected"], found["corrected"], found["repaired"]) == (True, 1, False)
    assert fetched(flown, remote, tmp_path) == sound == stored.read_bytes()
    repaired = flown.expect_event("files.file_repaired", after=cursor, timeout_s=90)
    assert repaired.arguments == {"path": remote, "blocks": 1, "bits": found["bits"]}
    hit(stored, 64)
    assert flown.send("files.repair", {"path": remote}).result["repaired"] is True
    assert stored.read_bytes() == sound
    rows = flown.files(f"products/job-{job}")
    assert sorted(row["path"].rpartition("/")[2] for row in rows) == [
        "manifest.json",
        "result.json",
    ]


@pytest.mark.verifies("VA-EDC-04", "VA-EDC-05")
def test_a_file_beyond_repair_is_refused_to_ground_and_to_jobs(
    own: Session, flown: Client, tmp_path: Path
) -> None:
    text = tmp_path / "text.txt"
    text.write_text("To be, or not to be, that is the question. " * 200)
    flown.put(text, "in/text.txt")
    stored = own.state / "files" / "in" / "text.txt"
    assert stored.with_name("text.txt.edac").exists()
    hit(stored, 10, 1000, octets=900)
    cursor = flown.cursor()
    with pytest.raises(TransferFailed, match="cannot be corrected"):
        flown.get("in/text.txt", tmp_path / "got")
    damaged = flown.expect_event("files.file_damaged", after=cursor, timeout_s=90)
    assert damaged.arguments["path"] == "in/text.txt"
    assert damaged.arguments["lost"] > 0
    job = flown.submit("nanogpt", {"text": "in/text.txt", "configuration": "TINY"}).result["job"]
    failed = flown.expect_event("jobs.job_failed", where={"job": job}, after=cursor, timeout_s=90)
    assert "'in/text.txt' is damaged beyond repair; put it there again" in failed.text
    flown.put(text, "in/text.txt")
    assert fetched(flown, "in/text.txt", tmp_path) == text.read_bytes()
