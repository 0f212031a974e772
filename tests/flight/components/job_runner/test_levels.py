"""Protection levels of jobs: asked, kept, written to the page, changed; and what they found."""

from __future__ import annotations

import json
import zlib
from typing import Any

import pytest

from flight.components.job_runner import stimuli as s
from flight.components.job_runner.protection_counts import LARGEST, NAMES, NO_COUNTS, Ledger
from flight.components.job_runner.records import JobPhase, JobRecord
from flight.components.job_runner.simulated import Behaviour
from flight.components.job_runner.table_file import TABLE, TableError, decode, encode
from flight.fault_tolerance.levels import Level, Protection
from flight.framework.time_units import SECOND
from icd.dictionary import Severity
from tests.flight.support.job_runner_harness import JobBench

P = JobPhase
NONE, ABFT, DMR, TMR = Level


def tally(**counts: int) -> tuple[int, ...]:
    return tuple(counts.get(name, 0) for name in NAMES)


def found(bench: JobBench, job: int, **counts: int) -> None:
    """The job's process says so in its page."""
    page = bench.launcher.pages[job]
    page.status = page.status._replace(tally=tally(**counts))


def row(bench: JobBench, job: int) -> dict[str, Any]:
    """The newest status report of a job."""
    entry = next(r for r in bench.runner.declaration.reports if r.name == "status")
    names = [field.name for field in entry.fields]
    rows = [dict(zip(names, values, strict=True)) for values in bench.bench.reports("status")]
    return [one for one in rows if one["job"] == job][-1]


@pytest.fixture
def bench() -> JobBench:
    return JobBench(Behaviour(steps=100))


def running(bench: JobBench, **options: Any) -> int:
    job = bench.submitted(**options)
    bench.until_phase(job, P.RUNNING)
    return job


# ---------------------------------------------------------------- levels


@pytest.mark.verifies("VA-LVL-01")
@pytest.mark.parametrize(
    ("protection", "level"),
    [
        (Protection.NONE, NONE),
        (Protection.ABFT, ABFT),
        (Protection.DMR, DMR),
        (Protection.TMR, TMR),
        (Protection.ADAPTIVE, ABFT),
    ],
)
def test_a_job_runs_at_the_level_that_was_asked_for_from_its_launch_on(
    bench: JobBench, protection: Protection, level: Level
) -> None:
    job = running(bench, protection=protection)
    assert bench.launcher.launches[-1]["level"] == level
    assert bench.launcher.pages[job].status.level is level
    assert (row(bench, job)["protection"], row(bench, job)["level"]) == (protection, level)


@pytest.mark.verifies("VA-LVL-02")
def test_a_running_job_is_told_another_level_and_a_waiting_one_begins_with_it(
    bench: JobBench,
) -> None:
    first = running(bench)
    second = bench.submitted()
    for job in (first, second):
        bench.bench.do("set_protection", job, Protection.TMR)
    bench.run_for(0.5)
    assert bench.launcher.pages[first].status.level is TMR
    assert bench.told("protection_set")[0] == (first, Protection.TMR, TMR)
    assert row(bench, first)["level"] == TMR
    bench.bench.do("cancel", first)
    bench.until_phase(second, P.RUNNING)
    assert bench.launcher.launches[-1]["level"] == TMR


@pytest.mark.verifies("VA-LVL-03")
def test_adaptive_jobs_follow_the_level_that_radiation_calls_for_and_others_do_not(
    bench: JobBench,
) -> None:
    bench.runner.set_parameters([(0, 2)])
    adaptive = running(bench)
    fixed = running(bench, protection=Protection.ABFT)
    bench.runner.adapt(DMR)
    bench.run_for(0.5)
    levels = [bench.launcher.pages[job].status.level for job in (adaptive, fixed)]
    assert levels == [DMR, ABFT]
    assert row(bench, adaptive)["level"] == DMR
    assert bench.runner.hk.level is DMR
    later = bench.submitted()
    bench.bench.do("cancel", adaptive)
    bench.until_phase(later, P.RUNNING)
    assert bench.launcher.launches[-1]["level"] == DMR


