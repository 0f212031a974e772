"""The board-state file: rows claimed and released, dead owners swept, wrong files refused."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from icd.board_state import (
    CONTEXTS,
    SIZE,
    BoardState,
    BoardStateError,
    Context,
    mark_idle,
    mark_running,
)
from icd.processes import process_start_time

pytestmark = pytest.mark.portable


@pytest.fixture
def state(tmp_path: Path) -> Iterator[BoardState]:
    made = BoardState.create(tmp_path / "board.state", 2)
    yield made
    made.close()


def test_both_sides_see_the_same_rows(state: BoardState, tmp_path: Path) -> None:
    other = BoardState.attach(tmp_path / "board.state")
    row = state.claim(1, os.getpid())
    row.memory_bytes = 77
    (context,) = other.snapshot(0)
    assert (context.device, context.pid, context.memory_bytes) == (1, os.getpid(), 77)
    state.release(row)
    assert other.snapshot(0) == []
    assert len(other.devices) == 2
    assert other.devices[0].clock_scale == 1.0
    other.close()


def test_busy_time_counts_ended_launches_and_the_running_one(state: BoardState) -> None:
    row = state.claim(0, os.getpid())
    mark_running(row, 1000)
    assert state.snapshot(1500)[0].busy_ns == 500
    mark_idle(row, 700)
    assert state.snapshot(9999)[0].busy_ns == 700


def test_a_row_whose_owner_died_while_writing_is_left_out(state: BoardState) -> None:
    row = state.claim(0, os.getpid())
    row.sequence += 1
    assert state.snapshot(0) == []


PRELUDE = """
import os, sys
from pathlib import Path
from icd.board_state import BoardState, mark_idle, mark_running
state = BoardState.attach(Path(sys.argv[1]))
def told():
    sys.stdout.write("x"); sys.stdout.flush(); sys.stdin.read(1)
"""


@contextlib.contextmanager
def other(path: Path, program: str) -> Iterator[subprocess.Popen[bytes]]:
    """Another process with the file open; it goes on where it waits for an octet."""
    command = [sys.executable, "-c", PRELUDE + program, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.read(1) == b"x"
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.verifies("VA-SIM-11")
def test_an_owner_that_stands_still_inside_a_write_holds_up_nobody(
    state: BoardState, tmp_path: Path
) -> None:
    program = "row = state.claim(0, os.getpid()); row.guard.take(); row.sequence |= 1; told()"
    with other(tmp_path / "board.state", program) as owner:
        mine = state.claim(0, os.getpid())
        mark_running(mine, 5)
        assert [context.pid for context in state.snapshot(9)] == [os.getpid()]
        owner.kill()
        os.waitid(os.P_PID, owner.pid, os.WEXITED | os.WNOWAIT)
        assert [context.pid for context in state.snapshot(9)] == [os.getpid()]
        assert state.sweep() == 1
        again = state.claim(1, os.getpid())
        mark_running(again, 7)
        assert {context.device for context in state.snapshot(9)} == {0, 1}


@pytest.mark.verifies("VA-SIM-11")
def test_a_reader_that_stands_still_holds_up_no_launch_and_loses_none(
    state: BoardState, tmp_path: Path
) -> None:
    row = state.claim(0, os.getpid())
    with other(tmp_path / "board.state", "state.contexts[0].guard.take(); told()") as reader:
        for _ in range(3):
            mark_running(row, 10)
            mark_idle(row, 100, 7)
        assert row.busy_ns == 0
        assert state.snapshot(0) == []
        reader.kill()
        reader.wait()
        assert state.snapshot(0) == []  # what it would say is not so any more
        mark_running(row, 50)
        (context,) = state.snapshot(60)
        assert context.busy_ns == 3 * 100 + 10
        mark_idle(row, 20)
        (context,) = state.snapshot(60)
        assert (context.busy_ns, context.moved_bytes, context.moved_ns) == (320, 21, 300)


@pytest.mark.verifies("VA-SIM-11")
def test_a_copy_is_of_one_moment_however_fast_the_owner_writes(
    state: BoardState, tmp_path: Path
) -> None:
    program = """
row = state.claim(0, os.getpid())
told()
while True:
    mark_running(row, 1)
    mark_idle(row, 1, 3)
"""
    with other(tmp_path / "board.state", program) as owner:
        assert owner.stdin is not None
        owner.stdin.write(b"x")
        owner.stdin.flush()
        seen: list[Context] = []
        for _ in range(1_000_000):  # until the owner was met in both states, at whatever pace
            seen += state.snapshot(1)
            if len(seen) > 1000 and len({context.is_running for context in seen}) == 2:
                break
    assert {context.moved_bytes - 3 * context.moved_ns for context in seen} == {0}
    assert {context.busy_ns - context.moved_ns for context in seen} == {0}
    assert {context.is_running for context in seen} == {False, True}


def test_a_row_that_was_given_away_between_a_look_and_the_lock_is_not_swept(
    state: BoardState, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = state.claim(0, os.getpid())
    row.start_time += 1  # of a process that is gone
    lock = state._locked

    @contextlib.contextmanager
    def claimed_first() -> Iterator[None]:
        row.start_time -= 1  # another one claims the row just before
        with lock():
            yield

    monkeypatch.setattr(state, "_locked", claimed_first)
    assert state.sweep() == 0
    assert row.pid == os.getpid()


def test_rows_of_dead_processes_are_swept_and_taken_again(state: BoardState) -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as child:
        state.claim(0, child.pid)
        assert len(state.snapshot(0)) == 1
        assert state.sweep() == 0
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # a zombie counts as dead
        assert process_start_time(child.pid) is None
        assert state.sweep() == 1
    assert state.snapshot(0) == []


def test_a_full_table_gives_the_row_of_a_dead_process_away(state: BoardState) -> None:
    for _ in range(CONTEXTS):
        state.claim(0, os.getpid())
    with pytest.raises(BoardStateError, match="end a job first"):
        state.claim(0, os.getpid())
    state.contexts[5].start_time += 1  # as if the pid had been used again
    assert state.claim(0, os.getpid()).pid == os.getpid()


def test_nobody_claims_for_a_process_that_is_not_there(state: BoardState) -> None:
    with pytest.raises(BoardStateError, match="no process"):
        state.claim(0, 2**22 + 1)


@pytest.mark.parametrize("content", [b"", b"x" * SIZE, b"x" * (SIZE - 1)])
def test_another_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "wrong").write_bytes(content)
    with pytest.raises(BoardStateError, match="wrong"):
        BoardState.attach(tmp_path / "wrong")


def test_a_missing_file_says_to_start_the_board(tmp_path: Path) -> None:
    with pytest.raises(BoardStateError, match="start the board first"):
        BoardState.attach(tmp_path / "none")


@pytest.mark.parametrize("count", [0, 9])
def test_a_device_count_out_of_range_is_refused(tmp_path: Path, count: int) -> None:
    with pytest.raises(BoardStateError, match=r"give 1 … 8"):
        BoardState.create(tmp_path / "board.state", count)


def test_a_file_that_cannot_be_finished_is_not_left_behind(tmp_path: Path) -> None:
    (tmp_path / "taken" / "inside").mkdir(parents=True)
    with pytest.raises(OSError):
        BoardState.create(tmp_path / "taken", 1)
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_closing_twice_is_harmless(state: BoardState) -> None:
    state.close()
    state.close()
