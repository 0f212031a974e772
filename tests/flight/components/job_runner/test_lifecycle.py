"""The lifecycle alone: every phase with every stimulus, and whatever may come in whatever order."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flight.components.job_runner import stimuli as s
from flight.components.job_runner.dictionary import JobEvents
from flight.components.job_runner.job_table import EVENT_OF, NEXT
from flight.components.job_runner.lifecycle import JobLifecycle
from flight.components.job_runner.ports import Control, JobStatus, PagePhase
from flight.components.job_runner.records import (
    FINISHED,
    WITH_PROCESS,
    Commit,
    Ending,
    JobPhase,
    JobRecord,
    Policy,
)
from flight.components.job_runner.simulated import Behaviour
from flight.fault_tolerance.levels import TALLIES, Level, Protection
from flight.framework.lifecycle import Tell, replay
from flight.framework.time_units import SECOND
from tests.flight.support.job_runner_harness import JobBench

P = JobPhase
NOW = 1_000 * SECOND
PID, JOB = 500, 1
COMMIT = Commit("A", 5, 64, 7)
DONE_PAGE = JobStatus(JOB, PID, phase=PagePhase.DONE)


def page(phase: PagePhase, **more: Any) -> JobStatus:
    """The page of the job's process."""
    return JobStatus(JOB, PID, phase=phase, heartbeat=1, **more)


STIMULI: dict[str, s.About] = {
    "stored": s.Stored(JOB),
    "not stored": s.NotStored(JOB),
    "cancel": s.Cancel(JOB),
    "pause": s.Pause(JOB),
    "resume": s.Resume(JOB),
    "forget": s.Forget(JOB),
    "priority": s.SetPriority(JOB, 3),
    "protection": s.SetProtection(JOB, Protection.DMR),
    "prepared": s.Prepared(JOB, {}, None),
    "input missing": s.NotPrepared(JOB, "no text", True),
    "storage fails": s.NotPrepared(JOB, "EIO", False),
    "launched": s.Launched(JOB, PID, 9),
    "launch refused": s.NotLaunched(JOB, "no", True),
    "launcher away": s.NotLaunched(JOB, "no answer", False),
    "page runs": s.Seen(JOB, page(PagePhase.RUNNING)),
    "page pauses": s.Seen(JOB, page(PagePhase.PAUSED)),
    "page of another": s.Seen(JOB, page(PagePhase.RUNNING)._replace(pid=3)),
    "page is wrong": s.Seen(JOB, page(PagePhase.RUNNING)._replace(commit_slot=9)),
    "exits well": s.Exited(JOB, PID, 0, 0, 1, status=DONE_PAGE),
    "exits unseen": s.Exited(JOB, PID, None, 0, 1, status=DONE_PAGE),
    "exits badly": s.Exited(JOB, PID, 1, 0, 1, status=page(PagePhase.FAILED)),
    "exits without page": s.Exited(JOB, PID, 0, 0, 1),
    "is killed": s.Exited(JOB, PID, None, 9, 1),
    "other exits": s.Exited(JOB, 3, 0, 0, 1),
    "eats memory": s.Exited(JOB, PID, None, 9, 1, "memory"),
    "eats time": s.Exited(JOB, PID, None, 9, 1, "wall"),
    "eats processor": s.Exited(JOB, PID, None, 24, 1),
    "cannot use input": s.Exited(JOB, PID, 2, 0, 1, status=page(PagePhase.FAILED)),
    "loses memory": s.Exited(JOB, PID, 5, 0, 1, status=page(PagePhase.FAILED)),
    "vanishes": s.Vanished(JOB, None),
    "vanishes done": s.Vanished(JOB, DONE_PAGE),
    "commit kept": s.CommitKept(JOB, COMMIT),
    "commit torn": s.CommitNotKept(JOB, "torn", True),
    "published": s.Published(JOB, 1, 10),
    "no room": s.NotPublished(JOB, "ENOSPC", False),
    "outputs lost": s.NotPublished(JOB, "gone", True),
    "unkillable": s.Unkillable(JOB, PID),
}
ENDS = {
    "exits well": P.FINISHING,
    "exits unseen": P.FINISHING,
    "exits badly": P.WAITING,
    "exits without page": P.WAITING,
    "is killed": P.WAITING,
    "eats memory": P.FAILED,
    "eats time": P.FAILED,
    "eats processor": P.FAILED,
    "cannot use input": P.FAILED,
    "loses memory": P.QUEUED,
    "vanishes": P.QUEUED,
    "vanishes done": P.FINISHING,
}
LEADS_TO: dict[JobPhase, dict[str, JobPhase]] = {
    P.SUBMITTED: {"stored": P.QUEUED},
    P.QUEUED: {"cancel": P.CANCELLED, "pause": P.WAITING},
    P.WAITING: {"cancel": P.CANCELLED, "resume": P.QUEUED},
    P.STARTING: {
        **ENDS,
        "cancel": P.ENDING,
        "input missing": P.FAILED,
        "storage fails": P.WAITING,
        "launch refused": P.WAITING,
        "launcher away": P.WAITING,
        "page runs": P.RUNNING,
        "page pauses": P.PAUSED,
    },
    P.RUNNING: {**ENDS, "cancel": P.ENDING, "page pauses": P.PAUSED},
    P.PAUSED: {**ENDS, "cancel": P.ENDING, "page runs": P.RUNNING},
    P.ENDING: dict.fromkeys((*ENDS,), P.CANCELLED),
    P.FINISHING: {"published": P.DONE, "outputs lost": P.WAITING},
}