@pytest.mark.verifies("VA-LVL-03")
def test_after_a_restart_of_the_executive_a_running_job_is_told_its_level_again(
    bench: JobBench,
) -> None:
    job = running(bench, protection=Protection.TMR)
    page = bench.launcher.pages[job]
    page.protect(NONE)
    bench.restart()
    bench.until(lambda: page.status.level is TMR)
    assert bench.runner.core.jobs[job].protection is Protection.TMR


def test_a_level_in_the_page_that_is_none_is_shown_as_the_one_that_was_asked(
    bench: JobBench,
) -> None:
    job = running(bench, protection=Protection.DMR)
    page = bench.launcher.pages[job]
    page.status = page.status._replace(level=200)
    bench.run_for(1)
    assert row(bench, job)["level"] == DMR


def test_the_protection_of_a_job_that_ended_is_not_changed(bench: JobBench) -> None:
    bench.launcher.default = Behaviour(steps=2)
    job = bench.submitted()
    bench.until_phase(job, P.DONE)
    asker = bench.bench.do("set_protection", job, Protection.DMR)
    assert "its results are computed already" in asker.reason


@pytest.mark.verifies("VA-LVL-01")
def test_a_table_from_before_there_were_levels_is_read() -> None:
    octets = encode([JobRecord(3, 7, 5, 100, 100, b"", P.RUNNING, pid=8)], 4)
    body = json.loads(octets.split(b"\n")[1])
    for name in ("protection", "tally", "told", "metrics"):
        del body["jobs"][0][name]
    old = json.dumps(body).encode()
    head = json.dumps({"format": 1, "crc32": zlib.crc32(old)}).encode()
    (record,) = decode(head + b"\n" + old + b"\n").records
    assert (record.id, record.protection, record.tally) == (3, Protection.ADAPTIVE, NO_COUNTS)
    assert record.metrics == (None,) * 8


@pytest.mark.parametrize(
    "wrong",
    [
        {"protection": 9},
        {"tally": [-1]},
        {"told": ["x"]},
        {"tally": 5},
        {"told": [1 << 70]},
        {"metrics": ["x"]},
        {"metrics": 5},
    ],
)
def test_a_table_whose_levels_make_no_sense_is_none(wrong: dict[str, Any]) -> None:
    octets = encode([JobRecord(3, 7, 5, 100, 100, b"")], 4)
    body = json.loads(octets.split(b"\n")[1])
    body["jobs"][0] |= wrong
    new = json.dumps(body).encode()
    head = json.dumps({"format": 1, "crc32": zlib.crc32(new)}).encode()
    with pytest.raises(TableError):
        decode(head + b"\n" + new)


# ---------------------------------------------------------------- what was found


@pytest.mark.verifies("VA-LVL-09")
def test_the_first_wrong_result_is_told_at_once_and_the_next_ones_together_a_minute_later(
    bench: JobBench,
) -> None:
    bench.launcher.default = Behaviour(steps=2000)
    job = running(bench)
    found(bench, job, checks=10, wrong=1, recomputed=1)
    bench.step()
    assert bench.told("results_repaired") == [(job, 1, 0, 1, 0, 0)]
    assert bench.bench.severity("results_repaired") is Severity.MEDIUM
    for more in range(2, 52):
        found(bench, job, checks=10 * more, wrong=more, recomputed=1, corrected=more - 1)
        bench.run_for(1)
    assert len(bench.told("results_repaired")) == 1
    bench.run_for(15)
    assert bench.told("results_repaired")[1:] == [(job, 50, 50, 0, 0, 0)]
    shown = row(bench, job)
    assert (shown["checks"], shown["wrong"], shown["repaired"]) == (510, 51, 51)
    hk = bench.runner.hk
    assert (hk.wrong, hk.corrected, hk.recomputed) == (51, 50, 1)


@pytest.mark.verifies("VA-LVL-09")
def test_what_could_not_be_made_right_is_told_at_once_and_highly(bench: JobBench) -> None:
    job = running(bench)
    found(bench, job, known_answers=3, known_wrong=1)
    bench.step()
    found(bench, job, known_answers=3, known_wrong=1, blocks_lost=2)
    bench.run_for(1.1)
    assert bench.told("protection_failed") == [(job, 1, 0), (job, 0, 2)]
    assert bench.bench.severity("protection_failed") is Severity.HIGH
    assert row(bench, job)["lost"] == 3


