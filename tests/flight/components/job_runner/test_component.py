"""Jobs from submission to products, with storage, launcher and jobs simulated."""

from __future__ import annotations

import hashlib
import zlib

import pytest

from flight.components.job_runner.component import LOG_LENGTH, JobRunner
from flight.components.job_runner.lifecycle import JobLifecycle
from flight.components.job_runner.records import JobPhase
from flight.components.job_runner.simulated import SIGKILL, SIGTERM, Behaviour
from flight.framework.lifecycle import Tell, replay
from flight.framework.ports import WorkerMessage
from icd.failures import FailureCode
from tests.flight.support.job_runner_harness import JOBS, JobBench

P = JobPhase


@pytest.mark.verifies("VA-JOB-01", "VA-JOB-06", "VA-JOB-07")
def test_a_job_goes_from_its_submission_to_checked_products() -> None:
    bench = JobBench()
    job = bench.submitted()
    bench.until_phase(job, P.DONE)
    bench.run_for(1)
    names = [name for name, *_ in bench.bench.events() if name.startswith("job_")]
    assert names == [
        "job_queued",
        "job_starting",
        "job_started",
        "job_finishing",
        "job_done",
    ]
    manifest = bench.manifest(job)
    assert manifest["parameters"] == {"size": 10}
    assert manifest["files"]["result.json"] == {
        "size": 2,
        "crc32": zlib.crc32(b"{}"),
        "sha256": hashlib.sha256(b"{}").hexdigest(),
    }
    assert bench.product(job, "result.json") == b"{}"
    assert bench.launcher.exits == {}, "the launcher was told to forget the end"
    assert not any(path.startswith("run/jobs/1/") for path in bench.storage.files)


def test_a_submission_is_answered_only_when_it_is_durable() -> None:
    bench = JobBench()
    bench.until(lambda: bench.runner.core.table.is_synced)
    bench.storage.is_hung = True
    asker = bench.submit()
    bench.run_for(2)
    assert not asker.is_answered
    assert bench.launcher.launches == []
    bench.storage.is_hung = False
    bench.until(lambda: asker.is_answered)
    assert asker.result.job == 1


@pytest.mark.verifies("VA-JOB-01")
@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        ({"kind": 99}, FailureCode.NOT_FOUND, "known: 7 plain, 8 reader"),
        ({"fragment": 5}, FailureCode.REFUSED, "fetch the dictionary again"),
        ({"arguments": b"\x00\x65"}, FailureCode.ARGUMENT_RANGE, "size = 101 m; give 1 … 100 m"),
        ({"arguments": b"\x00"}, FailureCode.ARGUMENT_LENGTH, "size (u16)"),
        ({"wall_s": 1001}, FailureCode.ARGUMENT_RANGE, "give 1 … 1000 s"),
        ({"memory_mb": 101}, FailureCode.ARGUMENT_RANGE, "give 1 … 100 MiB"),
        (
            {"kind": 8, "arguments": b"../../keys".ljust(64, b"\0")},
            FailureCode.ARGUMENT_RANGE,
            "text: the path is not normalised",
        ),
        ({"kind": 8, "arguments": bytes(64)}, FailureCode.ARGUMENT_TYPE, "text is empty"),
    ],
)
def test_a_wrong_submission_is_refused_with_what_to_write_instead(
    options: dict[str, object], code: FailureCode, words: str
) -> None:
    bench = JobBench()
    bench.until(lambda: bench.runner.core.table.is_restored)
    asker = bench.submit(**options)  # type: ignore[arg-type]
    assert asker.code is code
    assert words in asker.reason
    assert bench.runner.hk.refused == 1
    assert bench.runner.core.jobs == {}


def test_orders_before_the_table_is_read_are_refused_with_the_reason() -> None:
    bench = JobBench()
    assert "still being read" in bench.submit().reason
    assert "still being read" in bench.bench.do("cancel", 1).reason


def test_an_order_for_no_job_or_in_the_wrong_phase_says_what_would_be_right() -> None:
    bench = JobBench()
    job = bench.submitted()
    assert bench.bench.do("pause", 9).code is FailureCode.NOT_FOUND
    assert "cancel it first" in bench.bench.do("forget", job).reason
    bench.until_phase(job, P.DONE)
    assert "nothing left to cancel" in bench.bench.do("cancel", job).reason