def lifecycle(phase: JobPhase, **more: Any) -> JobLifecycle:
    """A lifecycle with one job in a phase, on a launcher that is not yet heard of."""
    if phase is P.ENDING:
        more.setdefault("ending", Ending.CANCEL)
    if phase is P.WAITING:
        more |= {"is_held": True, "reason": "paused by telecommand"}
    pid = PID if phase in WITH_PROCESS else 0
    record = JobRecord(JOB, 7, 5, 100, 100, b"", phase, pid=pid, **more)
    core = JobLifecycle()
    core.step(NOW, s.Restore((record,), 2))
    core.jobs[JOB].phase = phase
    return core


@pytest.mark.verifies("VA-JOB-07")
@pytest.mark.parametrize("phase", [p for p in P if p is not P.INTERRUPTED])
@pytest.mark.parametrize("name", STIMULI)
def test_each_phase_does_with_each_stimulus_what_the_table_says(phase: P, name: str) -> None:
    core = lifecycle(phase)
    stimulus = STIMULI[name]
    before = core.table.stale
    out = core.step(NOW + 1, stimulus)
    if (name, phase) == ("not stored", P.SUBMITTED) or (name == "forget" and phase in FINISHED):
        assert JOB not in core.jobs
        return
    assert core.jobs[JOB].phase is LEADS_TO.get(phase, {}).get(name, phase)
    if type(stimulus) in core.handlers[phase]:
        assert not any(isinstance(each, s.Refusal) for each in out)
    elif isinstance(stimulus, s.Order):
        (refusal,) = out
        assert isinstance(refusal, s.Refusal)
        assert f"job 1 is {phase.name.lower()}" in refusal.reason
    elif isinstance(stimulus, s.Exited):
        assert out == (s.Acknowledge(JOB),)
    elif isinstance(stimulus, s.Launched) and phase not in WITH_PROCESS:
        assert s.Kill(JOB, 9) in out
    else:
        assert core.table.stale == before + 1


def test_every_handler_of_the_table_is_reached_by_these_tests() -> None:
    given = {type(stimulus) for stimulus in STIMULI.values()} | {s.Due}
    handlers = JobLifecycle().handlers
    assert set(handlers) == set(NEXT) == set(P)
    assert {stimulus for row in handlers.values() for stimulus in row} == given