@pytest.mark.verifies("VA-LVL-10")
def test_a_page_that_counts_without_end_floods_nobody(bench: JobBench) -> None:
    bench.launcher.default = Behaviour(steps=3000)
    job = running(bench)
    for step in range(1, 1200):
        found(bench, job, wrong=step << 40, blocks_lost=step << 44, known_wrong=LARGEST)
        bench.step()
    assert len(bench.told("results_repaired")) == 1
    assert len(bench.told("protection_failed")) <= 61
    assert bench.runner.hk.wrong == 1199 << 40
    assert bench.phase(job) is P.RUNNING


@pytest.mark.verifies("VA-LVL-10")
@pytest.mark.parametrize("after", [tally(wrong=2), (1, 2), (0,) * 40])
def test_a_process_that_takes_counts_back_is_told_once_and_not_believed_any_more(
    bench: JobBench, after: tuple[int, ...]
) -> None:
    job = running(bench)
    found(bench, job, wrong=3)
    bench.step()
    page = bench.launcher.pages[job]
    for counts in (after, tally(wrong=900), after):
        page.status = page.status._replace(tally=counts)
        bench.run_for(0.3)
    assert bench.told("tally_refused") == [(job,)]
    assert bench.runner.hk.wrong == 3
    assert bench.runner.hk.messages_refused == 1


@pytest.mark.verifies("VA-LVL-09")
def test_counts_go_on_over_attempts_and_stand_in_the_manifest(bench: JobBench) -> None:
    job = running(bench)
    found(bench, job, checks=7, wrong=2, recomputed=2)
    bench.step()
    bench.launcher.running[job].kill(9)
    bench.until_phase(job, P.WAITING)
    bench.launcher.behaviours[job] = Behaviour(steps=20)
    bench.until_phase(job, P.RUNNING)
    found(bench, job, checks=5, wrong=1, corrected=1)
    bench.until_phase(job, P.DONE)
    said = bench.manifest(job)["protection"]
    assert said["asked"] == "ADAPTIVE"
    assert {name: count for name, count in said["found"].items() if count} == {
        "checks": 12,
        "wrong": 3,
        "recomputed": 2,
        "corrected": 1,
    }
    assert bench.told("results_repaired") == [(job, 2, 0, 2, 0, 0), (job, 1, 1, 0, 0, 0)]
    assert row(bench, job)["wrong"] == 3


@pytest.mark.verifies("VA-LVL-09")
def test_a_restart_of_the_executive_tells_nothing_twice_and_loses_nothing(
    bench: JobBench,
) -> None:
    job = running(bench)
    found(bench, job, wrong=2, recomputed=2)
    bench.run_for(0.5)
    bench.restart()
    found(bench, job, wrong=5, recomputed=5)
    bench.until(lambda: bench.runner.hk.wrong)
    assert bench.told("results_repaired") == [(job, 2, 0, 2, 0, 0), (job, 3, 0, 3, 0, 0)]
    assert bench.runner.hk.wrong == 3
    assert json.loads(bytes(bench.storage.files[TABLE]).split(b"\n")[1])["jobs"][0]["told"][1] == 5


def test_a_clock_that_goes_back_holds_no_event_back() -> None:
    ledger = Ledger()
    ledger.take(tally(wrong=1))
    assert len(ledger.news(100 * SECOND)) == 1
    ledger.take(tally(wrong=2))
    assert ledger.news(101 * SECOND) == []
    assert len(ledger.news(50 * SECOND)) == 1


def test_sums_stay_at_their_largest() -> None:
    ledger = Ledger(gone=tally(wrong=LARGEST - 1))
    ledger.take(tally(wrong=5))
    assert ledger.total == tally(wrong=LARGEST)


def test_the_same_level_again_tells_no_process(bench: JobBench) -> None:
    job = running(bench)
    core = bench.runner.core
    out = core.step(bench.bench.now, s.Adapt(TMR))
    assert s.SetLevel(job, TMR) in out
    assert core.step(bench.bench.now, s.Adapt(TMR)) == ()