def test_inputs_are_checked_against_the_file_store_before_the_start() -> None:
    bench = JobBench(Behaviour(outputs={}))
    arguments = b"inputs/text".ljust(32, b"\0") + bytes(32)
    missing = bench.submitted(kind=8, arguments=arguments)
    bench.until_phase(missing, P.FAILED)
    assert bench.told("job_failed")[-1][2] == (
        "text: the file store has no 'inputs/text'; put it there first"
    )
    bench.put("inputs/text", b"to be")
    found = bench.submitted(kind=8, arguments=arguments)
    bench.until_phase(found, P.DONE)
    assert bench.launcher.launches[-1]["inputs"] == {"text": "state/files/inputs/text"}
    assert bench.manifest(found)["inputs"]["text"]["crc32"] == zlib.crc32(b"to be")


def test_an_input_that_changed_since_the_job_began_stops_it() -> None:
    bench = JobBench(Behaviour(outputs={}, crash_at=5))
    bench.put("inputs/text", b"to be")
    job = bench.submitted(kind=8, arguments=b"inputs/text".ljust(32, b"\0") + bytes(32))
    bench.until(lambda: bench.told("job_retried"))
    bench.put("inputs/text", b"not to be")
    bench.until_phase(job, P.FAILED)
    assert "changed since the job began" in bench.told("job_failed")[-1][2]


# ---------------------------------------------------------------- one after the other


def test_jobs_run_one_after_the_other_the_highest_priority_first() -> None:
    bench = JobBench(Behaviour(steps=3))
    first, low, high = (bench.submitted(priority=p) for p in (10, 1, 5))
    bench.until_phase(low, P.DONE)
    assert [launch["job_id"] for launch in bench.launcher.launches] == [first, high, low]


def test_a_job_of_higher_priority_pauses_the_running_one_which_goes_on_afterwards() -> None:
    bench = JobBench(Behaviour(steps=30))
    low = bench.submitted(priority=1)
    bench.until_phase(low, P.RUNNING)
    high = bench.submitted(priority=9)
    bench.until_phase(high, P.RUNNING)
    assert bench.phase(low) is P.PAUSED
    assert bench.told("job_paused") == [(low, f"job {high} goes first")]
    bench.until_phase(low, P.DONE)
    assert bench.phase(high) is P.DONE
    assert len(bench.launcher.launches) == 2, "the paused one was not started again"


def test_a_running_job_gives_way_when_priorities_change() -> None:
    bench = JobBench(Behaviour(steps=50))
    running, waiting = bench.submitted(priority=5), bench.submitted(priority=5)
    bench.until_phase(running, P.RUNNING)
    bench.bench.do("set_priority", waiting, 6)
    bench.until_phase(waiting, P.RUNNING)
    assert bench.phase(running) is P.PAUSED


def test_two_slots_run_two_jobs() -> None:
    bench = JobBench(Behaviour(steps=30))
    bench.runner.set_parameters([(0, 2)])
    one, two, three = (bench.submitted() for _ in range(3))
    bench.until_phase(two, P.RUNNING)
    assert (bench.phase(one), bench.phase(three)) == (P.RUNNING, P.QUEUED)
    bench.step()
    assert (bench.runner.hk.running, bench.runner.hk.queued) == (2, 1)


# ---------------------------------------------------------------- pause, hold, cancel


def test_a_paused_job_stands_still_until_it_is_resumed() -> None:
    bench = JobBench()
    job = bench.submitted()
    bench.until_phase(job, P.RUNNING)
    bench.bench.do("pause", job)
    bench.until_phase(job, P.PAUSED)
    step = bench.runner.core.jobs[job].step
    bench.run_for(100)
    assert bench.runner.core.jobs[job].step == step
    assert bench.phase(job) is P.PAUSED, "a paused job may be silent and takes no time"
    bench.bench.do("resume", job)
    bench.until_phase(job, P.DONE)
    assert bench.told("job_resumed")


def test_a_queued_job_can_be_paused_and_says_why_it_waits() -> None:
    bench = JobBench(Behaviour(steps=30))
    bench.submitted()
    job = bench.submitted()
    bench.bench.do("pause", job)
    bench.step()
    assert bench.told("job_waiting") == [(job, "paused by telecommand")]
    bench.run_for(10)
    assert bench.phase(job) is P.WAITING
    bench.bench.do("resume", job)
    bench.until_phase(job, P.DONE)


def test_in_safe_mode_jobs_wait_and_afterwards_go_on() -> None:
    bench = JobBench(Behaviour(steps=20))
    running, queued = bench.submitted(), bench.submitted()
    bench.until_phase(running, P.RUNNING)
    bench.runner.hold("safe mode")
    bench.until_phase(running, P.PAUSED)
    assert bench.phase(queued) is P.WAITING
    assert (queued, "safe mode") in bench.told("job_waiting")
    bench.step()
    assert bench.runner.hk.is_held
    bench.runner.release()
    bench.until_phase(queued, P.DONE)
    assert bench.phase(running) is P.DONE


