"""Files that storage protects and mends, by a process that may crash, hang or come and go."""

from __future__ import annotations

import os
import signal
import socket
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flight.commits.slots import CommitSlots, load, path_of
from flight.storage.worker import protector, protector_client
from flight.storage.worker.disk import Disk
from flight.storage.worker.group_commit import Answer, Batch
from flight.storage.worker.operations import Operations
from flight.storage.worker.paths import Jail
from tests.flight.support.processes import is_alive, wait_for

CONTENT = bytes(range(256)) * 1000


class Bench:
    """Storage's operations over two real folders; `between` is called while it waits."""

    def __init__(self, folder: Path) -> None:
        self.state, self.run = folder / "state", folder / "run"
        for root in (self.state, self.run):
            root.mkdir()
        self.jail = Jail(Disk(), str(self.state), str(self.run))
        self.between: Callable[[], object] = lambda: None
        self.operations = Operations(self.jail, Disk(), lambda: self.between())

    def do(self, operation: str, **body: Any) -> Answer:
        batch, answer = Batch(Disk()), Answer(1, 0)
        self.operations.perform(batch, operation, body, answer)
        batch.finish()
        return answer

    def ask(self, operation: str, **body: Any) -> Any:
        answer = self.do(operation, **body)
        assert not answer.error, answer
        return answer.value

    @property
    def process(self) -> Any:
        return self.operations._protection._protector._process

    def close(self) -> None:
        self.operations.close()
        self.jail.close()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.close()


@pytest.fixture
def file(bench: Bench) -> Path:
    path = bench.state / "file"
    path.write_bytes(CONTENT)
    bench.ask("protect", path="state/file")
    return path


def flip(path: Path, *places: int) -> None:
    octets = bytearray(path.read_bytes())
    for place in places:
        octets[place] ^= 1
    path.write_bytes(octets)


def test_a_sound_file_is_known_without_the_process_that_has_the_kernels(
    bench: Bench, file: Path
) -> None:
    bench.operations.close()
    looked = bench.ask("mend", path="state/file")
    assert looked["is_protected"]
    assert (looked["size"], looked["crc32"]) == (len(CONTENT), zlib.crc32(CONTENT))
    assert bench.process is None
    flip(file, 7)
    assert bench.ask("mend", path="state/file")["is_repaired"]
    assert bench.process is not None


@pytest.mark.verifies("VA-EDC-03")
def test_a_repaired_file_and_its_sidecar_are_both_right_again(bench: Bench, file: Path) -> None:
    beside = bench.state / "file.edac"
    sound = beside.read_bytes()
    flip(file, 7, 9000)
    flip(beside, 20, 300)
    looked = bench.ask("mend", path="state/file")
    assert (looked["corrected"], looked["is_repaired"]) == (2, True)
    assert (file.read_bytes(), beside.read_bytes()) == (CONTENT, sound)
    assert bench.ask("mend", path="state/file", deep=True)["is_sound"]


def test_a_damaged_sidecar_of_a_sound_file_is_repaired_when_all_of_it_is_looked_at(
    bench: Bench, file: Path
) -> None:
    beside = bench.state / "file.edac"
    sound = beside.read_bytes()
    flip(beside, 300)
    assert bench.ask("mend", path="state/file")["is_sound"]
    assert bench.ask("mend", path="state/file", deep=True)["is_repaired"]
    assert (file.read_bytes(), beside.read_bytes()) == (CONTENT, sound)


@pytest.mark.verifies("VA-EDC-04")
def test_what_is_lost_is_said_by_block_and_nothing_is_written(bench: Bench, file: Path) -> None:
    flip(file, 0, 64 * 63 * 2, 64 * 63 * 4)
    torn = file.read_bytes()
    looked = bench.ask("mend", path="state/file")
    assert (looked["is_recoverable"], looked["is_repaired"], looked["lost"]) == (False, False, 1)
    assert "are lost: " in looked["text"]
    assert file.read_bytes() == torn


@pytest.mark.usefixtures("file")
def test_a_sidecar_that_is_none_leaves_the_file_unprotected_and_says_so(bench: Bench) -> None:
    (bench.state / "file.edac").write_bytes(bytes(400))
    looked = bench.ask("mend", path="state/file")
    assert (looked["is_protected"], looked["is_recoverable"]) == (False, True)
    assert "not a sidecar" in looked["text"]


def test_a_process_that_was_killed_is_started_again(bench: Bench, file: Path) -> None:
    bench.process.kill()
    flip(file, 7)
    assert bench.ask("mend", path="state/file")["is_repaired"]
    assert file.read_bytes() == CONTENT


def test_a_process_that_crashes_at_its_work_fails_the_request_and_nothing_else(
    bench: Bench, file: Path
) -> None:
    flip(file, 7)
    torn = file.read_bytes()

    def kill() -> None:
        if bench.process is not None:
            bench.process.kill()

    bench.between = kill
    answer = bench.do("mend", path="state/file")
    assert (answer.error, answer.text) == (
        "EIO",
        "the process that checks files ended amid its work",
    )
    assert file.read_bytes() == torn
    bench.between = lambda: None
    assert bench.ask("mend", path="state/file")["is_repaired"]


