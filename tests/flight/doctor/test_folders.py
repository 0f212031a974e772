"""The doctor on STATE, RUN and keys."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from flight.doctor import folders
from flight.doctor.finding import Finding, Verdict
from flight.doctor.machine import Subject
from tests.flight.support.fake_machine import FakeMachine

MIB = 1 << 20


def test_a_private_folder_on_a_disk_serves_as_state(machine: FakeMachine) -> None:
    found = machine.asked(folders.state_folder)
    assert (found.verdict, found.text) == (Verdict.OK, f"{machine.state} (ext4)")


def test_a_state_folder_that_is_still_to_be_made_is_judged_by_its_parent(
    machine: FakeMachine,
) -> None:
    machine.state = machine.state / "vanallen" / "payload-1"
    assert machine.asked(folders.state_folder).verdict is Verdict.OK
    assert machine.asked(folders.state_sync).verdict is Verdict.OK


@pytest.mark.parametrize(
    ("kind", "verdict"), [("tmpfs", Verdict.ERROR), ("overlay", Verdict.WARNING)]
)
def test_state_on_what_a_power_off_empties_is_found(
    machine: FakeMachine, kind: str, verdict: Verdict
) -> None:
    machine.write("/proc/self/mounts", f"/dev/sda / ext4 rw 0 0\nx {machine.state} {kind} rw 0 0\n")
    assert machine.asked(folders.state_folder).verdict is verdict


def test_state_that_others_can_look_into_is_a_warning(machine: FakeMachine) -> None:
    machine.state.chmod(0o755)
    assert machine.asked(folders.state_folder).advice == f"chmod 700 {machine.state}"


@pytest.mark.parametrize("check", [folders.state_folder, folders.run_folder])
def test_a_folder_of_somebody_elses_is_an_error(
    machine: FakeMachine, check: Callable[[Subject], Finding]
) -> None:
    machine.become_somebody_else()
    assert machine.asked(check).verdict is Verdict.ERROR


@pytest.mark.parametrize(
    ("free", "verdict"),
    [(100 * MIB, Verdict.ERROR), (500 * MIB, Verdict.WARNING), (4096 * MIB, Verdict.OK)],
)
def test_a_full_disk_is_noticed_before_it_is_full(
    machine: FakeMachine, free: int, verdict: Verdict
) -> None:
    machine.set(free_bytes=lambda _path: free)
    assert machine.asked(folders.state_space).verdict is verdict


@pytest.mark.parametrize(
    ("takes_s", "verdict"),
    [(0.002, Verdict.OK), (0.2, Verdict.WARNING), (1.5, Verdict.ERROR)],
)
def test_a_slow_disk_is_measured_and_leaves_no_file(
    machine: FakeMachine, takes_s: float, verdict: Verdict
) -> None:
    readings = iter(number * takes_s for number in range(1000))
    machine.set(stopwatch=lambda: next(readings))
    found = machine.asked(folders.state_sync)
    assert found.verdict is verdict
    assert f"median {takes_s * 1000:.1f} ms" in found.text
    assert list(machine.state.iterdir()) == []


def test_a_disk_that_cannot_be_written_is_an_error(
    machine: FakeMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(folders.os, "pwrite", refuse)
    assert "ENOSPC" in machine.asked(folders.state_sync).text


def test_a_run_folder_on_tmpfs_wears_no_disk(machine: FakeMachine) -> None:
    assert machine.asked(folders.run_folder).verdict is Verdict.WARNING
    machine.write("/proc/self/mounts", f"tmpfs {machine.run} tmpfs rw 0 0\n")
    assert machine.asked(folders.run_folder).verdict is Verdict.OK
    machine.set(free_bytes=lambda _path: 10 * MIB)
    assert "commits of large jobs" in machine.asked(folders.run_folder).advice


def test_a_mount_point_with_a_space_is_understood(machine: FakeMachine, tmp_path: Path) -> None:
    machine.run = tmp_path / "a run"
    machine.run.mkdir()
    where = str(machine.run).replace(" ", "\\040")
    machine.write("/proc/self/mounts", f"/dev/sda / ext4 rw 0 0\nbroken\nx {where} tmpfs rw 0 0\n")
    assert machine.asked(folders.run_folder).verdict is Verdict.OK


def test_a_run_path_too_long_for_sockets_is_an_error(machine: FakeMachine) -> None:
    machine.run = Path("/tmp") / ("r" * 75)
    assert machine.asked(folders.run_path).verdict is Verdict.OK
    machine.run = Path("/tmp") / ("r" * 76)
    found = machine.asked(folders.run_path)
    assert (found.verdict, found.advice) == (Verdict.ERROR, "give --run with at most 80")


class TestKeys:
    def test_keys_that_are_not_there_yet_will_be_made(self, machine: FakeMachine) -> None:
        assert "will be made" in machine.asked(folders.keys).text

    def test_keys_that_others_can_read_are_an_error(self, machine: FakeMachine) -> None:
        path = machine.state / "keys.json"
        path.touch(mode=0o600)
        assert machine.asked(folders.keys).verdict is Verdict.OK
        path.chmod(0o640)
        found = machine.asked(folders.keys)
        assert found.verdict is Verdict.ERROR
        assert found.advice.startswith(f"chmod 600 {path}")

    def test_keys_of_another_user_are_an_error(self, machine: FakeMachine) -> None:
        path = machine.state / "keys.json"
        path.touch(mode=0o600)
        machine.set(uid=path.stat().st_uid + 1)
        assert "belongs to user" in machine.asked(folders.keys).text

    def test_keys_that_cannot_be_looked_at_are_an_error(self, machine: FakeMachine) -> None:
        machine.state = machine.state / "file" / "below"
        machine.state.parent.touch()
        assert "ENOTDIR" in machine.asked(folders.keys).text

    def test_an_insecure_link_has_none_and_that_is_a_warning(self, machine: FakeMachine) -> None:
        machine.configuration = {"link": {"insecure": True}}
        assert machine.asked(folders.keys).verdict is Verdict.WARNING