@pytest.mark.verifies("VA-RCV-11")
def test_a_recalled_job_goes_on_from_its_last_commit_once_jobs_may_run() -> None:
    bench = JobBench(Behaviour(steps=200, step_ns=10_000_000))
    job = bench.submitted()
    bench.until_phase(job, P.RUNNING)
    bench.run_for(0.5)
    bench.runner.hold("GPU reset")
    bench.runner.recall("XID 46", bench.bench.now)
    bench.run_for(1)
    assert bench.phase(job) is P.WAITING
    assert bench.launcher.kills == [(job, 9)]
    bench.runner.release()
    bench.until_phase(job, P.DONE)
    assert bench.launcher.launches[-1]["resume"]
    assert bench.runner.hk.retried == 0


@pytest.mark.verifies("VA-JOB-05")
def test_a_job_that_looks_at_its_page_is_cancelled_without_a_signal() -> None:
    bench = JobBench()
    job = bench.submitted()
    bench.until_phase(job, P.RUNNING)
    bench.bench.do("cancel", job)
    bench.until_phase(job, P.CANCELLED)
    assert bench.launcher.kills == []
    assert bench.told("job_cancelled") == [(job, "by telecommand")]
    assert bench.runner.hk.cancelled == 1


@pytest.mark.verifies("VA-JOB-05")
def test_a_deaf_job_is_ended_by_sigterm_after_the_grace_time() -> None:
    bench = JobBench(Behaviour(steps=1000, is_deaf=True))
    job = bench.submitted()
    bench.until_phase(job, P.RUNNING)
    began = bench.bench.now
    bench.bench.do("cancel", job)
    bench.until_phase(job, P.CANCELLED)
    assert bench.launcher.kills == [(job, SIGTERM)]
    assert 5.0 <= (bench.bench.now - began) / 1e9 < 5.5


@pytest.mark.verifies("VA-JOB-05")
def test_a_stubborn_job_is_ended_by_sigkill_two_seconds_later() -> None:
    bench = JobBench(Behaviour(steps=1000, is_deaf=True, is_stubborn=True))
    job = bench.submitted()
    bench.until_phase(job, P.RUNNING)
    began = bench.bench.now
    bench.bench.do("cancel", job)
    bench.until_phase(job, P.CANCELLED)
    assert bench.launcher.kills == [(job, SIGTERM), (job, SIGKILL)]
    assert 7.0 <= (bench.bench.now - began) / 1e9 < 7.5


def test_a_paused_and_a_queued_job_can_be_cancelled() -> None:
    bench = JobBench()
    paused, queued = bench.submitted(), bench.submitted()
    bench.until_phase(paused, P.RUNNING)
    bench.bench.do("cancel", queued)
    bench.bench.do("pause", paused)
    bench.until_phase(paused, P.PAUSED)
    bench.bench.do("cancel", paused)
    bench.until_phase(paused, P.CANCELLED)
    assert bench.phase(queued) is P.CANCELLED


def test_a_cancel_while_the_inputs_are_checked_never_launches() -> None:
    bench = JobBench()
    bench.runner.hold("safe mode")
    job = bench.submitted()
    bench.storage.is_hung = True
    bench.runner.release()
    assert bench.phase(job) is P.STARTING
    bench.bench.do("cancel", job)
    bench.storage.is_hung = False
    bench.run_for(2)
    assert bench.phase(job) is P.CANCELLED
    assert bench.launcher.launches == []


# ---------------------------------------------------------------- showing


def test_status_reports_follow_a_running_job_at_most_four_times_a_second() -> None:
    bench = JobBench(Behaviour(steps=200, step_ns=10_000_000))
    job = bench.submitted()
    bench.until_phase(job, P.RUNNING)
    before = len(bench.bench.reports("status"))
    bench.run_for(1.0)
    assert 3 <= len(bench.bench.reports("status")) - before <= 5
    row = bench.bench.reports("status")[-1]
    assert row[:3] == (job, 7, P.RUNNING)
    assert row[7] == 200
    assert row[9][0] > 0


def test_list_reports_every_job_as_there_is_room() -> None:
    bench = JobBench()
    jobs = [bench.submitted() for _ in range(4)]
    bench.bench.do("pause", jobs[0])
    bench.run_for(1)
    bench.bench.sent.clear()
    bench.bench.room = 2
    listed = bench.bench.do("list")
    assert listed.result.jobs == 4
    bench.step()
    assert len(bench.bench.reports("status")) == 2
    bench.bench.room = 1000
    bench.run_for(10)
    assert {row[0] for row in bench.bench.reports("status")} == set(jobs)


