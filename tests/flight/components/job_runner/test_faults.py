"""Jobs when something goes wrong: crashes, hangs, full disks, restarts, damaged tables."""

from __future__ import annotations

import pytest

from flight.components.job_runner.records import JobPhase, JobRecord
from flight.components.job_runner.simulated import SIGKILL, Behaviour, commit_octets
from flight.components.job_runner.table_file import (
    BACKUP,
    MARGIN,
    PIECE,
    TABLE,
    TORN,
    decode,
    encode,
)
from flight.framework.ports import StorageResult
from icd.failures import FailureCode
from tests.flight.support.job_runner_harness import JobBench

P = JobPhase


def resumed_from(bench: JobBench) -> list[str | None]:
    """The commit that each launch resumed from."""
    return [launch["resume"] for launch in bench.launcher.launches]


# ---------------------------------------------------------------- processes


@pytest.mark.verifies("VA-JOB-03")
def test_a_job_killed_by_signal_9_resumes_from_its_last_commit() -> None:
    bench = JobBench(Behaviour(steps=20))
    job = bench.submitted()
    bench.until(lambda: bench.runner.core.jobs[job].step >= 5)
    bench.launcher.running[job].kill(SIGKILL)
    bench.until_phase(job, P.DONE)
    assert resumed_from(bench) == [None, f"state/jobs/{job}/commit.A"]
    assert bench.told("job_retried")[0][:2] == (job, 1)
    assert "ended by signal 9 (SIGKILL)" in bench.told("job_retried")[0][3]
    assert bench.told("job_started")[1][3] >= 5


@pytest.mark.verifies("VA-JOB-03")
def test_a_hanging_job_is_killed_after_its_silence_and_tries_again() -> None:
    bench = JobBench()
    bench.launcher.behaviours[1] = Behaviour(hang_at=4)
    job = bench.submitted()
    bench.until(lambda: bench.runner.core.jobs[job].step == 4)
    silent = bench.bench.now
    bench.launcher.behaviours.clear()
    bench.until(lambda: bench.launcher.kills)
    assert bench.launcher.kills == [(job, SIGKILL)]
    assert 29.5 < (bench.bench.now - silent) / 1e9 < 31
    bench.until_phase(job, P.DONE)
    assert bench.told("job_retried")[0][3] == "no heartbeat for 30 s"


@pytest.mark.verifies("VA-JOB-03")
def test_a_poison_step_falls_back_once_and_then_stops() -> None:
    bench = JobBench(Behaviour(steps=300, crash_at=250, commit_every=10))
    job = bench.submitted()
    bench.until_phase(job, P.FAILED)
    assert len(bench.told("job_retried")) == 3
    assert bench.told("job_fell_back")[0][:2] == (job, 250)
    steps = [step for _, _, _, step in bench.told("job_started")]
    assert steps[1] == steps[2] == 250
    assert 0 < steps[3] < 250
    assert len(steps) == 4
    assert bench.told("job_failed") == [(job, 250, "ended by signal 11 (SIGSEGV)")]


def test_a_job_that_makes_progress_is_tried_again_without_end() -> None:
    bench = JobBench(Behaviour(steps=60))
    job = bench.submitted()
    for _ in range(6):
        before = bench.runner.core.jobs[job].step
        bench.until(
            lambda before=before: (  # type: ignore[misc]
                bench.phase(job) is P.RUNNING and bench.runner.core.jobs[job].step > before + 3
            )
        )
        bench.launcher.running[job].kill(SIGKILL)
    bench.until_phase(job, P.DONE)
    assert len(bench.told("job_retried")) == 6


def test_a_job_without_commits_fails_after_its_retries_with_the_reason() -> None:
    bench = JobBench(Behaviour(fail_at=3, commit_every=0))
    job = bench.submitted()
    bench.until_phase(job, P.FAILED)
    assert len(bench.launcher.launches) == 3
    assert bench.told("job_failed") == [(job, 3, "ValueError: the result is not finite")]
    bench.run_for(1)
    log = bench.storage.files[f"state/files/logs/job-{job}.log"]
    assert log == b"ValueError: the result is not finite\n"
    bench.bench.do("forget", job)
    bench.run_for(1)
    assert f"state/files/logs/job-{job}.log" not in bench.storage.files
    assert bench.runner.hk.failed == 1
    assert bench.runner.hk.retried == 2