def test_a_process_that_hangs_is_ended(
    bench: Bench, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = bench.process
    process.send_signal(signal.SIGSTOP)
    monkeypatch.setattr(protector_client, "SILENT_S", 0.0)
    flip(file, 7)
    assert bench.do("mend", path="state/file").error == "ETIMEDOUT"
    assert not is_alive(process.pid)
    monkeypatch.undo()
    assert bench.ask("mend", path="state/file")["is_repaired"]


def test_a_file_that_is_replaced_meanwhile_is_not_overwritten(bench: Bench, file: Path) -> None:
    flip(file, 7)
    newer = bench.state / "newer"
    newer.write_bytes(b"newer")

    def replace() -> None:
        if newer.exists() and bench.process is not None:
            newer.replace(file)

    bench.between = replace
    assert bench.do("mend", path="state/file").error == "ESTALE"
    assert file.read_bytes() == b"newer"


def test_it_ends_by_itself_when_nothing_is_asked_of_it_and_with_its_asker() -> None:
    mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with mine, theirs:
        protector.serve(theirs, idle_s=0.0)
        mine.close()
        protector.serve(theirs, idle_s=60.0)


def test_no_process_is_left_when_storage_ends(bench: Bench, file: Path) -> None:
    assert file.exists()
    pid = bench.process.pid
    assert is_alive(pid)
    # As when storage is killed: nobody is left to tell it.
    channel = bench.operations._protection._protector._channel
    assert channel is not None
    channel.close()
    wait_for(lambda: bench.process.poll() is not None)


class TestCommits:
    """A job's commits on their way to the disk and back."""

    @staticmethod
    def slots(bench: Bench) -> tuple[CommitSlots, np.ndarray]:
        state = np.random.default_rng(3).normal(size=20_000)
        return CommitSlots(bench.run, {"state": state}), state

    def kept(self, bench: Bench) -> tuple[Path, int, np.ndarray]:
        slots, state = self.slots(bench)
        published = slots.commit(5)
        slots.close()
        copied = bench.ask("copy", source="run/commit.0", path="state/commit.A", form="commit")
        assert copied == {"size": published.size, "seal": published.seal}
        return bench.state / "commit.A", published.seal, state

    def test_a_copy_is_known_to_be_sound_without_the_kernels(self, bench: Bench) -> None:
        _, seal, _ = self.kept(bench)
        looked = bench.ask("mend", path="state/commit.A", form="commit")
        assert (looked["seal"], looked["is_sound"], looked["is_protected"]) == (seal, True, True)
        assert bench.process is None

    @pytest.mark.verifies("VA-EDC-01")
    @pytest.mark.parametrize("at", [0, 70, 200, 256, 90_000, 161_000, -150, -3])
    def test_one_that_was_hit_is_right_again_on_the_disk(self, bench: Bench, at: int) -> None:
        path, seal, state = self.kept(bench)
        sound = path.read_bytes()
        flip(path, at)
        looked = bench.ask("mend", path="state/commit.A", form="commit")
        assert (looked["is_recoverable"], looked["seal"]) == (True, seal)
        assert looked["is_repaired"]
        assert path.read_bytes() == sound
        assert (load(path, {"state": state}).arrays["state"] == state).all()

    @pytest.mark.verifies("VA-EDC-02")
    def test_one_that_is_lost_is_said_to_be(self, bench: Bench) -> None:
        path, _, _ = self.kept(bench)
        flip(path, 300, 364)
        looked = bench.ask("mend", path="state/commit.A", form="commit")
        assert (looked["is_recoverable"], looked["lost"]) == (False, 1)
        os.truncate(path, 10_000)
        looked = bench.ask("mend", path="state/commit.A", form="commit")
        assert not looked["is_recoverable"]

    @pytest.mark.verifies("VA-EDC-02")
    def test_a_copy_of_a_slot_that_changes_meanwhile_has_no_seal(self, bench: Bench) -> None:
        slots, _ = self.slots(bench)
        slots.commit(1)
        slots.commit(2)
        bench.between = lambda: slots.commit(3)
        copied = bench.ask("copy", source="run/commit.0", path="state/commit.A", form="commit")
        assert copied["seal"] == 0
        slots.close()

    def test_the_slot_of_a_job_that_was_killed_amid_a_commit_has_another_seal(
        self, bench: Bench
    ) -> None:
        slots, _ = self.slots(bench)
        published = slots.commit(1)
        slots.close()
        path = path_of(bench.run, 0)
        octets = bytearray(path.read_bytes())
        octets[:192] = octets[-196:-4] = bytes(192)
        path.write_bytes(octets)
        copied = bench.ask("copy", source="run/commit.0", path="state/commit.A", form="commit")
        assert copied["size"] == published.size
        assert copied["seal"] != published.seal
