"""Jobs outlive the executive and the launcher, and never the supervisor."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from toy_jobs import JOB, Parameters

from flight.components.job_runner.worker.status_page import StatusPages
from tests.flight.support.processes import Payload, is_alive, wait_for

SUPPORT = Path(__file__).parents[2] / "support"


class JobPayload(Payload):
    """A supervisor, an executive double, and the real launcher with one job that goes on."""

    def __init__(self, folder: Path) -> None:
        configuration = folder / "launcher.json"
        configuration.write_text(json.dumps({"run_dir": str(folder / "run")}))
        launcher = {
            "name": "launcher",
            "argv": [
                sys.executable,
                "-m",
                "flight.components.job_runner.worker.launcher",
                str(configuration),
            ],
            "env": {"PYTHONPATH": f"{SUPPORT.parents[2]}{os.pathsep}{SUPPORT}"},
            "channel": True,
        }
        super().__init__(folder, processes=[launcher])
        self.ready()

    def launch(self) -> int:
        """Launch a job that beats until it is told otherwise; returns its pid."""
        body = {
            "id": 1,
            "job_id": 7,
            "entry": "toy_jobs:patient",
            "declaration": "toy_jobs:JOB",
            "parameters": JOB.pack(Parameters()).hex(),
            "folder": str(self.run / "jobs" / "7"),
        }
        self.order("launcher", kind="launch", body=body)
        return int(wait_for(lambda: self.notes("launcher launched"))[0][3]["pid"])

    def heartbeat(self) -> int:
        page = StatusPages(self.run).open(7)
        assert page is not None
        status = page.read()
        page.close()
        assert status is not None
        return status.heartbeat

    def await_beat(self) -> None:
        before = self.heartbeat()
        wait_for(lambda: self.heartbeat() > before)

    def tables(self) -> list[dict[str, Any]]:
        return [note[3] for note in self.notes("launcher table")]


@pytest.fixture
def payload(tmp_path: Path) -> Iterator[JobPayload]:
    flying = JobPayload(tmp_path)
    yield flying
    flying.close()


@pytest.mark.verifies("VA-SUP-02")
def test_a_job_outlives_the_executive_and_is_in_the_table_of_the_next(payload: JobPayload) -> None:
    job = payload.launch()
    executive = payload.ready()["executive_pid"]
    os.kill(executive, signal.SIGKILL)
    table = wait_for(lambda: payload.tables()[1:])[0]
    assert [row[:2] for row in table["jobs"]] == [[7, job]]
    payload.await_beat()
    assert payload.stop() == 0
    assert not is_alive(job)


@pytest.mark.slow
def test_a_job_outlives_the_launcher_and_the_supervisor_reaps_it(payload: JobPayload) -> None:
    job = payload.launch()
    payload.await_beat()
    os.kill(payload.ready()["workers"]["launcher"], signal.SIGKILL)
    table = wait_for(lambda: payload.tables()[1:])[0]
    assert [row[:2] for row in table["jobs"]] == [[7, job]]
    payload.await_beat()
    payload.order("launcher", kind="kill", body={"job_id": 7, "signal": 9})
    exited = wait_for(lambda: payload.notes("launcher exited"))
    assert exited[0][3]["reason"] == "asked"
    wait_for(lambda: not Path(f"/proc/{job}").exists())
    assert payload.stop() == 0


@pytest.mark.verifies("VA-SUP-04")
def test_a_job_ends_with_the_supervisor(payload: JobPayload) -> None:
    job = payload.launch()
    payload.await_beat()
    payload.process.kill()
    wait_for(lambda: not is_alive(job))