@pytest.mark.verifies("VA-JOB-02")
def test_a_job_over_its_memory_limit_fails_at_once() -> None:
    bench = JobBench(Behaviour(memory_at=3))
    job = bench.submitted(memory_mb=64)
    bench.until_phase(job, P.FAILED)
    assert bench.launcher.launches[0]["limits"]["memory_mb"] == 64
    assert bench.told("job_failed")[0][2] == "went over its memory limit of 64 MiB"
    assert len(bench.launcher.launches) == 1


@pytest.mark.verifies("VA-JOB-02")
def test_a_job_that_uses_up_its_wall_time_expires() -> None:
    bench = JobBench(Behaviour(steps=1000))
    job = bench.submitted(wall_s=3)
    bench.until_phase(job, P.EXPIRED)
    assert bench.told("job_expired") == [(job, "used up its 3 s")]


def test_wall_time_goes_on_over_attempts() -> None:
    bench = JobBench(Behaviour(steps=1000))
    job = bench.submitted(wall_s=4)
    bench.until(lambda: bench.runner.core.jobs[job].step >= 20)
    bench.launcher.running[job].kill(SIGKILL)
    bench.until(lambda: bench.phase(job) is P.RUNNING and bench.told("job_retried"))
    began = bench.bench.now
    bench.until_phase(job, P.EXPIRED)
    assert (bench.bench.now - began) / 1e9 < 2.5


# ---------------------------------------------------------------- products without end


@pytest.mark.verifies("VA-JOB-11")
def test_a_product_that_is_a_symbolic_link_fails_the_job_at_once_and_says_so() -> None:
    bench = JobBench(Behaviour(steps=2))
    bench.storage.links.add("run/jobs/1/out/result.json")
    job = bench.submitted()
    bench.until_phase(job, P.FAILED)
    reason = "output result.json is a link, or nothing else that can be copied (ELOOP)"
    assert bench.told("job_failed") == [(job, 2, reason)]
    assert len(bench.launcher.launches) == 1, "the same again would be the same link"
    bench.run_for(1)
    assert bench.launcher.exits == {}


@pytest.mark.verifies("VA-JOB-11")
def test_a_product_larger_than_the_disk_ends_with_the_reason_and_never_fills_the_disk() -> None:
    bench = JobBench(Behaviour(steps=2, outputs={"result.json": b"." * 9000}))
    job = bench.submitted()
    bench.until_phase(job, P.RUNNING)
    bench.storage.capacity = bench.storage.used + 9000 + 6000
    bench.until(lambda: bench.told("storage_refused"))
    free = bench.storage.capacity - bench.storage.used
    assert bench.phase(job) is P.FINISHING
    assert "ENOSPC: result.json has 9000 octets" in bench.told("storage_refused")[0][1]
    assert free > 4000
    bench.until(lambda: bench.phase(job) is P.FAILED, 3700)
    assert bench.told("job_failed")[0][2].startswith("not published within 3600 s: ENOSPC")
    bench.run_for(1)
    assert bench.launcher.exits == {}


@pytest.mark.verifies("VA-JOB-11")
def test_a_job_whose_products_find_no_room_can_be_cancelled() -> None:
    bench = JobBench(Behaviour(steps=2))
    bench.storage.faults["copy"] = "ENOSPC"
    job = bench.submitted()
    bench.until(lambda: bench.told("storage_refused"))
    asker = bench.bench.do("cancel", job)
    bench.until_phase(job, P.CANCELLED)
    assert asker.failure is None
    bench.run_for(1)
    assert bench.launcher.exits == {}


# ---------------------------------------------------------------- the launcher


def test_a_launcher_that_dies_with_its_jobs_interrupts_them() -> None:
    bench = JobBench(Behaviour(steps=20))
    job = bench.submitted()
    bench.until(lambda: bench.runner.core.jobs[job].step >= 5)
    bench.launcher.restart()
    bench.until_phase(job, P.DONE)
    assert bench.told("job_interrupted")
    assert bench.told("job_started")[1][3] >= 5
    assert bench.told("job_retried") == [], "it is no fault of the job"