def test_with_nothing_to_do_the_runner_asks_to_be_left_alone() -> None:
    bench = JobBench()
    bench.run_for(2)
    assert bench.bench.step() is None
    assert bench.runner.hk.is_ready


# ---------------------------------------------------------------- the table


def test_a_finished_job_is_forgotten_without_its_products() -> None:
    bench = JobBench()
    job = bench.submitted()
    bench.until_phase(job, P.DONE)
    bench.bench.do("forget", job)
    bench.run_for(1)
    assert bench.runner.core.jobs == {}
    assert bench.product(job, "result.json") == b"{}"
    assert not any(path.startswith(f"state/jobs/{job}/") for path in bench.storage.files)
    assert bench.submitted() == job + 1, "numbers are not used again"


def test_a_full_table_forgets_the_oldest_finished_job_and_otherwise_refuses() -> None:
    bench = JobBench(Behaviour(steps=1), most_jobs=3)
    done = bench.submitted()
    bench.until_phase(done, P.DONE)
    bench.runner.hold("safe mode")
    for _ in range(3):
        bench.submitted()
    assert bench.told("job_forgotten") == [(done,)]
    asker = bench.submit()
    assert asker.code is FailureCode.QUEUE_FULL
    assert "cancel some" in asker.reason


@pytest.mark.parametrize("kind", ["exited", "launched", "table", "unkillable", "refused", "hi"])
@pytest.mark.parametrize(
    "body",
    [
        {},
        {"job_id": "1"},
        {"job_id": -1, "pid": 1},
        {"job_id": 1, "pid": 2**40},
        {"job_id": 1, "pid": "5", "start_time": None, "status": "x", "rss_peak": 0},
        {"jobs": [[1, 2]], "exited": []},
        {"jobs": 7, "exited": []},
        {"jobs": [], "exited": ["x"]},
        {"job_id": True, "pid": True},
    ],
)
def test_a_senseless_message_of_the_launcher_is_refused_and_counted(
    kind: str, body: dict[str, object]
) -> None:
    bench = JobBench()
    bench.run_for(1)
    bench.runner._message(WorkerMessage("launcher", kind, body))
    assert bench.runner.hk.messages_refused == 1
    assert bench.told("message_refused")[0][0] == kind


def test_messages_about_unknown_jobs_do_no_harm() -> None:
    bench = JobBench()
    bench.run_for(1)
    gone = {"job_id": 5, "pid": 9, "status": 0, "signal": None, "rss_peak": 0}
    bench.launcher.exits[5] = dict(gone)
    for kind, body in (
        ("exited", gone),
        ("launched", {"job_id": 6, "pid": 10, "start_time": 1}),
        ("table", {"jobs": [[7, 11, 1]], "exited": []}),
    ):
        bench.runner._message(WorkerMessage("launcher", kind, body))
    bench.run_for(1)
    assert bench.launcher.exits == {}
    assert bench.launcher.kills == [(6, SIGKILL), (7, SIGKILL)]
    assert bench.told("stray_ended") == [(6, 10), (7, 11)]


def test_the_recorded_stimuli_of_a_runner_bring_the_same_instructions_in_another_lifecycle() -> (
    None
):
    bench = JobBench(Behaviour(steps=15, crash_at=9))
    runner = bench.runner
    job = bench.submitted()
    bench.until_phase(job, P.RUNNING)
    bench.bench.do("pause", job)
    bench.until_phase(job, P.PAUSED)
    bench.bench.do("resume", job)
    bench.until(lambda: bench.told("job_retried"))
    bench.launcher.behaviours[job] = Behaviour(steps=15)
    bench.until_phase(job, P.DONE)
    assert len(runner.log) < LOG_LENGTH, "all of it is kept"
    another = JobLifecycle(runner.parameters.policy(bench.most_jobs))
    said = replay(another, runner.log)
    told = [(each.name, *each.values) for each in said if isinstance(each, Tell)]
    assert told == [tuple(event) for event in bench.bench.events()]
    assert another.jobs == runner.core.jobs
    assert another.table.runs == runner.core.table.runs


def test_every_event_that_the_lifecycle_tells_is_declared() -> None:
    declared = {entry.name for entry in JobRunner.declaration.events}
    assert len(declared) == 29
    assert set(JobRunner.declaration.commands) == set(range(1, 9))
    assert JobRunner.dictionary("jobs", 5).reports[0].name == "status"
    assert JOBS[7].fragment().hash
