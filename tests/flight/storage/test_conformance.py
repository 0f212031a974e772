"""Storage in memory and the storage worker's operations answer alike."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flight.framework.ports import StorageResult
from flight.storage.simulated import SimulatedStorage
from flight.storage.worker.disk import Disk
from flight.storage.worker.group_commit import Answer, Batch
from flight.storage.worker.operations import Operations
from flight.storage.worker.paths import Jail

Ask = Callable[..., StorageResult]


def in_memory() -> Ask:
    return SimulatedStorage().perform


def on_disk(folder: Path) -> tuple[Ask, Callable[[], None]]:
    for name in ("state", "run"):
        (folder / name).mkdir()
    jail = Jail(Disk(), str(folder / "state"), str(folder / "run"))
    operations = Operations(jail, Disk(), lambda: None)

    def ask(operation: str, **arguments: Any) -> StorageResult:
        batch, answer = Batch(Disk()), Answer(1, 0)
        operations.perform(batch, operation, arguments, answer)
        batch.finish()
        return StorageResult(not answer.error, answer.value, answer.error, answer.text)

    def close() -> None:
        operations.close()
        jail.close()

    return ask, close


@pytest.fixture(params=["in memory", "on disk"])
def ask(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ask]:
    if request.param == "in memory":
        yield in_memory()
        return
    ask, close = on_disk(tmp_path)
    yield ask
    close()


def test_a_file_is_written_read_and_digested(ask: Ask) -> None:
    assert ask("make_dir", path="state/files/a").ok
    assert ask("write", path="state/files/a/b", data=b"hello").ok
    assert ask("read", path="state/files/a/b", offset=1, length=3).value == b"ell"
    assert ask("read", path="state/files/a/b", offset=9, length=3).value == b""
    digest = ask("digest", path="state/files/a/b").value
    assert (digest["size"], digest["crc32"]) == (5, zlib.crc32(b"hello"))


def test_octets_written_at_an_offset_leave_zeros_before_them(ask: Ask) -> None:
    ask("make_dir", path="state/files")
    assert ask("write_at", path="state/files/a", offset=3, data=b"xy").value == 5
    assert ask("write_at", path="state/files/a", offset=0, data=b"ab").value == 5
    assert ask("append", path="state/files/a", data=b"!").value == 6
    assert ask("read", path="state/files/a").value == b"ab\0xy!"
    assert ask("truncate", path="state/files/a", size=1).ok
    assert ask("read", path="state/files/a").value == b"a"


def test_a_rename_replaces_what_was_there(ask: Ask) -> None:
    ask("make_dir", path="state/files")
    ask("write", path="state/files/a", data=b"new")
    ask("write", path="state/files/b", data=b"old")
    assert ask("rename", source="state/files/a", destination="state/files/b").ok
    assert ask("list", path="state/files").value == [["b", False, 3]]


def test_a_copy_tells_size_and_checksum(ask: Ask) -> None:
    ask("make_dir", path="state/files")
    ask("write", path="state/files/a", data=b"hello")
    value = ask("copy", source="state/files/a", path="state/files/b").value
    assert value == {"size": 5, "crc32": zlib.crc32(b"hello")}
    assert ask("read", path="state/files/b").value == b"hello"


def test_a_commit_is_copied_with_its_seal(ask: Ask) -> None:
    ask("make_dir", path="state/jobs")
    ask("write", path="run/commit.0", data=b"of an earlier version")
    value = ask("copy", source="run/commit.0", path="state/jobs/commit.A", form="commit").value
    wanted = {"size": 21, "seal": zlib.crc32(b"of an earlier version")}
    assert value == wanted
    looked = ask("mend", path="state/jobs/commit.A", form="commit").value
    assert wanted.items() <= looked.items()
    assert looked["is_recoverable"]


def test_a_file_without_a_sidecar_is_only_digested_when_it_is_looked_at(ask: Ask) -> None:
    ask("make_dir", path="state/files")
    ask("write", path="state/files/a", data=b"hello")
    looked = ask("mend", path="state/files/a").value
    assert ask("digest", path="state/files/a").value.items() <= looked.items()
    assert (looked["is_protected"], looked["is_recoverable"]) == (False, True)


@pytest.mark.verifies("VA-EDC-03")
def test_a_protected_file_that_was_hit_is_set_right(ask: Ask) -> None:
    content = b"hello " * 1000
    ask("make_dir", path="state/files")
    ask("write", path="state/files/a", data=content)
    assert ask("protect", path="state/files/a").value == ask("digest", path="state/files/a").value
    assert ask("mend", path="state/files/a").value["is_sound"]
    ask("write_at", path="state/files/a", offset=128, data=b"\0" * 64)
    dry = ask("mend", path="state/files/a", deep=True, dry=True).value
    assert (dry["corrected"], dry["is_sound"], dry["is_repaired"]) == (1, False, False)
    looked = ask("mend", path="state/files/a").value
    assert (looked["is_protected"], looked["is_repaired"], looked["corrected"]) == (True, True, 1)
    assert looked["crc32"] == zlib.crc32(content)
    assert ask("read", path="state/files/a").value == content
    assert ask("mend", path="state/files/a", deep=True).value["is_sound"]


def test_a_list_goes_on_from_an_offset(ask: Ask) -> None:
    ask("make_dir", path="state/files/c")
    for name in "ab":
        ask("write", path=f"state/files/{name}", data=b"")
    rows = ask("list", path="state/files").value
    assert [row[:2] for row in rows] == [["a", False], ["b", False], ["c", True]]
    assert [row[0] for row in ask("list", path="state/files", offset=2).value] == ["c"]
    assert ask("list", path="state/files", offset=3).value == []


def test_a_tree_is_removed_with_everything_in_it(ask: Ask) -> None:
    ask("make_dir", path="state/files/a/b")
    ask("write", path="state/files/a/b/c", data=b"x")
    assert ask("remove_tree", path="state/files/a").ok
    assert ask("list", path="state/files").value == []


def test_there_is_room(ask: Ask) -> None:
    assert ask("free", path="state").value > 0


@pytest.mark.parametrize(
    ("operation", "arguments", "error"),
    [
        ("read", {"path": "state/none"}, "ENOENT"),
        ("read", {"path": "state/folder"}, "EINVAL"),
        ("read", {"path": "state/file", "length": 1 << 20}, "EINVAL"),
        ("digest", {"path": "state/none"}, "ENOENT"),
        ("sync", {"path": "state/none"}, "ENOENT"),
        ("remove", {"path": "state/none"}, "ENOENT"),
        ("remove", {"path": "state/folder"}, "EISDIR"),
        ("remove_tree", {"path": "state/none"}, "ENOENT"),
        ("remove_tree", {"path": "state/file"}, "ENOTDIR"),
        ("rename", {"source": "state/none", "destination": "state/x"}, "ENOENT"),
        ("rename", {"source": "state/file", "destination": "state/folder"}, "EISDIR"),
        ("rename", {"source": "state/file", "destination": "state/none/x"}, "ENOENT"),
        ("list", {"path": "state/none"}, "ENOENT"),
        ("list", {"path": "state/file"}, "ENOTDIR"),
        ("write", {"path": "state/none/x", "data": b""}, "ENOENT"),
        ("write", {"path": "state/file/x", "data": b""}, "ENOTDIR"),
        ("write_at", {"path": "state/none/x", "offset": 0, "data": b""}, "ENOENT"),
        ("copy", {"source": "state/none", "path": "state/x"}, "ENOENT"),
        ("make_dir", {"path": "state/file/x"}, "ENOTDIR"),
        ("mend", {"path": "state/none"}, "ENOENT"),
        ("mend", {"path": "state/file.edac"}, "EPERM"),
        ("protect", {"path": "state/none"}, "ENOENT"),
        ("fly", {"path": "state"}, "ENOSYS"),
    ],
)
def test_what_cannot_be_done_has_the_same_name(
    ask: Ask, operation: str, arguments: dict[str, Any], error: str
) -> None:
    ask("make_dir", path="state/folder")
    ask("write", path="state/file", data=b"x")
    result = ask(operation, **arguments)
    assert (result.ok, result.error) == (False, error)


def test_storage_in_memory_answers_in_order_and_after_its_delay() -> None:
    storage = SimulatedStorage()
    storage.delay_ns = 100
    answers: list[StorageResult] = []
    assert storage.submit("write", answers.append, path="state/a", data=b"x")
    assert storage.submit("read", answers.append, path="state/a")
    assert storage.run(99) == 100
    assert answers == []
    assert storage.run(100) is None
    assert [answer.value for answer in answers] == [None, b"x"]


def test_storage_in_memory_takes_no_more_than_its_depth() -> None:
    storage = SimulatedStorage(depth=1)
    woken: list[None] = []
    storage.on_work(lambda: woken.append(None))
    assert storage.submit("free", lambda _: None, path="state")
    assert not storage.submit("free", lambda _: None, path="state")
    assert woken == [None]