def test_a_launcher_that_takes_no_message_is_tried_again() -> None:
    bench = JobBench()
    bench.run_for(1)
    bench.launcher.is_gone = True
    job = bench.submitted()
    bench.run_for(5)
    assert bench.phase(job) is P.WAITING
    assert "launcher" in bench.runner.core.jobs[job].reason
    bench.launcher.is_gone = False
    bench.until_phase(job, P.DONE)


def test_a_launch_that_is_refused_counts_as_a_failure() -> None:
    bench = JobBench()
    bench.launcher.refusal = "no process"
    job = bench.submitted()
    bench.until_phase(job, P.FAILED)
    assert bench.told("job_failed")[0][2] == "the launcher refused: no process"


def test_a_launch_without_an_answer_is_killed_and_tried_again() -> None:
    bench = JobBench()
    bench.run_for(1)
    bench.launcher.is_losing = True
    job = bench.submitted()
    bench.until_phase(job, P.ENDING)
    bench.launcher.is_losing = False
    bench.until_phase(job, P.DONE)
    assert bench.told("job_retried")[0][3] == "not started within 120 s"


# ---------------------------------------------------------------- restarts of the executive


@pytest.mark.verifies("VA-SUP-02")
def test_a_running_job_is_taken_up_again_after_a_restart_of_the_executive() -> None:
    bench = JobBench(Behaviour(steps=40))
    job = bench.submitted()
    bench.until(lambda: bench.runner.core.jobs[job].step >= 5)
    pid = bench.runner.core.jobs[job].pid
    bench.restart()
    bench.until_phase(job, P.DONE)
    assert bench.told("job_readopted") == [(job, pid)]
    assert len(bench.launcher.launches) == 1


def test_a_job_that_ended_while_there_was_no_executive_is_published() -> None:
    bench = JobBench(Behaviour(steps=10))
    job = bench.submitted()
    bench.until_phase(job, P.RUNNING)
    bench.launcher.on_message(lambda _: None)
    bench.launcher.run(bench.bench.now + 5_000_000_000)
    assert bench.launcher.running == {}
    bench.restart()
    bench.until_phase(job, P.DONE)
    assert bench.product(job, "result.json") == b"{}"


# ---------------------------------------------------------------- what ground is shown


def shown(bench: JobBench, job: int) -> list[tuple[int, int, float | None]]:
    """Step, total and first metric of each status report of a job; None: unknown."""
    rows = [row for row in bench.bench.reports("status") if row[0] == job]
    return [(row[6], row[7], row[9][0] if row[10] & 1 else None) for row in rows]


@pytest.mark.verifies("VA-JOB-12")
def test_a_job_that_ended_keeps_its_metrics_over_a_restart_of_the_executive() -> None:
    bench = JobBench(Behaviour(steps=4))
    job = bench.submitted()
    bench.until_phase(job, P.DONE)
    bench.run_for(1)
    assert shown(bench, job)[-1] == (4, 4, 0.25)
    bench.restart()
    bench.run_for(1)
    before = len(shown(bench, job))
    bench.bench.do("list")
    bench.run_for(1)
    assert shown(bench, job)[before:] == [(4, 4, 0.25)]
    assert bench.runner.core.jobs[job].metrics[1:] == (None,) * 7
    assert bench.manifest(job)["metrics"] == {"loss": 0.25}


def test_the_metrics_in_the_table_are_read_back_as_they_were() -> None:
    metrics = (2.5, None, float("inf"), -0.0, None, 1e300, None, None)
    record = JobRecord(3, 7, 5, 100, 100, b"", metrics=metrics)
    (read,) = decode(encode([record], 4)).records
    assert read == record


@pytest.mark.verifies("VA-JOB-12")
def test_the_metrics_of_a_job_that_has_none_yet_are_unknown_and_not_zero() -> None:
    bench = JobBench(Behaviour(fail_at=0))
    job = bench.submitted()
    bench.until_phase(job, P.FAILED)
    bench.run_for(1)
    assert {metric for _, _, metric in shown(bench, job)} == {None}
    assert {row[10] for row in bench.bench.reports("status")} == {0}