@pytest.mark.parametrize(
    ("phase", "seconds", "asked"),
    [
        (P.STARTING, 121, s.Kill(JOB, 9)),
        (P.RUNNING, 99.5, s.Kill(JOB, 9)),
        (P.RUNNING, 101, s.SetControl(JOB, Control.CANCEL)),
        (P.ENDING, 5, s.Kill(JOB, 15)),
        (P.FINISHING, 2, s.Publish(JOB)),
    ],
)
def test_time_alone_ends_a_silent_process_and_tries_a_publication_again(
    phase: JobPhase, seconds: float, asked: s.Instruction
) -> None:
    core = lifecycle(phase)
    if phase is P.RUNNING:
        core.step(NOW, STIMULI["page runs"])
    if phase is P.FINISHING:
        core.step(NOW, STIMULI["no room"])
    if phase is P.ENDING:
        core.table.runs[JOB].asked_at = NOW
    assert asked not in core.step(NOW + 1, s.Tick())
    assert asked in core.step(NOW + round(seconds * SECOND), s.Tick())


def test_a_process_that_survives_its_kill_is_told_and_passed_on() -> None:
    out = lifecycle(P.ENDING).step(NOW + 1, STIMULI["unkillable"])
    assert out == (Tell(JobEvents.job_unkillable, (JOB, PID)), s.Escalate(JOB, PID))


def test_a_phase_without_its_own_event_is_told_by_another() -> None:
    silent = set(P) - set(EVENT_OF)
    assert silent == {P.SUBMITTED, P.RUNNING, P.DONE, P.FAILED}


@pytest.mark.parametrize("ending", [Ending.EXPIRE, Ending.HANG])
def test_a_job_that_ends_well_although_told_to_end_is_not_thrown_away(ending: Ending) -> None:
    core = lifecycle(P.ENDING, ending=ending)
    core.step(NOW + 1, STIMULI["exits well"])
    assert core.jobs[JOB].phase is P.FINISHING


@pytest.mark.parametrize(
    ("ending", "phase"),
    [(Ending.EXPIRE, P.EXPIRED), (Ending.HANG, P.WAITING), (Ending.RECALL, P.QUEUED)],
)
def test_a_process_ends_as_it_was_told_to(ending: Ending, phase: P) -> None:
    core = lifecycle(P.ENDING, ending=ending)
    core.step(NOW + 1, STIMULI["is killed"])
    assert core.jobs[JOB].phase is phase


@pytest.mark.parametrize("phase", [P.STARTING, P.RUNNING, P.PAUSED])
def test_a_recalled_process_is_killed_at_once_and_its_job_is_not_to_blame(phase: P) -> None:
    core = lifecycle(phase)
    out = core.step(NOW + 1, s.RecallAll("XID 46", NOW + 1))
    assert s.Kill(JOB, 9) in out
    assert core.jobs[JOB].phase is P.ENDING
    core.step(NOW + 2, STIMULI["is killed"])
    assert core.jobs[JOB].phase is P.QUEUED
    assert core.jobs[JOB].failures == 0


@pytest.mark.verifies("VA-EDC-07")
@pytest.mark.parametrize("phase", [P.STARTING, P.RUNNING, P.PAUSED])
def test_a_job_that_lost_memory_goes_back_to_its_commit_and_is_not_to_blame(phase: P) -> None:
    core = lifecycle(phase, commit=COMMIT, failures=2)
    core.step(NOW + 1, STIMULI["loses memory"])
    record = core.jobs[JOB]
    assert (record.failures, record.commit, record.has_fallen_back) == (2, COMMIT, False)
    assert core.table.runs[JOB].not_before <= NOW + 1, "the first time it need not wait"
    assert core.table.runs[JOB].interruptions == 1


def test_an_exit_status_alone_is_not_believed() -> None:
    core = lifecycle(P.RUNNING)
    core.step(NOW + 1, s.Exited(JOB, PID, 5, 0, 1))
    assert core.jobs[JOB].failures == 1


def test_a_process_begun_later_is_not_recalled() -> None:
    core = lifecycle(P.RUNNING)
    assert core.step(NOW + 9, s.RecallAll("XID 46", NOW - 1)) == ()


def test_a_recall_of_one_job_leaves_the_others_alone() -> None:
    core = lifecycle(P.RUNNING)
    assert core.step(NOW + 9, s.RecallAll("lost memory", NOW + 9, JOB + 1)) == ()
    assert s.Kill(JOB, 9) in core.step(NOW + 9, s.RecallAll("lost memory", NOW + 9, JOB))


