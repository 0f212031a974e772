"""The storage worker: atomic files, one fsync each, a jail, and answers for everything."""

from __future__ import annotations

import errno
import hashlib
import os
import resource
import signal
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flight.framework.channel import Channel, Message, pair
from flight.storage.worker.disk import Disk
from flight.storage.worker.operations import MAX_READ
from flight.storage.worker.paths import Jail
from flight.storage.worker.worker import StorageServer
from flight.workers.lifeline import Lifeline
from tests.flight.support.worker_harness import WorkerBench


class CountingDisk(Disk):
    """Counts calls; the ``fail`` table makes one of them fail from then on."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.fail: dict[str, int] = {}

    def _count(self, name: str) -> None:
        self.calls[name] += 1
        if name in self.fail:
            raise OSError(self.fail[name], os.strerror(self.fail[name]))

    def fsync(self, fd: int) -> None:
        self._count("fsync")
        super().fsync(fd)

    def write(self, fd: int, data: bytes | memoryview, offset: int) -> None:
        if "write" in self.fail:
            super().write(fd, data[: len(data) // 2], offset)  # a full disk takes a part
        self._count("write")
        super().write(fd, data, offset)

    def rename(self, source: str, source_parent: int, name: str, parent: int) -> None:
        self._count("rename")
        super().rename(source, source_parent, name, parent)


class Bench:
    """A storage server in this process over two real folders."""

    def __init__(self, folder: Path) -> None:
        self.state, self.run = folder / "state", folder / "run"
        self.state.mkdir()
        self.run.mkdir()
        self.disk = CountingDisk()
        self.jail = Jail(self.disk, str(self.state), str(self.run))
        mine, theirs = pair()
        self.channel, self._worker = Channel(mine), Channel(theirs)
        self._lease = os.pipe()
        self.server = StorageServer(Lifeline(self._worker, self._lease[0]), self.jail, self.disk)

    def batch(self, *requests: tuple[str, dict[str, Any]]) -> list[dict[str, Any]]:
        """Serve requests as one batch and return the answers in order."""
        messages = [
            Message(3, n, kind, {"id": n, **body}) for n, (kind, body) in enumerate(requests)
        ]
        self.server.serve(messages)
        return [answer.body for answer in self.channel.receive() if answer.kind == "done"]

    def ask(self, kind: str, **body: Any) -> Any:
        """Serve one request that must succeed, and return its value."""
        (answer,) = self.batch((kind, body))
        assert answer["ok"], answer
        return answer["value"]

    def refusal(self, kind: str, **body: Any) -> str:
        """Serve one request that must fail, and return its error."""
        (answer,) = self.batch((kind, body))
        assert not answer["ok"]
        assert answer["value"] is None
        return answer["error"]

    def close(self) -> None:
        self.jail.close()
        self.channel.close()
        self._worker.close()
        for fd in self._lease:
            os.close(fd)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.close()


def test_a_written_file_is_read_back_in_parts(bench: Bench) -> None:
    bench.ask("write", path="state/a.dat", data=b"0123456789")
    assert bench.ask("read", path="state/a.dat", offset=2, length=3) == b"234"
    assert bench.ask("read", path="state/a.dat", offset=8) == b"89"
    assert bench.ask("read", path="state/a.dat", offset=99) == b""
    assert (bench.state / "a.dat").stat().st_mode & 0o777 == 0o600


def test_in_place_changes_return_the_size(bench: Bench) -> None:
    assert bench.ask("append", path="state/log", data=b"abc") == 3
    assert bench.ask("append", path="state/log", data=b"def") == 6
    assert bench.ask("write_at", path="state/log", offset=1, data=b"X") == 6
    assert bench.ask("write_at", path="state/log", offset=8, data=b"Z") == 9
    bench.ask("truncate", path="state/log", size=4)
    bench.ask("sync", path="state/log")
    assert (bench.state / "log").read_bytes() == b"aXcd"


def test_folders_are_made_listed_and_removed(bench: Bench) -> None:
    bench.ask("make_dir", path="state/jobs/7")
    bench.ask("make_dir", path="state/jobs/7")
    bench.ask("write", path="state/jobs/7/b", data=b"12")
    bench.ask("make_dir", path="state/jobs/7/a")
    assert bench.ask("list", path="state/jobs/7")[1] == ["b", False, 2]
    assert [row[:2] for row in bench.ask("list", path="state/jobs/7")] == [
        ["a", True],
        ["b", False],
    ]
    bench.ask("remove_tree", path="state/jobs/7")
    assert bench.ask("list", path="state/jobs") == []
    assert bench.refusal("remove_tree", path="state/jobs/7") == "ENOENT"


def test_a_long_listing_is_read_in_pages(bench: Bench) -> None:
    names = [f"{n:04d}-" + "x" * 200 for n in range(400)]
    for name in names:
        (bench.state / name).touch()
    found: list[str] = []
    while rows := bench.ask("list", path="state", offset=len(found)):
        found += [row[0] for row in rows]
    assert found == names


def test_a_name_that_is_no_text_is_listed_and_does_no_harm(bench: Bench) -> None:
    os.close(os.open(os.fsencode(bench.state) + b"/\xff\xfe", os.O_CREAT | os.O_WRONLY))
    assert bench.ask("list", path="state")[0][0] == "\ufffd\ufffd"


def test_rename_replaces_and_remove_removes(bench: Bench) -> None:
    bench.ask("write", path="state/new", data=b"new")
    bench.ask("write", path="state/old", data=b"old")
    bench.ask("rename", source="state/new", destination="state/old")
    assert bench.ask("read", path="state/old") == b"new"
    bench.ask("remove", path="state/old")
    assert bench.refusal("read", path="state/old") == "ENOENT"


def test_a_copy_returns_size_and_checksum_and_a_digest_agrees(bench: Bench) -> None:
    content = os.urandom((1 << 20) + 77)
    (bench.run / "big").write_bytes(content)
    copied = bench.ask("copy", source="run/big", path="state/big")
    assert copied == {"size": len(content), "crc32": zlib.crc32(content)}
    assert (bench.state / "big").read_bytes() == content
    digest = bench.ask("digest", path="state/big")
    assert digest == {**copied, "sha256": hashlib.sha256(content).digest()}


@pytest.mark.parametrize("long", ["digest", "copy"])
def test_a_long_request_holds_up_no_short_one(bench: Bench, long: str) -> None:
    (bench.state / "big").write_bytes(bytes(4 << 20))
    body = {"source": "state/big", "path": "state/big" if long == "digest" else "state/twin"}
    bench.channel.send("write", {"id": 7, "path": "state/small", "data": b"small"})
    bench.channel.send("digest", {"id": 8, "path": "state/big"})
    answers = bench.batch((long, body), ("free", {"path": "state"}))
    assert [answer["id"] for answer in answers] == [1, 7, 0, 8]
    assert all(answer["ok"] for answer in answers)
    assert (bench.state / "small").read_bytes() == b"small"


def test_free_tells_the_octets_left(bench: Bench) -> None:
    status = os.statvfs(bench.state)
    assert bench.ask("free", path="state") == pytest.approx(
        status.f_bavail * status.f_frsize, rel=0.05
    )


@pytest.mark.verifies("VA-STO-01")
def test_a_batch_makes_each_distinct_file_and_folder_durable_once(bench: Bench) -> None:
    answers = bench.batch(
        *[("append", {"path": "state/log", "data": b"line\n"}) for _ in range(20)],
        *[("write", {"path": "state/a", "data": bytes([n])}) for n in range(20)],
        ("write", {"path": "state/b", "data": b"b"}),
    )
    assert all(answer["ok"] for answer in answers)
    assert bench.disk.calls["fsync"] == 4  # log, a, b and the folder
    assert (bench.state / "a").read_bytes() == bytes([19])
    assert (bench.state / "log").read_bytes() == b"line\n" * 20


def test_what_is_in_the_run_directory_is_not_made_durable(bench: Bench) -> None:
    bench.ask("write", path="run/a", data=b"a")
    bench.ask("append", path="run/b", data=b"b")
    assert bench.disk.calls["fsync"] == 0


def test_requests_of_a_batch_see_those_before_them(bench: Bench) -> None:
    answers = bench.batch(
        ("write", {"path": "state/a", "data": b"one"}),
        ("append", {"path": "state/a", "data": b" two"}),
        ("read", {"path": "state/a"}),
        ("write", {"path": "state/a", "data": b"three"}),
        ("rename", {"source": "state/a", "destination": "state/b"}),
        ("read", {"path": "state/b"}),
        ("read", {"path": "state/a"}),
    )
    assert [answers[index]["value"] for index in (2, 5)] == [b"one two", b"three"]
    assert answers[6]["error"] == "ENOENT"


@pytest.mark.verifies("VA-STO-03")
def test_a_full_disk_is_an_answer_and_the_old_content_stays(bench: Bench) -> None:
    bench.ask("write", path="state/a", data=b"old a")
    bench.ask("append", path="state/log", data=b"old log")
    bench.disk.fail["write"] = errno.ENOSPC
    assert bench.refusal("write", path="state/a", data=b"new a, longer") == "ENOSPC"
    assert bench.refusal("append", path="state/log", data=b"more") == "ENOSPC"
    assert bench.refusal("copy", source="state/a", path="state/copy") == "ENOSPC"
    assert bench.ask("read", path="state/a") == b"old a"
    assert bench.ask("read", path="state/log") == b"old log"
    assert list((bench.state / ".staging").iterdir()) == []
    bench.disk.fail.clear()
    bench.ask("write", path="state/a", data=b"new a")
    assert bench.ask("read", path="state/a") == b"new a"


@pytest.mark.parametrize("call", ["fsync", "rename"])
def test_a_failing_disk_fails_every_request_that_needed_it(bench: Bench, call: str) -> None:
    bench.ask("write", path="state/a", data=b"old")
    bench.disk.fail[call] = errno.EIO
    answers = bench.batch(
        ("write", {"path": "state/a", "data": b"new"}),
        ("write", {"path": "state/a", "data": b"newer"}),
        ("read", {"path": "state/a"}),
    )
    assert [answer["error"] for answer in answers] == ["EIO", "EIO", ""]
    assert answers[2]["value"] == b"old"


@pytest.mark.verifies("VA-STO-04")
@pytest.mark.parametrize(
    "path",
    ["", "state/../run/x", "/etc/passwd", "etc/passwd", "state//x", "state/./x", "state/..",
     "state/.staging/1.new", "state/a\0b", 7, None, "state/"],
)  # fmt: skip
def test_a_path_that_leaves_the_jail_is_refused(bench: Bench, path: object) -> None:
    assert bench.refusal("read", path=path) == "EPERM"
    assert bench.refusal("write", path=path, data=b"x") == "EPERM"


@pytest.mark.verifies("VA-STO-04")
def test_no_symbolic_link_is_followed(bench: Bench, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key").write_text("key")
    (bench.state / "folder").symlink_to(secret)
    (bench.state / "file").symlink_to(secret / "key")
    assert bench.refusal("read", path="state/folder/key") in ("ELOOP", "ENOTDIR")
    assert bench.refusal("read", path="state/file") == "ELOOP"
    assert bench.refusal("append", path="state/file", data=b"x") == "ELOOP"
    assert bench.refusal("list", path="state/folder") in ("ELOOP", "ENOTDIR")
    bench.ask("make_dir", path="state/tree")
    (bench.state / "tree" / "link").symlink_to(secret)
    bench.ask("remove_tree", path="state/tree")
    assert (secret / "key").read_text() == "key"


@pytest.mark.parametrize(
    ("kind", "body", "error"),
    [
        ("read", {"path": "state/a", "length": MAX_READ + 1}, "EINVAL"),
        ("read", {"path": "state/a", "offset": -1}, "EINVAL"),
        ("read", {"path": "state/a", "offset": 1.5}, "EINVAL"),
        ("write", {"path": "state/a", "data": "text"}, "EINVAL"),
        ("write_at", {"path": "state/a", "data": b""}, "EINVAL"),
        ("write", {"path": "state", "data": b""}, "EPERM"),
        ("remove_tree", {"path": "state"}, "EPERM"),
        ("write", {"path": "state/" + "x" * 300, "data": b""}, "ENAMETOOLONG"),
        ("write", {"path": "state/none/a", "data": b""}, "ENOENT"),
        ("format", {"path": "state"}, "ENOSYS"),
        ("read", {"path": "state/fifo"}, "EINVAL"),
        ("read", {"path": "state/folder"}, "EINVAL"),
    ],
)
def test_a_wrong_request_is_answered_with_its_error(
    bench: Bench, kind: str, body: dict[str, Any], error: str
) -> None:
    (bench.state / "a").touch()
    (bench.state / "folder").mkdir()
    os.mkfifo(bench.state / "fifo")
    assert bench.refusal(kind, **body) == error


def test_a_request_without_an_id_is_ignored_and_the_next_one_served(bench: Bench) -> None:
    bench.server.serve([Message(1, 0, "write", {"id": "x"}), Message(1, 1, "free", {})])
    assert bench.channel.receive() == []


@pytest.mark.verifies("VA-SUP-07")
def test_answers_carry_the_epoch_of_their_request_and_none_is_lost(bench: Bench) -> None:
    (bench.state / "a").write_bytes(bytes(MAX_READ))
    requests = [Message(n, n, "read", {"id": n, "path": "state/a"}) for n in range(40)]
    bench.server.serve(requests)
    found: list[Message] = []
    while len(found) < 40:
        found += bench.channel.receive()
        bench.server._try_to_send()
    assert [message.epoch for message in found] == list(range(40))


def test_leftovers_in_the_staging_folder_are_cleared_at_start(tmp_path: Path) -> None:
    (tmp_path / "state" / ".staging").mkdir(parents=True)
    (tmp_path / "state" / ".staging" / "1.new").write_bytes(b"half")
    (tmp_path / "run").mkdir()
    Jail(Disk(), str(tmp_path / "state"), str(tmp_path / "run")).close()
    assert list((tmp_path / "state" / ".staging").iterdir()) == []


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[WorkerBench]:
    folders = {"state_dir": str(tmp_path / "state"), "run_dir": str(tmp_path / "run")}
    for folder in folders.values():
        Path(folder).mkdir()
    made = WorkerBench("flight.storage.worker.worker", tmp_path, folders)
    yield made
    made.close()


def test_the_worker_beats_echoes_the_epoch_and_finishes_its_queue(
    worker: WorkerBench, tmp_path: Path
) -> None:
    worker.hello()
    for number in range(5):
        worker.channel.send("append", {"id": number, "path": "state/log", "data": b"x"})
    assert worker.expect("done", id=4).epoch == 5
    assert worker.expect("beat").epoch == 5
    worker.process.send_signal(signal.SIGTERM)
    assert worker.process.wait(20) == 0
    assert (tmp_path / "state" / "log").read_bytes() == b"xxxxx"


def test_the_worker_ends_with_its_lease(worker: WorkerBench) -> None:
    worker.hello()
    worker.end_lease()
    assert worker.process.wait(20) == 0


def test_the_worker_ends_when_its_channel_is_given_up(worker: WorkerBench) -> None:
    worker.hello()
    worker.channel.close()
    assert worker.process.wait(20) == 0


@pytest.mark.verifies("VA-STO-02")
def test_a_kill_at_any_moment_leaves_old_or_new_content(
    worker: WorkerBench, tmp_path: Path
) -> None:
    contents = [bytes([n]) * 30_000 for n in range(1, 9)]
    number = 0
    for life in range(8):
        worker.hello()
        # Keep its queue full, then kill it while it works; each life dies a little later.
        first = number
        for _ in range(200 + 10 * life):
            body = {"id": number, "path": "state/file", "data": contents[number % 8]}
            number += worker.channel.send("write", body)
        worker.expect("done", id=first)
        worker.process.kill()
        worker.process.wait(20)
        content = (tmp_path / "state" / "file").read_bytes()
        assert content in contents
        worker.channel.close()
        worker.seen.clear()
        worker.start()
    worker.hello()
    assert list((tmp_path / "state" / ".staging").iterdir()) == []


def test_a_file_size_limit_is_an_answer_too(worker: WorkerBench) -> None:
    worker.hello()
    resource.prlimit(worker.process.pid, resource.RLIMIT_FSIZE, (1000, 1000))
    worker.channel.send("append", {"id": 1, "path": "state/log", "data": bytes(2000)})
    assert worker.expect("done", id=1).body["error"] == "EFBIG"
    worker.channel.send("append", {"id": 2, "path": "state/log", "data": bytes(500)})
    assert worker.expect("done", id=2).body["ok"]