@pytest.mark.verifies("VA-JOB-12")
def test_progress_never_goes_back_over_a_restart_of_the_executive() -> None:
    bench = JobBench(Behaviour(steps=400))
    job = bench.submitted()
    bench.until(lambda: bench.runner.core.jobs[job].step >= 150)
    bench.restart()
    while not bench.runner.core.table.is_restored:
        bench.step()
    bench.bench.do("list")
    bench.run_for(5)
    rows = shown(bench, job)
    steps = [step for step, total, _ in rows if total]
    assert steps == sorted(steps)
    assert steps[-1] > 180
    first = next(index for index, row in enumerate(rows) if row[2] is not None)
    assert all(row[1] == 400 and row[2] is not None for row in rows[first:])


@pytest.mark.verifies("VA-JOB-12")
def test_a_new_attempt_begins_no_earlier_than_its_commit_and_keeps_the_last_metrics() -> None:
    bench = JobBench(Behaviour(steps=20))
    job = bench.submitted()
    bench.until(lambda: bench.runner.core.jobs[job].step >= 5)
    bench.launcher.running[job].kill(SIGKILL)
    bench.until(lambda: bench.told("job_retried"))
    before = len(shown(bench, job))
    bench.until_phase(job, P.DONE)
    rows = shown(bench, job)[before - 1 :]
    assert min(step for step, _, _ in rows) >= 5
    assert all(total == 20 and metric is not None for _, total, metric in rows)


@pytest.mark.verifies("VA-SUP-02")
def test_whenever_the_executive_dies_the_job_is_done_once() -> None:
    for steps in range(0, 40, 2):
        bench = JobBench(Behaviour(steps=8))
        job = bench.submitted()
        for _ in range(steps):
            bench.step()
        bench.restart()
        bench.until_phase(job, P.DONE)
        starts = [launch["job_id"] for launch in bench.launcher.launches]
        assert starts == [job], f"started {len(starts)} times when restarted after {steps}"


def test_after_a_power_off_a_job_resumes_from_the_disk() -> None:
    bench = JobBench(Behaviour(steps=300, commit_every=10))
    job = bench.submitted()
    bench.until(lambda: bench.runner.core.jobs[job].step >= 210)
    power_off(bench)
    bench.until_phase(job, P.RUNNING)
    bench.step()
    assert 190 <= bench.told("job_started")[-1][3] <= 210
    assert bench.told("job_interrupted")


@pytest.mark.parametrize("newest", [b"flipped", None])
def test_a_newest_commit_that_rotted_on_disk_is_passed_over(newest: bytes | None) -> None:
    bench = JobBench(Behaviour(steps=400, commit_every=10))
    job = bench.submitted()
    bench.until(lambda: bench.runner.core.jobs[job].step >= 250)
    commit = bench.runner.core.jobs[job].commit
    assert commit is not None
    path = f"state/jobs/{job}/commit.{commit.slot}"
    power_off(bench)
    if newest is None:
        del bench.storage.files[path]
    else:
        bench.storage.files[path][5:6] = b"\xff"
    bench.until_phase(job, P.DONE)
    assert bench.told("commit_lost") == [(job, commit.step)]
    assert 0 < bench.told("job_started")[-1][3] < commit.step


def test_a_cancel_goes_on_after_a_restart() -> None:
    bench = JobBench(Behaviour(steps=1000, is_deaf=True))
    job = bench.submitted()
    bench.until_phase(job, P.RUNNING)
    bench.bench.do("cancel", job)
    bench.run_for(1)
    bench.restart()
    bench.until_phase(job, P.CANCELLED)
    assert bench.told("job_cancelled") == [(job, "by telecommand")]


def test_a_process_with_another_pid_than_recorded_is_not_taken_for_the_job() -> None:
    bench = JobBench(Behaviour(steps=1000))
    job = bench.submitted()
    bench.until_phase(job, P.RUNNING)
    page = bench.launcher.running[job].page
    page.status = page.status._replace(pid=4711)
    bench.restart()
    bench.until(lambda: bench.told("stray_ended"))
    assert bench.told("stray_ended") == [(job, 4711)]
    bench.step()
    assert bench.launcher.kills[0] == (job, SIGKILL)


# ---------------------------------------------------------------- the disk


