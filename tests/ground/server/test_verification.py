"""Telecommands through their stages, with a clock of our own."""

from __future__ import annotations

import pytest

from ground.server.verification import CommandRecord, Tracker
from icd.reports import Stage, Verification

REQUEST = b"\x18\x04\xc0\x05"
SECOND = 1_000_000_000


def tracked(**changes: object) -> tuple[Tracker, CommandRecord]:
    tracker = Tracker(lambda _record: None)
    settings: dict[str, object] = {"deadline_ns": 10 * SECOND} | changes
    record = CommandRecord(1, 1, "board.x", {}, 4, 5, 1, 0, **settings)  # type: ignore[arg-type]
    tracker.open(record, REQUEST)
    tracker.advance(record, "sent", 0)
    return tracker, record


def report(tracker: Tracker, stage: Stage, now_ns: int = 1, step: int = 0, to: int = 1) -> None:
    tracker.verify(stage, Verification(REQUEST, step, 40, "why"), to, now_ns)


def test_stages_are_ticked_in_order() -> None:
    tracker, record = tracked()
    for stage in (Stage.ACCEPTED, Stage.STARTED, Stage.COMPLETED):
        report(tracker, stage)
    assert [name for name, _ in record.stages] == ["sent", "accepted", "started", "completed"]
    assert tracker.pending == 0


def test_each_step_of_progress_is_a_stage_of_its_own() -> None:
    tracker, record = tracked()
    for step in (1, 2, 2, 3):
        report(tracker, Stage.PROGRESS, step=step)
    assert [name for name, _ in record.stages].count("progress") == 3
    assert (record.step, record.duplicates) == (3, 1)


def test_a_failure_says_its_code_and_reason() -> None:
    tracker, record = tracked()
    report(tracker, Stage.FAILED)
    assert (record.state, record.code, record.reason) == ("failed", 40, "refused: why")


def test_a_duplicate_report_is_counted_and_changes_nothing() -> None:
    tracker, record = tracked()
    report(tracker, Stage.COMPLETED)
    report(tracker, Stage.COMPLETED)
    report(tracker, Stage.FAILED)
    assert (record.state, record.duplicates, tracker.counts.duplicate) == ("completed", 2, 2)


def test_no_answer_in_time_is_timed_out_at_ground() -> None:
    tracker, record = tracked()
    report(tracker, Stage.ACCEPTED)
    tracker.expire(10 * SECOND)
    assert record.state == "accepted"
    tracker.expire(10 * SECOND + 1)
    assert record.state == "timed out"
    assert "no end within 10 s; the last stage was 'accepted'" in record.reason


@pytest.mark.verifies("VA-BRD-13")
@pytest.mark.parametrize("step_s", [3600, -40, -400 * 86_400])
def test_a_date_that_is_set_neither_times_out_nor_prolongs_a_command(step_s: int) -> None:
    tracker, record = tracked()
    report(tracker, Stage.ACCEPTED)
    tracker.shift(step_s * SECOND)
    tracker.expire((step_s + 10) * SECOND)
    assert record.state == "accepted"
    tracker.expire((step_s + 10) * SECOND + 1)
    assert record.state == "timed out"
    assert "no end within 10 s" in record.reason


def test_a_late_completion_is_taken_and_marked() -> None:
    tracker, record = tracked()
    tracker.expire(11 * SECOND)
    report(tracker, Stage.COMPLETED)
    assert (record.state, record.is_late, tracker.counts.late) == ("completed", True, 1)


def test_a_report_for_nobody_or_another_station_is_counted() -> None:
    tracker, record = tracked()
    tracker.verify(Stage.ACCEPTED, Verification(b"\x18\x04\xc0\x06", 0, 0, ""), 1, 1)
    report(tracker, Stage.ACCEPTED, to=2)
    assert (tracker.counts.unmatched, tracker.counts.foreign) == (1, 1)
    assert record.state == "sent"


def test_a_completed_command_waits_for_its_result_in_either_order() -> None:
    tracker, record = tracked(has_result=True)
    report(tracker, Stage.COMPLETED)
    assert not record.is_settled
    tracker.take_result(REQUEST, 1, {"job": 7})
    assert record.is_settled
    assert record.result == {"job": 7}
    assert tracker.pending == 0


def test_a_result_that_never_comes_is_said() -> None:
    tracker, record = tracked(has_result=True)
    report(tracker, Stage.COMPLETED, now_ns=0)
    tracker.expire(SECOND + 1)
    assert record.is_settled
    assert "result report did not come" in record.reason


def test_a_wrapped_request_id_matches_the_newest() -> None:
    tracker, old = tracked()
    new = CommandRecord(2, 1, "board.x", {}, 4, 5, 1, 0, 10 * SECOND)
    tracker.open(new, REQUEST)
    report(tracker, Stage.COMPLETED)
    assert (old.state, new.state) == ("sent", "completed")


def test_a_reason_cannot_speak_to_the_operators_terminal() -> None:
    tracker, record = tracked()
    tracker.verify(Stage.FAILED, Verification(REQUEST, 0, 40, "\x1b]0;mine\x07no"), 1, 1)
    assert record.reason.isprintable()
    assert record.reason.endswith("]0;mine\ufffdno")