def test_a_recall_ends_the_wait_after_a_failure() -> None:
    core = JobLifecycle()
    core.step(NOW, s.Restore((JobRecord(JOB, 7, 5, 100, 100, b"", P.RUNNING, pid=PID),), 2))
    core.step(NOW, STIMULI["is killed"])
    assert core.jobs[JOB].phase is P.WAITING
    core.step(NOW + 1, s.RecallAll("XID 31", NOW + 1))
    assert core.jobs[JOB].phase is P.QUEUED


def test_a_recall_leaves_a_cancelled_job_cancelled() -> None:
    core = lifecycle(P.ENDING)
    core.step(NOW + 1, s.RecallAll("XID 46", NOW + 1))
    core.step(NOW + 2, STIMULI["is killed"])
    assert core.jobs[JOB].phase is P.CANCELLED


def test_the_wait_between_attempts_doubles_up_to_a_minute() -> None:
    core = JobLifecycle(Policy(retries=100))
    core.step(NOW, s.Restore((JobRecord(JOB, 7, 5, 100, 100, b"", P.STARTING, pid=PID),), 2))
    waits = []
    for _ in range(9):
        record = core.jobs[JOB]
        record.phase, record.pid = P.STARTING, PID
        core.step(NOW, STIMULI["is killed"])
        due = core.next_due()
        assert due is not None
        waits.append((due - NOW) // SECOND)
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]


# ---------------------------------------------------------------- whatever may come

JOBS = st.integers(1, 4)
ACTIONS = (
    "pause",
    "resume",
    "cancel",
    "kill",
    "executive dies",
    "launcher dies",
    "disk full",
    "disk empty",
)
PIDS = st.integers(500, 503)
TEXT = st.sampled_from(["", "a reason"])
COMMITS = st.builds(
    Commit, st.sampled_from("AB"), st.integers(0, 50), st.just(64), st.integers(0, 3)
)
STATUSES = st.builds(
    JobStatus,
    job_id=JOBS,
    pid=PIDS,
    phase=st.integers(0, 7),
    heartbeat=st.integers(0, 5),
    step=st.integers(0, 50),
    commit_step=st.integers(0, 50),
    commit_slot=st.integers(0, 2),
    commit_count=st.integers(0, 5),
    tally=st.integers(0, 3).map(lambda count: (count,) * TALLIES),
)
MAYBE = st.none() | STATUSES
EXITS = st.builds(
    s.Exited,
    JOBS,
    PIDS,
    st.sampled_from([None, 0, 1, 2, 3]),
    st.sampled_from([0, 0, 9, 11, 24, 99]),
    st.integers(0, 200),
    st.sampled_from(["", "", "memory"]),
    MAYBE,
)
ANY: st.SearchStrategy[s.Stimulus] = st.one_of(
    st.builds(s.Submit, st.just(7), st.integers(0, 3), st.just(20), st.just(100), st.just(b"")),
    st.builds(s.Stored, JOBS),
    st.builds(s.Stored, JOBS),
    st.builds(s.NotStored, JOBS),
    st.builds(s.Cancel, JOBS),
    st.builds(s.Pause, JOBS),
    st.builds(s.Resume, JOBS),
    st.builds(s.Forget, JOBS),
    st.builds(s.SetPriority, JOBS, st.integers(0, 3)),
    st.builds(s.SetProtection, JOBS, st.sampled_from(Protection)),
    st.builds(s.Adapt, st.sampled_from(Level)),
    st.builds(s.Prepared, JOBS, st.just({}), st.none() | COMMITS),
    st.builds(s.NotPrepared, JOBS, TEXT, st.booleans()),
    st.builds(s.Launched, JOBS, PIDS, st.just(0)),
    st.builds(s.NotLaunched, JOBS, TEXT, st.booleans()),
    st.builds(s.Seen, JOBS, STATUSES),
    EXITS,
    st.builds(s.Vanished, JOBS, MAYBE),
    st.builds(s.CommitKept, JOBS, COMMITS),
    st.builds(s.CommitNotKept, JOBS, TEXT, st.booleans()),
    st.builds(s.Published, JOBS, st.just(1), st.just(2)),
    st.builds(s.NotPublished, JOBS, TEXT, st.booleans()),
    st.builds(s.Unkillable, JOBS, PIDS),
    st.just(s.Tick()),
    st.just(s.Tick()),
    st.builds(s.HoldAll, st.just("safe mode")),
    st.just(s.ReleaseAll()),
    st.builds(
        s.LauncherTable,
        st.lists(st.builds(s.Process, JOBS, PIDS, st.just(0)), max_size=3).map(tuple),
        st.lists(EXITS, max_size=2).map(tuple),
        st.dictionaries(JOBS, STATUSES, max_size=2),
    ),
    st.builds(s.SetPolicy, st.builds(Policy, slots=st.integers(1, 3), retries=st.integers(0, 3))),
)
SEQUENCES = st.lists(st.tuples(st.integers(0, 20 * SECOND), ANY), max_size=60)
TERMINAL = {"job_done", "job_failed", "job_cancelled", "job_expired"}