def test_without_room_a_submission_fails_and_leaves_nothing() -> None:
    bench = JobBench()
    bench.run_for(1)
    bench.storage.faults["write"] = "ENOSPC"
    asker = bench.submit()
    bench.until(lambda: asker.is_answered)
    assert asker.code is FailureCode.NO_SPACE
    bench.run_for(3)
    assert bench.runner.core.jobs == {}
    bench.storage.faults.clear()
    assert bench.submitted() == 2
    assert bench.runner.hk.storage_failures >= 2


def test_without_room_a_finished_job_waits_and_loses_nothing() -> None:
    bench = JobBench()
    job = bench.submitted()
    bench.until(lambda: bench.runner.core.jobs[job].step >= 5)
    bench.storage.faults["copy"] = "ENOSPC"
    bench.until_phase(job, P.FINISHING)
    bench.run_for(30)
    assert bench.phase(job) is P.FINISHING
    assert len(bench.told("storage_refused")) >= 3
    bench.storage.faults.clear()
    bench.until_phase(job, P.DONE)
    assert bench.product(job, "result.json") == b"{}"


def test_a_refusal_of_storage_wakes_the_runner_so_that_it_tries_again() -> None:
    bench = JobBench()
    bench.storage.delay_ns = 1_000_000_000
    job = bench.submitted()
    bench.until_phase(job, P.FINISHING)
    bench.storage.faults["list"] = "EIO"
    assert not bench.bench.is_woken  # nothing is due before the answer
    bench.storage.run(bench.bench.now + bench.storage.delay_ns)
    assert len(bench.told("storage_refused")) == 1
    assert bench.bench.is_woken
    due = bench.bench.step()
    assert due is not None
    assert due <= bench.bench.now + 2_000_000_000


def test_a_finished_job_is_published_also_after_a_restart_in_between() -> None:
    bench = JobBench()
    job = bench.submitted()
    bench.until(lambda: bench.runner.core.jobs[job].step >= 5)
    bench.storage.faults["digest"] = "EIO"
    bench.until_phase(job, P.FINISHING)
    bench.run_for(2)
    bench.storage.faults.clear()
    bench.restart()
    bench.until_phase(job, P.DONE)
    assert len(bench.launcher.launches) == 1


def test_outputs_lost_before_they_were_published_are_made_again() -> None:
    bench = JobBench()
    job = bench.submitted()
    bench.storage.faults["copy"] = "EIO"
    bench.until_phase(job, P.FINISHING)
    bench.run_for(2)
    power_off(bench)
    bench.storage.faults.clear()
    bench.until_phase(job, P.DONE)
    assert "gone" in bench.told("job_retried")[0][3]


def test_a_commit_that_changes_while_it_is_copied_is_not_kept_and_a_pause_helps() -> None:
    bench = JobBench(Behaviour(steps=5000, step_ns=10_000_000))
    bench.storage.delay_ns = 30_000_000
    job = bench.submitted()
    bench.until(lambda: bench.runner.hk.commits_kept >= 2, 100)
    commit = bench.runner.core.jobs[job].commit
    assert commit is not None
    assert bench.storage.files[f"state/jobs/{job}/commit.{commit.slot}"] == commit_octets(
        commit.step, 64
    )
    assert bench.runner.hk.commits_not_kept >= 3
    assert (job, "pauses while its commit is kept") in bench.told("job_paused")
    bench.until(lambda: bench.phase(job) is P.RUNNING)


def test_a_submission_that_storage_has_no_room_for_in_its_queue_fails() -> None:
    bench = JobBench()
    bench.run_for(1)
    bench.storage.depth = 0
    asker = bench.submit()
    bench.storage.depth = 256
    bench.until(lambda: asker.is_answered)
    assert asker.is_done, "the table is written a second later, in time"


def test_a_kind_that_an_update_of_the_software_removed_fails_with_the_reason() -> None:
    bench = JobBench()
    bench.runner.hold("safe mode")
    waiting = bench.submitted()
    bench.run_for(1)
    bench.jobs.clear()
    bench.restart()
    bench.until_phase(waiting, P.FAILED)
    assert "no job kind 7" in bench.told("job_failed")[0][2]


