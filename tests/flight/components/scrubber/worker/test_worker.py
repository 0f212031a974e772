"""The scrub worker as a process: what it is asked, golden copies, its end and its successor."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flight.components.scrubber.regions import Kind, State, Verdict
from flight.edac import container, region_file
from tests.flight.support.processes import wait_for
from tests.flight.support.worker_harness import WorkerBench

BLOCK = 32 << 10
MIB = 1 << 20


class Bench(WorkerBench):
    """A scrub worker with the two folders of a payload."""

    def __init__(self, folder: Path) -> None:
        self.state, self.run = folder / "state", folder / "run"
        self.files = self.state / "files"
        self.files.mkdir(parents=True)
        self.run.mkdir()
        self._number = 0
        folders = {"state_dir": str(self.state), "run_dir": str(self.run)}
        super().__init__("flight.components.scrubber.worker.worker", folder, folders)
        self.greet()

    def greet(self, *, is_enabled: bool = True) -> None:
        """What the executive sends first."""
        self.channel.send("hello", {})
        self.expect("ready", pid=self.process.pid)
        settings = {"rate": 1e9, "period_s": 0.5, "factor": 1.0}
        self.channel.send("settings", {**settings, "is_enabled": is_enabled})

    def ask(self, kind: str, **body: Any) -> dict[str, Any]:
        """Ask one thing, and wait for the answer."""
        self._number += 1
        self.channel.send(kind, {"id": self._number, **body})
        return self.expect("done", id=self._number).body

    def revive(self) -> None:
        """What the supervisor does when a worker has ended."""
        self.process.wait(20)
        self.channel.close()
        self.seen.clear()
        self.start()
        self.greet()

    def unusable(self) -> list[list[Any]]:
        """Regions that cannot be walked, told by this worker, or by its successor if it ends."""
        try:
            return list(self.expect("unusable").body["rows"])
        except AssertionError:
            assert self.process.wait(20) == -signal.SIGBUS
            self.revive()
            return list(self.expect("unusable").body["rows"])

    def row(self, name: str, wanted: Callable[[list[Any]], bool] = lambda _: True) -> list[Any]:
        """The row of a region, once it is as wanted."""
        while True:
            for row in self.expect("regions").body["rows"]:
                if row[0] == name and wanted(row):
                    return row

    def found(self) -> list[Any]:
        """The next block that is found wrong."""
        return self.expect("found").body["rows"][0]

    def path(self, name: str) -> Path:
        return self.run / "regions" / name

    def flip(self, name: str, *octets: int) -> None:
        """What an upset does: a bit of some octets of data."""
        with self.path(name).open("r+b") as file:
            for octet in octets:
                file.seek(region_file.PAGE + octet)
                old = file.read(1)[0]
                file.seek(region_file.PAGE + octet)
                file.write(bytes([old ^ 1]))

    def data(self, name: str, length: int) -> bytes:
        """The data of a region, as it is in memory."""
        return self.path(name).read_bytes()[region_file.PAGE :][:length]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.close()


def octets(length: int) -> bytes:
    return np.random.default_rng(2).integers(0, 256, length, np.uint8).tobytes()


@pytest.mark.verifies("VA-SCR-02", "VA-SCR-06")
def test_a_registered_file_is_loaded_walked_and_set_right(bench: Bench) -> None:
    content = octets(3 * BLOCK + 100)
    (bench.files / "w.bin").write_bytes(content)
    answer = bench.ask("register", region="weights", golden="state/files/w.bin")
    assert (answer["ok"], answer["value"]) == (True, len(content))
    assert bench.data("weights", len(content)) == content
    bench.flip("weights", 3 * BLOCK + 50)
    name, kind, job, _, block, verdict, bits, _, offset = bench.found()
    assert (name, kind, job, block) == ("weights", Kind.FILE, 0, 3)
    assert (verdict, bits, offset) == (Verdict.CORRECTED, 1, 3 * BLOCK)
    assert bench.data("weights", len(content)) == content
    again = bench.ask("register", region="weights", golden="state/files/w.bin")
    assert again["value"] == len(content)


@pytest.mark.verifies("VA-SCR-03")
@pytest.mark.parametrize("is_protected", [False, True], ids=["plain file", "container"])
def test_a_lost_block_is_put_right_from_its_golden_copy(bench: Bench, is_protected: bool) -> None:
    content = octets(4 * MIB)
    if is_protected:
        container.write(bench.files / "w.bin", content, "weights")
    else:
        (bench.files / "w.bin").write_bytes(content)
    assert bench.ask("register", region="weights", golden="state/files/w.bin")["value"] == 4 * MIB
    bench.flip("weights", 99 * BLOCK, 99 * BLOCK + 64)
    assert bench.found()[4:6] == [99, Verdict.LOST]
    assert bench.ask("reload", region="weights", block=99)["ok"]
    assert bench.data("weights", len(content)) == content
    assert bench.row("weights", lambda row: row[9] == 0)


@pytest.mark.verifies("VA-SCR-03")
def test_a_golden_copy_that_holds_something_else_by_now_is_not_loaded(bench: Bench) -> None:
    (bench.files / "w.bin").write_bytes(octets(4 * BLOCK))
    bench.ask("register", region="weights", golden="state/files/w.bin")
    bench.flip("weights", BLOCK, BLOCK + 64)
    bench.found()
    damaged = bench.data("weights", 4 * BLOCK)
    (bench.files / "w.bin").write_bytes(bytes(4 * BLOCK))
    answer = bench.ask("reload", region="weights", block=1)
    assert (answer["ok"], "something else" in answer["text"]) == (False, True)
    assert bench.data("weights", 4 * BLOCK) == damaged
    (bench.files / "w.bin").unlink()
    assert "No such file" in bench.ask("reload", region="weights", block=1)["text"]


@pytest.mark.verifies("VA-SCR-03", "VA-SCR-05")
def test_a_region_that_was_cut_short_is_told_and_made_anew_from_its_golden_copy(
    bench: Bench,
) -> None:
    content = octets(2 * MIB)
    (bench.files / "w.bin").write_bytes(content)
    bench.ask("register", region="weights", golden="state/files/w.bin")
    os.truncate(bench.path("weights"), 8192)
    (told,) = bench.unusable()
    assert told[0] == "weights"
    answer = bench.ask("reload", region="weights", block=-1, golden="state/files/w.bin")
    assert answer["value"] == len(content)
    assert bench.data("weights", len(content)) == content
    bench.row("weights", lambda row: row[5] == State.WALKED and row[6] > 0)


UNLOADABLE = {
    "state/files/none.bin": "No such file",
    "state/files/empty.bin": "0 octets",
    "state/files/folder": "directory",
    "state/files/pipe": "no regular file",
    "state/files/link": "link",
    "state/../../etc/passwd": "names no file",
    "/etc/passwd": "not below",
    "state": "names no file",
    "": "not below",
}
"""What is no golden copy, and a word of the reason."""


@pytest.mark.verifies("VA-SCR-06")
def test_what_cannot_be_loaded_is_answered_with_the_reason(bench: Bench) -> None:
    (bench.files / "empty.bin").touch()
    (bench.files / "folder").mkdir()
    os.mkfifo(bench.files / "pipe")
    (bench.files / "link").symlink_to("/etc/passwd")
    for golden, reason in UNLOADABLE.items():
        answer = bench.ask("register", region="weights", golden=golden)
        assert (answer["ok"], reason in answer["text"]) == (False, True), answer
    assert not bench.path("weights").exists()


@pytest.mark.verifies("VA-SCR-06")
def test_a_damaged_container_is_not_loaded(bench: Bench) -> None:
    path = bench.files / "w.va"
    container.write(path, octets(2 * MIB), "weights")
    whole = bytearray(path.read_bytes())
    whole[100_000:1_500_000] = bytes(1_400_000)
    path.write_bytes(whole)
    answer = bench.ask("register", region="weights", golden="state/files/w.va")
    assert not answer["ok"]
    assert answer["text"]
    assert [entry.name for entry in (bench.run / "regions").iterdir()] == []


def test_names_that_are_not_for_registered_files_are_refused(bench: Bench) -> None:
    (bench.files / "w.bin").write_bytes(b"x")
    for name in ("../x", "job-3.state", "test", "", "a/b"):
        answer = bench.ask("register", region=name, golden="state/files/w.bin")
        assert "cannot be registered" in answer["text"]


@pytest.mark.verifies("VA-SCR-07")
def test_errors_are_injected_into_the_test_region_and_nowhere_else(bench: Bench) -> None:
    place = {"block": 2, "first_bit": 1000, "bits": 3, "distance": 7}
    assert "make one first" in bench.ask("inject", **place)["text"]
    assert bench.ask("test", octets=MIB)["value"] == MIB
    assert bench.ask("inject", **place)["ok"]
    name, kind, _, _, block, verdict, bits, *_ = bench.found()
    assert (name, kind, block) == ("test", Kind.TEST, 2)
    assert (verdict, bits) == (Verdict.CORRECTED, 3)
    for wrong in ({"block": 32}, {"block": -1}, {"bits": 0}, {"first_bit": 1 << 40}):
        assert not bench.ask("inject", **{**place, **wrong})["ok"]
    bench.ask("inject", block=1, first_bit=0, bits=2, distance=512)
    assert bench.found()[4:6] == [1, Verdict.LOST]
    assert bench.ask("remake", region="test")["ok"]
    assert bench.data("test", MIB) == b"\x55" * MIB


@pytest.mark.verifies("VA-SCR-06")
def test_a_walk_that_was_asked_for_is_answered_when_it_is_over(bench: Bench) -> None:
    assert "no sealed region" in bench.ask("scrub", region="")["text"]
    bench.ask("test", octets=MIB)
    assert bench.ask("scrub", region="test")["ok"]
    assert bench.ask("scrub", region="")["ok"]
    assert "no sealed region 'x'" in bench.ask("scrub", region="x")["text"]


@pytest.mark.verifies("VA-SCR-06")
def test_a_retired_region_is_removed(bench: Bench) -> None:
    bench.ask("test", octets=MIB)
    assert bench.ask("retire", region="test")["ok"]
    assert not bench.path("test").exists()


@pytest.mark.verifies("VA-SEC-05")
def test_a_question_that_makes_no_sense_is_answered_so(bench: Bench) -> None:
    bench.ask("test", octets=MIB)
    for kind in ("scrub", "register", "reload", "retire", "test", "inject"):
        assert "makes no sense" in bench.ask(kind)["text"]


def test_messages_that_ask_nothing_do_no_harm(bench: Bench) -> None:
    bench.channel.send("nonsense", {})
    bench.channel.send("settings", {"rate": "fast"})
    bench.channel.send("processes", {"rows": [["test", os.getpid()]]})
    status = bench.expect("status").body
    while not status["unscrubbed"]:
        status = bench.expect("status").body
    assert status["unscrubbed"][0][0] == "test"
    assert status["unscrubbed"][0][1] > MIB


@pytest.mark.verifies("VA-SCR-05")
def test_the_successor_of_a_killed_worker_finds_what_that_one_did_not(bench: Bench) -> None:
    bench.ask("test", octets=MIB)
    bench.process.kill()
    bench.process.wait()
    bench.flip("test", 5 * BLOCK)
    bench.revive()
    assert bench.found()[4:6] == [5, Verdict.CORRECTED]


@pytest.mark.verifies("VA-SCR-05")
def test_a_half_loaded_region_of_a_killed_worker_is_cleared_away(bench: Bench) -> None:
    left = bench.run / "regions" / ".weights.123.loading"
    left.parent.mkdir(exist_ok=True)
    bench.process.kill()
    bench.process.wait()
    left.write_bytes(b"half")
    bench.revive()
    assert not left.exists()


def test_it_takes_what_others_leave(bench: Bench) -> None:
    assert os.getpriority(os.PRIO_PROCESS, bench.process.pid) == 10
    assert os.sched_getscheduler(bench.process.pid) == os.SCHED_BATCH


def test_it_ends_politely_and_with_its_lease(bench: Bench) -> None:
    bench.ask("test", octets=MIB)
    bench.process.send_signal(signal.SIGTERM)
    assert bench.process.wait(20) == 0
    bench.revive()
    bench.end_lease()
    wait_for(lambda: bench.process.poll() is not None, 20)
    assert bench.process.returncode == 0