@settings(max_examples=300, deadline=None, derandomize=True)
@given(SEQUENCES)
def test_whatever_comes_each_job_ends_once_and_a_replay_says_the_same(
    sequence: list[tuple[int, s.Stimulus]],
) -> None:
    policy = Policy(most_jobs=4)
    log: list[tuple[int, s.Stimulus]] = []
    core = JobLifecycle(policy, log)
    now, said = NOW, list(core.step(NOW, s.Restore((), 1)))
    core.step(now, s.LauncherTable((), (), {}))
    for wait, stimulus in sequence:
        now += wait
        said += core.step(now, stimulus)
        check(core)
    accepted = [each.job for each in said if isinstance(each, s.Accepted)]
    assert accepted == list(range(1, len(accepted) + 1)), "numbers rise and are not used again"
    ended = [each.values[0] for each in said if isinstance(each, Tell) and each.name in TERMINAL]
    assert len(ended) == len(set(ended)), "one terminal event a job"
    finished = {record.id for record in core.jobs.values() if record.is_finished}
    assert finished <= set(ended)
    assert replay(JobLifecycle(policy), log) == said


def check(core: JobLifecycle) -> None:
    """What is so after every step."""
    for record in core.jobs.values():
        assert record.id < core.table.next_id
        assert (record.pid == 0) or record.phase in WITH_PROCESS
        assert record.phase is not P.INTERRUPTED
    assert set(core.jobs) == set(core.table.runs)
    assert set(core.levels.ledgers) <= set(core.jobs)


# ---------------------------------------------------------------- a world that keeps its word


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.sampled_from(ACTIONS), JOBS, st.integers(0, 60)), max_size=25))
def test_through_any_mishaps_no_job_runs_twice_and_all_of_them_end(
    mishaps: list[tuple[str, int, int]],
) -> None:
    bench = JobBench(Behaviour(steps=25, commit_every=4))
    jobs = [bench.submitted(priority=job) for job in range(1, 5)]
    for action, job, steps in mishaps:
        mishap(bench, action, job)
        for _ in range(steps):
            bench.step()
            assert len(bench.launcher.running) <= len(jobs)
    bench.storage.faults.clear()
    for job in jobs:
        bench.bench.do("resume", job)
    bench.until(lambda: all(bench.runner.core.jobs[job].is_finished for job in jobs), 600)
    bench.run_for(1)
    ended = [values[0] for name, *values in bench.bench.events() if name in TERMINAL]
    assert sorted(ended) == jobs
    assert "it runs already" not in str(bench.bench.events())
    assert bench.launcher.running == {}
    done = {job for job in jobs if bench.phase(job) is P.DONE}
    assert all(bench.product(job, "result.json") == b"{}" for job in done)


def mishap(bench: JobBench, action: str, job: int) -> None:
    """Do one thing to the payload or to one of its jobs."""
    if action in ("pause", "resume", "cancel"):
        bench.bench.do(action, job)
    elif action == "kill" and job in bench.launcher.running:
        bench.launcher.running[job].kill(9)
    elif action == "executive dies":
        bench.restart()
        bench.until(lambda: bench.runner.core.table.is_restored)
    elif action == "launcher dies":
        bench.launcher.restart()
    elif action == "disk full":
        bench.storage.faults["copy"] = "ENOSPC"
    elif action == "disk empty":
        bench.storage.faults.clear()