def test_a_finished_job_of_a_removed_kind_fails_and_does_not_stay() -> None:
    bench = JobBench()
    job = bench.submitted()
    bench.until(lambda: bench.runner.core.jobs[job].step >= 5)
    bench.storage.faults["copy"] = "EIO"
    bench.until_phase(job, P.FINISHING)
    bench.run_for(1)
    bench.jobs.clear()
    bench.restart()
    bench.until_phase(job, P.FAILED)


def test_only_declared_outputs_are_published_and_the_manifest_says_what_else_there_was() -> None:
    bench = JobBench(Behaviour(outputs={"core.dump": b"x", "../keys": b"y"}))
    job = bench.submitted()
    bench.until_phase(job, P.DONE)
    manifest = bench.manifest(job)
    assert manifest["files"] == {}
    assert manifest["missing"] == ["result.json"]
    assert "core.dump" in manifest["ignored"]
    assert not any("keys" in path for path in bench.storage.files if path.startswith("state/"))


def test_a_product_that_reads_back_differently_is_written_again() -> None:
    bench = JobBench()
    job = bench.submitted()
    bench.until_phase(job, P.RUNNING)
    honest = bench.storage.perform

    def lying(operation: str, **arguments: object) -> StorageResult:
        result = honest(operation, **arguments)
        if operation == "digest" and "products" in str(arguments["path"]):
            return StorageResult(True, result.value | {"crc32": 0})
        return result

    bench.storage.perform = lying  # type: ignore[method-assign]
    bench.until(lambda: bench.told("storage_refused"))
    assert bench.told("storage_refused") == [(job, "result.json reads back differently")]
    bench.storage.perform = honest  # type: ignore[method-assign]
    bench.until_phase(job, P.DONE)


def test_a_table_that_cannot_be_read_yet_is_read_later() -> None:
    bench = JobBench()
    job = bench.submitted()
    bench.bench.do("pause", job)
    bench.run_for(1)
    bench.storage.faults["read"] = "ETIMEDOUT"
    bench.restart()
    bench.run_for(5)
    assert not bench.runner.core.table.is_restored
    bench.storage.faults.clear()
    bench.run_for(3)
    assert job in bench.runner.core.jobs


@pytest.mark.parametrize("octets", [b"", b"{}", b"\xff\xfe", b"torn", None])
def test_of_a_torn_table_the_second_copy_is_taken(octets: bytes | None) -> None:
    bench = JobBench()
    bench.runner.hold("safe mode")
    job = bench.submitted()
    bench.run_for(1)
    table = bytes(bench.storage.files[TABLE])
    assert bytes(bench.storage.files[BACKUP]) == table
    if octets is None:
        bench.storage.files[TABLE][-10] ^= 1
    else:
        bench.storage.files[TABLE] = bytearray(octets)
    bench.restart()
    bench.run_for(1)
    assert job in bench.runner.core.jobs
    assert bench.told("table_damaged")[0][:2] == (1, job + 1 + MARGIN)
    assert TORN in bench.storage.files
    bench.runner.hold("safe mode")
    assert bench.submitted() == job + 1 + MARGIN


def test_of_two_torn_tables_nothing_is_left_but_no_number_is_used_again() -> None:
    bench = JobBench()
    job = bench.submitted()
    bench.until_phase(job, P.DONE)
    bench.run_for(1)
    for path in (TABLE, BACKUP):
        bench.storage.files[path] = bytearray(b"torn")
    bench.restart()
    bench.run_for(1)
    assert bench.runner.core.jobs == {}
    assert bench.told("table_damaged")[0][0] == 0
    assert bench.submitted() > job + MARGIN


def test_a_table_larger_than_one_message_is_written_and_read_in_pieces() -> None:
    bench = JobBench()
    bench.runner.hold("safe mode")
    for _ in range(120):
        bench.submitted()
    bench.run_for(1)
    assert len(bench.storage.files[TABLE]) > PIECE
    bench.restart()
    bench.run_for(1)
    assert len(bench.runner.core.jobs) == 120


def power_off(bench: JobBench) -> None:
    """Processes and the run directory are gone; the executive and the launcher start anew."""
    bench.storage.perform("remove_tree", path="run/jobs")
    bench.launcher.pages.clear()
    bench.launcher.on_message(lambda _: None)
    bench.launcher.restart()
    bench.restart()
