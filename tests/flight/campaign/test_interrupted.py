"""A campaign that is killed, for real, goes on to the same results and leaves no process behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from flight.campaign import plan, results
from flight.campaign.trials import Trials
from tests.flight.support.processes import wait_for

pytestmark = pytest.mark.numerical

CAMPAIGN = """\
name = "killed"
seed = 8
trials = 1_500
timed_runs = 0
levels = ["none", "edac"]
[kernel.matmul]
rows = 8
inner = 8
columns = 8
"""


@pytest.mark.verifies("VA-CAM-05")
@pytest.mark.slow
def test_a_campaign_that_is_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    source, out = tmp_path / "killed.toml", tmp_path / "out"
    source.write_text(CAMPAIGN)
    command = [sys.executable, "-m", "flight", "campaign", str(source), "--out", str(out)]
    kept = out / results.FILE
    with subprocess.Popen([*command, "--jobs", "2"], stderr=subprocess.DEVNULL) as running:
        wait_for(lambda: kept.exists() and kept.stat().st_size > 10_000, 60)
        workers = psutil.Process(running.pid).children(recursive=True)
        os.kill(running.pid, signal.SIGKILL)
    assert not psutil.wait_procs(workers, timeout=60)[1]
    before = len(list(results.read(out)))
    assert 0 < before < 3_000

    again = subprocess.run([*command, "--jobs", "1"], check=True, capture_output=True, text=True)
    assert f"{before:,} of 3,000 trials" in again.stderr
    records = list(results.read(out))
    laboratory = Trials(plan.loads(CAMPAIGN))
    assert [record["trial"] for record in records] == list(range(3_000))
    for record in records[before - 5 : before + 5]:
        prepared = laboratory.prepare(record["trial"])
        assert record == prepared.record(laboratory.run(prepared))
